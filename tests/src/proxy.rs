use std::{
    io,
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// Stands between a program and a server, and can come between them. It goes on until the test
/// program ends.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    line: Arc<Mutex<Line>>,
}

#[derive(Debug, Default)]
struct Line {
    is_cut: bool,
    /// Both ends of every connection that ever was.
    ends: Vec<TcpStream>,
}

impl Proxy {
    /// In front of this port.
    #[must_use]
    #[track_caller]
    pub fn before(upstream: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let line = Arc::<Mutex<Line>>::default();
        let shared = Arc::clone(&line);
        thread::spawn(move || {
            for client in listener.incoming() {
                // A server that is away is as good as a line that is cut.
                let _ = client.and_then(|client| connect(&shared, &client, upstream));
            }
        });
        Self { port, line }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Breaks all connections, and every new one at once, until it is mended.
    #[track_caller]
    pub fn cut(&self) {
        let mut line = self.line.lock().unwrap();
        line.is_cut = true;
        for end in line.ends.drain(..) {
            // It may have been closed already.
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Lets new connections through again.
    #[track_caller]
    pub fn mend(&self) {
        self.line.lock().unwrap().is_cut = false;
    }
}

fn connect(line: &Mutex<Line>, client: &TcpStream, upstream: u16) -> io::Result<()> {
    let mut line = line.lock().unwrap();
    if line.is_cut {
        return Ok(());
    }
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream))?;
    for (from, to) in [(client, &server), (&server, client)] {
        from.set_nodelay(true)?;
        line.ends.push(from.try_clone()?);
        pass(from.try_clone()?, to.try_clone()?);
    }
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        // However it ends, the other side is to hear of it.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}

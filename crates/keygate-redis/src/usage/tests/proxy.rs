use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
};

/// Stands between a client and a server, and can cut the connection when a script was carried out
/// but its answer has not gone through.
pub(super) struct Proxy {
    port: u16,
    cuts: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn before(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cuts = Arc::<AtomicU64>::default();
        let task = tokio::spawn(accept(listener, upstream, Arc::clone(&cuts)));
        Self { port, cuts, task }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Cuts the next answers to scripts, so many.
    pub(super) fn cut(&self, answers: u64) {
        self.cuts.store(answers, SeqCst);
    }

    /// How many answers are still to be cut.
    pub(super) fn cuts(&self) -> u64 {
        self.cuts.load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, upstream: u16, cuts: Arc<AtomicU64>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else { continue };
        let (client_reads, client_writes) = client.into_split();
        let (server_reads, server_writes) = server.into_split();
        let asked = Arc::<AtomicU64>::default();
        let there = tokio::spawn(questions(client_reads, server_writes, Arc::clone(&asked)));
        let cuts = Arc::clone(&cuts);
        tokio::spawn(async move {
            answers(server_reads, client_writes, asked, cuts).await;
            there.abort();
        });
    }
}

async fn questions(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, asked: Arc<AtomicU64>) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        if bytes[..length].windows(4).any(|word| word == b"EVAL") {
            asked.fetch_add(1, SeqCst);
        }
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    asked: Arc<AtomicU64>,
    cuts: Arc<AtomicU64>,
) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        let is_script = asked.load(SeqCst) > 0;
        let is_cut =
            is_script && cuts.fetch_update(SeqCst, SeqCst, |cuts| cuts.checked_sub(1)).is_ok();
        if is_cut || to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{answer::Answer, time::PATIENCE};

/// A bare connection, for what no decent client would send.
#[derive(Debug)]
pub struct Raw {
    stream: BufReader<TcpStream>,
}

impl Raw {
    /// Connects.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// Writes bytes as they are. The server may have hung up: then what it said tells more.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        if let Err(error) = self.stream.get_mut().write_all(bytes.as_ref()) {
            assert!(is_hung_up(error.kind()), "{error}");
        }
    }

    /// Says that nothing more will be written.
    pub fn finish(&mut self) {
        // The server may have hung up.
        let _ = self.stream.get_mut().shutdown(Shutdown::Write);
    }

    /// The next response; none if the server hung up instead.
    #[must_use]
    #[track_caller]
    pub fn answer(&mut self) -> Option<Answer> {
        let (status, headers) = self.head()?;
        let body = if headers.contains_key("transfer-encoding") {
            std::iter::from_fn(|| self.chunk()).flatten().collect()
        } else {
            let length = headers.get("content-length").map(|length| length.to_str().unwrap());
            self.bytes(length.unwrap_or("0").parse().unwrap())
        };
        Some(Answer { status, headers, body })
    }

    /// The head of the next response alone; none if the server hung up instead. What follows is its
    /// body.
    #[must_use]
    #[track_caller]
    pub fn answer_without_body(&mut self) -> Option<Answer> {
        let (status, headers) = self.head()?;
        Some(Answer { status, headers, body: Vec::new() })
    }

    /// So many bytes of a body.
    #[must_use]
    #[track_caller]
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).expect("as much body as was told");
        bytes
    }

    /// The next chunk of a chunked body; none after the last, or if the server hung up instead.
    #[must_use]
    #[track_caller]
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.line()?;
        let length = usize::from_str_radix(&line, 16).expect("the length of a chunk");
        let mut chunk = self.bytes(length + "\r\n".len());
        chunk.truncate(length);
        (length > 0).then_some(chunk)
    }

    /// The head of an answer. That a body may be sent is none.
    #[track_caller]
    fn head(&mut self) -> Option<(u16, HeaderMap)> {
        loop {
            let head = self.any_head()?;
            if head.0 != 100 {
                return Some(head);
            }
        }
    }

    #[track_caller]
    fn any_head(&mut self) -> Option<(u16, HeaderMap)> {
        let first = self.line()?;
        let rest = first.strip_prefix("HTTP/1.1 ").or_else(|| first.strip_prefix("HTTP/1.0 "));
        let status = rest.and_then(|rest| rest.get(..3));
        let status = status.unwrap_or_else(|| panic!("no status line: {first:?}")).parse().unwrap();
        let mut headers = HeaderMap::new();
        loop {
            let line = self.line().expect("a whole head");
            if line.is_empty() {
                return Some((status, headers));
            }
            let (name, value) = line.split_once(": ").expect("a header field");
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
    }

    /// A line without its end; none if the server hung up.
    #[track_caller]
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.trim_end_matches("\r\n").to_owned()),
            Err(error) if is_hung_up(error.kind()) => None,
            Err(error) => panic!("no answer: {error}"),
        }
    }
}

fn is_hung_up(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof)
}

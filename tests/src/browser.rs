use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{process::Process, time::PATIENCE};

/// A page of an origin of its own. What it finds out it posts to `/findings`, as JSON. It is served until
/// the test program ends.
#[derive(Debug)]
pub struct Page {
    address: SocketAddr,
    findings: Receiver<Value>,
}

impl Page {
    /// Serves this text as HTML.
    #[must_use]
    pub fn serve(html: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, findings) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (html, sender) = (html.clone(), sender.clone());
                thread::spawn(move || serve(&stream, &html, &sender));
            }
        });
        Self { address, findings }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Waits until the page has told what it found out.
    #[must_use]
    #[track_caller]
    pub fn findings(&self) -> Value {
        self.findings.recv_timeout(PATIENCE).expect("the page tells what it found out")
    }
}

/// One request of a browser, and no other on its connection. One that breaks off is nobody's loss.
fn serve(stream: &TcpStream, html: &str, findings: &Sender<Value>) {
    let (mut lines, mut length, mut head) = (BufReader::new(stream), 0, Vec::new());
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).is_err() || line.trim_end().is_empty() {
            break;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.parse().unwrap_or_default();
        }
        head.push(line);
    }
    let is = |start: &str| head.first().is_some_and(|line| line.starts_with(start));
    let (status, body) = if is("post /findings ") {
        let mut body = vec![0; length];
        if let Some(told) =
            lines.read_exact(&mut body).ok().and_then(|()| serde_json::from_slice(&body).ok())
        {
            // Nobody waits for it once the test is over.
            let _ = findings.send(told);
        }
        ("204 No Content", "")
    } else if is("get / ") {
        ("200 OK", html)
    } else {
        ("404 Not Found", "")
    };
    let (mut stream, length) = (stream, body.len());
    let _ = stream.write_all(
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
        .as_bytes(),
    );
}

/// Chromium without a window, with a profile of its own. Killed on drop.
#[derive(Debug)]
pub struct Browser {
    _process: Process,
    _profile: TempDir,
}

impl Browser {
    /// Opens a page.
    #[must_use]
    #[track_caller]
    pub fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("chromium");
        command.arg(format!("--user-data-dir={}", profile.path().display())).args([
            "--headless",
            // Whoever runs tests in a container is root in it.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            "--no-proxy-server",
            url,
        ]);
        Self { _process: Process::spawn(&mut command), _profile: profile }
    }
}

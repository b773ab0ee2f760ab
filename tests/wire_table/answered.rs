//! The wire in terms of HTTP/1.

use std::net::SocketAddr;

use keygate_tests::{Answer, Raw};

use crate::{expected::Expected, row::Row, words::Words};

/// What a row was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) row: Row,
    pub(crate) words: Words,
    /// Nothing if the server hung up instead.
    pub(crate) answer: Option<Answer>,
}

impl Answered {
    /// Sends what a row says, each request on a connection of its own.
    #[track_caller]
    pub(crate) fn by(address: SocketAddr, row: &Row, words: &Words) -> Self {
        let send = |line: &String| {
            let mut raw = Raw::connect(address);
            raw.write(words.filled(&request(row, line)));
            if line.starts_with("HEAD ") { raw.answer_without_body() } else { raw.answer() }
        };
        row.before.iter().for_each(|line| drop(send(line)));
        Self { answer: send(&row.send), row: row.clone(), words: words.clone() }
    }

    /// # Errors
    /// What is not as the row says.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut faults = match &self.answer {
            Some(answer) => Expected::of(self).faults_of(answer),
            None => vec!["  no answer".to_owned()],
        };
        let repeats = |secret| self.answer.as_ref().is_some_and(|answer| answer.holds(secret));
        if self.words.secrets().any(repeats) {
            faults.push("  repeats a key".to_owned());
        }
        if faults.is_empty() {
            return Ok(());
        }
        Err(format!("{}\n  {}\n{}", self.row.it, self.row.send, faults.join("\n")))
    }
}

fn request(row: &Row, line: &str) -> String {
    let version = if line.contains(" HTTP/") { "" } else { " HTTP/1.1" };
    let headers: String = row.headers.iter().map(|it| format!("{it}\r\n")).collect();
    let body = row.body.as_deref().unwrap_or_default();
    let length = match body.len() {
        0 => String::new(),
        length => format!("content-length: {length}\r\n"),
    };
    format!("{line}{version}\r\nhost: test\r\n{headers}{length}\r\n{body}")
}

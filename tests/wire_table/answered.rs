//! The wire in terms of HTTP/1.

use std::net::SocketAddr;

use keygate_tests::Answer;

use crate::{
    asking::{Asking, Held},
    expected::Expected,
    row::Row,
    words::Words,
};

/// What a row was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) row: Row,
    pub(crate) words: Words,
    /// Nothing if the server hung up instead.
    pub(crate) answer: Option<Answer>,
    /// How its connection went on, if that was wrong.
    went_on: Option<String>,
}

impl Answered {
    /// Sends what a row says, each request on a connection of its own.
    #[track_caller]
    pub(crate) fn by(address: SocketAddr, row: &Row, words: &Words) -> Self {
        let asking = Asking { address, row, words };
        row.before.iter().for_each(|it| asking.ask_before(it));
        let held: Vec<_> = row.held.iter().map(|it| asking.hold(it)).collect();
        let (answer, went_on) = if row.held_end {
            held.into_iter().for_each(Held::end);
            asking.ask_until_free()
        } else {
            asking.ask()
        };
        Self { row: row.clone(), words: words.clone(), answer, went_on }
    }

    /// # Errors
    /// What is not as the row says.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut faults = match &self.answer {
            Some(answer) => Expected::of(self).faults_of(answer),
            None => vec!["  no answer".to_owned()],
        };
        faults.extend(self.went_on.clone());
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

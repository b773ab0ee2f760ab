//! Asking before something is done that cannot be undone.

use std::io::{self, IsTerminal, Write};

use crate::error::Failure;

/// Asks, if there is somebody to ask: standard input is a terminal and `yes` was not given.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    let stdin = io::stdin();
    if yes || !stdin.is_terminal() {
        return Ok(());
    }
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush())?;
    let mut answer = String::new();
    stdin.read_line(&mut answer)?;
    if ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::Refused("nothing was changed; answer `y`, or give --yes, to go on".into()))
}

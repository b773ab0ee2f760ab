use std::{
    env,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{answer::Answer, program::workspace};

/// The RateLimit fields of these responses, read by a parser of structured fields that is not ours:
/// for each response `{"ratelimit-policy": [item…], "ratelimit": [item…]}`, where an item is
/// `{"value": …, "type": …, "parameters": [[name, value, type]…]}`.
#[must_use]
#[track_caller]
pub fn parse_fields<'a>(answers: impl IntoIterator<Item = &'a Answer>) -> Vec<Value> {
    let mut lines = String::new();
    for answer in answers {
        for name in ["ratelimit-policy", "ratelimit"] {
            let value = answer.field(name).unwrap_or_else(|| panic!("no {name}: {answer:?}"));
            lines.push_str(&format!("{name}: {value}\n"));
        }
        lines.push('\n');
    }
    let told = run(&lines);
    told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn run(input: &str) -> String {
    let mut child = Command::new(interpreter())
        .arg(workspace().join("tests/parse_fields.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the interpreter starts");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the parser refused:\n{input}");
    String::from_utf8(output.stdout).unwrap()
}

/// The interpreter that `./check` prepares.
#[track_caller]
fn interpreter() -> PathBuf {
    let named = env::var_os("KEYGATE_PYTHON").map(PathBuf::from);
    let path = named.unwrap_or_else(|| workspace().join("target/check-venv/bin/python"));
    assert!(path.exists(), "there is no {}; run `./check tools` to get it", path.display());
    path
}

//! What a command says: JSON or a table on standard output, everything else on standard error.

use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use clap::ColorChoice;
use comfy_table::{ContentArrangement, Table, presets};
use keygate::ApiKey;
use serde::Serialize;

use crate::error::Failure;

const STRONG: Style = Style::new().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Where a command writes.
pub(crate) struct Output {
    json: bool,
    color: anstream::ColorChoice,
}

impl Output {
    pub(crate) fn new(json: bool, color: ColorChoice) -> Self {
        let color = match color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        };
        Self { json, color }
    }

    /// Whether programs read it.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// One JSON value, on a line.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        serde_json::to_writer(&mut out, value).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
        Ok(out.flush()?)
    }

    /// A line for people.
    pub(crate) fn line(&self, text: impl Display) -> Result<(), Failure> {
        let mut out = AutoStream::new(io::stdout(), self.color).lock();
        writeln!(out, "{}", plain(&text.to_string()))?;
        Ok(out.flush()?)
    }

    /// A text to the letter, as it was written once.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// A table for people, its header strong.
    pub(crate) fn table<const N: usize>(
        &self,
        header: [&str; N],
        rows: impl IntoIterator<Item = [String; N]>,
    ) -> Result<(), Failure> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(header);
        for row in rows {
            table.add_row(row.map(|cell| plain(&cell)));
        }
        table.column_iter_mut().for_each(|column| _ = column.set_padding((0, 2)));
        let mut lines = table.lines();
        let mut out = io::BufWriter::new(AutoStream::new(io::stdout(), self.color).lock());
        if let Some(header) = lines.next() {
            writeln!(out, "{STRONG}{}{STRONG:#}", header.trim_end())?;
        }
        for line in lines {
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(out.flush()?)
    }

    /// The text of a key, alone on its line, so that `> file` and `$(…)` hold just the key.
    pub(crate) fn secret(&self, key: &ApiKey) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(key.expose().as_bytes())?;
        out.write_all(b"\n")?;
        Ok(out.flush()?)
    }

    /// A remark, on standard error.
    pub(crate) fn note(&self, text: impl Display) {
        // There is nobody left to tell that it could not be told.
        let _ = writeln!(self.stderr(), "{}", plain(&text.to_string()));
    }

    /// Says why a command failed, in one line, and with which code it ends.
    pub(crate) fn fail(&self, failure: &Failure) -> ExitCode {
        if !failure.is_quiet() {
            let line = one_line(&failure.to_string());
            let _ = writeln!(self.stderr(), "{ERROR}error:{ERROR:#} {line}");
        }
        ExitCode::from(failure.code())
    }

    fn stderr(&self) -> AutoStream<io::Stderr> {
        AutoStream::new(io::stderr(), self.color)
    }
}

/// The word that stands for a value in JSON.
pub(crate) fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// So many keys, in words.
pub(crate) fn counted(keys: impl TryInto<u64>) -> String {
    match keys.try_into() {
        Ok(1) => "1 key".to_owned(),
        Ok(keys) => format!("{keys} keys"),
        Err(_) => "keys".to_owned(),
    }
}

/// Text in which nothing means anything to a terminal: what cannot be seen is escaped.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' | '\'' | '\\' => plain.push(char),
            _ => plain.extend(char.escape_debug()),
        }
    }
    plain
}

/// The first and the last line of a text: what comes between is an excerpt of a file.
fn one_line(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = plain(lines.next().unwrap_or_default());
    match lines.next_back() {
        Some(last) => format!("{first}: {}", plain(last)),
        None => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_escaped() {
        assert_eq!(plain("a \"b\" 'c' \\ é 🔑"), "a \"b\" 'c' \\ é 🔑");
        assert_eq!(plain("a\r\n\u{1b}[31m\u{202e}b"), r"a\r\n\u{1b}[31m\u{202e}b");
    }

    #[test]
    fn a_message_of_several_lines_becomes_one() {
        let toml = "not TOML: error at line 1\n  |\n1 | [x\n  |  ^\nexpected `]`\n";
        assert_eq!(one_line(toml), "not TOML: error at line 1: expected `]`");
        assert_eq!(one_line("one"), "one");
        assert_eq!(one_line(""), "");
    }
}

use serde::Deserialize;

use crate::row::Row;

/// A request beside the one that a row is about: a request line alone, or more. What it does not say is as in
/// that one.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Written")]
pub(crate) struct Beside {
    send: Option<String>,
    headers: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Line(String),
    More(More),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct More {
    send: Option<String>,
    headers: Option<Vec<String>>,
}

impl From<Written> for Beside {
    fn from(written: Written) -> Self {
        match written {
            Written::Line(line) => Self { send: Some(line), headers: None },
            Written::More(More { send, headers }) => Self { send, headers },
        }
    }
}

impl Beside {
    /// The request line and the header fields.
    pub(crate) fn of<'a>(&'a self, row: &'a Row) -> (&'a str, &'a [String]) {
        let headers = self.headers.as_ref().unwrap_or(&row.headers);
        (self.send.as_ref().unwrap_or(&row.send), headers)
    }
}

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::beside::Beside;

/// A request, and what must be answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// What it shows, as a sentence.
    pub(crate) it: String,
    /// Requests before it.
    #[serde(default)]
    pub(crate) before: Vec<Beside>,
    /// Requests that are admitted before it and still under way when it is sent; in terms of gRPC, calls of
    /// whose responses no message was read.
    #[serde(default)]
    pub(crate) held: Vec<Beside>,
    /// Whether they have ended when it is sent.
    #[serde(default)]
    pub(crate) held_end: bool,
    /// The request line; its version may be left out. Of gRPC, the path alone.
    pub(crate) send: String,
    /// The name of a key in `keys.toml`, which is `{key}` then.
    pub(crate) key: Option<String>,
    #[serde(default)]
    pub(crate) headers: Vec<String>,
    pub(crate) body: Option<String>,
    /// Of a body at least so many bytes long of which none is sent before the answer is there. Then the
    /// connection must be closed, or good for the next request.
    pub(crate) late_body: Option<usize>,

    /// The code of the refusal, in `problems.toml`, which tells the rest of it.
    pub(crate) refused: Option<String>,
    /// Whether it is told as gRPC does.
    #[serde(default)]
    pub(crate) grpc: bool,
    /// What a refusal says in place of its usual words.
    pub(crate) detail: Option<String>,
    /// The scope that is `{scope}` in the challenge.
    pub(crate) scope: Option<String>,
    /// How long to wait, in terms of gRPC.
    pub(crate) retry: Option<String>,
    /// The limits that refused.
    #[serde(default)]
    pub(crate) violated: Vec<String>,
    /// The status where it is no refusal; of gRPC, the code where it is not OK.
    pub(crate) status: Option<u16>,
    /// Fields besides those of every such refusal.
    #[serde(default)]
    pub(crate) fields: BTreeMap<String, String>,
    /// The body, where it is JSON.
    pub(crate) json: Option<Value>,
    /// The body, where it is text, as it is written. Where neither is given the body is the framework's own.
    pub(crate) text: Option<String>,
}

impl Row {
    pub(crate) fn mentions(&self, word: &str) -> bool {
        let beside = self.before.iter().chain(&self.held).map(|it| it.of(self));
        let mut all = beside.chain([(self.send.as_str(), self.headers.as_slice())]);
        all.any(|(line, headers)| {
            line.contains(word) || headers.iter().any(|header| header.contains(word))
        })
    }

    pub(crate) fn is_head(&self) -> bool {
        self.send.starts_with("HEAD ")
    }
}

/// A kind of key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyKind {
    pub(crate) plan: String,
    /// What `keygate keys issue` is told besides.
    #[serde(default)]
    pub(crate) options: Vec<String>,
    /// What becomes of it.
    pub(crate) becomes: Option<Fate>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fate {
    Disabled,
    Revoked,
    Replaced,
}

/// What every refusal with one code says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    /// The status code of gRPC.
    pub(crate) grpc: i32,
    pub(crate) r#type: String,
    pub(crate) title: String,
    pub(crate) detail: String,
    pub(crate) challenge: Option<String>,
}

//! Where and how a key may be used, beyond what its scopes say.

use serde::{Deserialize, Serialize};

use crate::verdict::Reason;

/// A condition on the request itself, kept in a key's record.
///
/// This version knows none. A record that carries one was written by a version that knows more, and
/// is refused when it is read: a restriction that cannot be checked must not be dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Constraint {}

impl Constraint {
    pub(crate) fn check(&self) -> Result<(), Reason> {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_constraint_is_refused_not_dropped() {
        assert!(serde_json::from_str::<Vec<Constraint>>(r#"[{"planets":["mars"]}]"#).is_err());
        assert_eq!(serde_json::from_str::<Vec<Constraint>>("[]").unwrap(), []);
    }
}

//! The form of new keys.

use clap::Args;
use keygate::key::{KeyFormat, KeyFormatError, KeyHint};

use crate::error::Failure;

/// What new keys look like: as the services have it, or they refuse them.
#[derive(Args)]
pub(super) struct FormatArgs {
    /// The first word of the key, as the services have it [default: kg]
    #[arg(long, value_name = "WORD")]
    format_prefix: Option<String>,
    /// The environment, the second word of the key, as the services have it [default: live]
    #[arg(long, value_name = "WORD")]
    env: Option<String>,
}

impl FormatArgs {
    /// The form asked for; what is not said is as in `like`.
    pub(super) fn or(&self, like: &KeyFormat) -> Result<KeyFormat, Failure> {
        let prefix = self.format_prefix.as_deref().unwrap_or(like.prefix());
        let environment = self.env.as_deref().unwrap_or(like.environment());
        KeyFormat::new(prefix, environment).map_err(|error| {
            let flag = match error {
                KeyFormatError::Prefix { .. } => "--format-prefix",
                _ => "--env",
            };
            Failure::Usage(format!("{flag}: {error}"))
        })
    }
}

/// The form of the key that has this hint; the default for a key of another making.
pub(super) fn of_hint(hint: &KeyHint) -> KeyFormat {
    let head = hint.as_str().split_once("_…").map_or("", |(head, _)| head);
    let format = head.split_once('_').and_then(|(prefix, env)| KeyFormat::new(prefix, env).ok());
    format.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_tells_the_form() {
        let format = KeyFormat::new("acme", "test").unwrap();
        assert_eq!(of_hint(&format.mint().unwrap().hint()), format);
        assert_eq!(of_hint(&"sk-…1234".parse().unwrap()), KeyFormat::default());
    }

    #[test]
    fn what_is_not_said_is_taken_over_and_mistakes_name_their_flag() {
        let like = KeyFormat::new("acme", "test").unwrap();
        let asked = |prefix: Option<&str>, env: Option<&str>| {
            let [format_prefix, env] = [prefix, env].map(|word| word.map(str::to_owned));
            FormatArgs { format_prefix, env }.or(&like)
        };
        assert_eq!(asked(None, None).unwrap(), like);
        assert_eq!(asked(None, Some("live")).unwrap().environment(), "live");
        assert!(asked(Some("A"), None).unwrap_err().to_string().starts_with("--format-prefix:"));
        assert!(asked(None, Some("a_b")).unwrap_err().to_string().starts_with("--env:"));
    }
}

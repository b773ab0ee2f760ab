//! The command line: what stands on it everywhere, and the values that several commands take.

use std::{fmt, str::FromStr};

use clap::{Args, ColorChoice, Parser, Subcommand};
use keygate::{address::AddressPartitionError, key::KeyId, record::ConsumerId};

use crate::{keys::KeysCommand, limits::LimitsCommand, plans::PlansCommand, usage::UsageCommand};

const EXAMPLES: &str = "\
Examples:
  export KEYGATE_STORE=redis://127.0.0.1:6379
  keygate plans apply plans.toml
  keygate keys issue --consumer acme --plan free --scope 'search:*' > acme.key
  keygate keys list --consumer acme
  keygate keys rotate key_0123456789ABCDef --grace 24h
  keygate limits show acme
  keygate usage acme --since 7d --by day

Secrets:
  Arguments of a command can be read by everybody on its machine. So a store's URL with a password
  belongs into KEYGATE_STORE, and a pepper comes from a file or the environment.

  Where the services digest keys with a pepper, give it here too, in KEYGATE_PEPPER_FILE or
  KEYGATE_PEPPER, and its number in KEYGATE_PEPPER_VERSION (1 unless given). A key that is
  issued without the pepper of the services would never be found by them.

Exit codes:
  0 done   1 refused, or not found   2 wrong usage   3 the store cannot be reached";

/// API keys, plans and quotas: what an operator does
///
/// Manages the keys, plans, limits and usage that keygate's services keep in Redis. Services see
/// every change at once.
#[derive(Parser)]
#[command(name = "keygate", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) group: Group,
}

/// What every command takes.
#[derive(Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// The store of the services, such as `redis://127.0.0.1:6379`
    #[arg(long, global = true, env = "KEYGATE_STORE", hide_env_values = true, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// The prefix of keygate's keys in Redis, as the services have it
    #[arg(long, global = true, value_name = "WORD", default_value = "keygate")]
    pub(crate) prefix: String,
    /// Write JSON to standard output, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to colour; `auto` respects NO_COLOR
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
}

/// What there is to manage.
#[derive(Subcommand)]
pub(crate) enum Group {
    /// Issue, list, rotate, disable and revoke API keys
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Put plans in force, and show them
    #[command(subcommand)]
    Plans(PlansCommand),
    /// Show what is left of limits, or give everything back
    #[command(subcommand)]
    Limits(LimitsCommand),
    /// Show who used what
    Usage(UsageCommand),
}

/// Whom a command is about: one key, all of a consumer's, or who calls without one from an address.
#[derive(Clone)]
pub(crate) enum Subject {
    Key(KeyId),
    Consumer(ConsumerId),
    Visitor(ConsumerId),
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(address) = text.strip_prefix("ip:") {
            let told = |error: AddressPartitionError| error.to_string();
            return Ok(Self::Visitor(ConsumerId::visitor(address.parse().map_err(told)?)));
        }
        match text.parse() {
            Ok(id) => Ok(Self::Key(id)),
            Err(_) => {
                ConsumerId::parse(text).map(Self::Consumer).map_err(|error| error.to_string())
            }
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => id.fmt(f),
            Self::Consumer(consumer) | Self::Visitor(consumer) => consumer.fmt(f),
        }
    }
}

/// Reads a key id.
pub(crate) fn key_id(text: &str) -> Result<KeyId, String> {
    text.parse().map_err(|error| format!("{error}; `keygate keys list` shows ids"))
}

/// Reads `name=value`.
pub(crate) fn attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write name=value, such as country=FR")?;
    if name.is_empty() {
        return Err("the name before `=` is missing; write it as in country=FR".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_subject_is_a_key_id_or_an_address_or_else_a_consumer() {
        assert!(matches!("key_0123456789ABCDef".parse(), Ok(Subject::Key(_))));
        for consumer in ["acme", "key_", "key_0123", "a{b}:c", "0"] {
            assert!(matches!(consumer.parse(), Ok(Subject::Consumer(_))), "{consumer}");
        }
        for visitor in ["ip:2001:db8:1:2::7", "ip:2001:db8:1:2::/64"] {
            let Ok(Subject::Visitor(visitor)) = visitor.parse() else { panic!("{visitor}") };
            assert_eq!(visitor.as_str(), "ip:2001:db8:1:2::/64");
        }
        for bad in
            ["", "two words", "a\r\nb", "🔑", &"x".repeat(10_000), "ip:", "ip:acme", "ip:1.2.3"]
        {
            assert!(bad.parse::<Subject>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_attribute_has_a_name_and_a_value() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(attribute("country=FR"), pair("country", "FR"));
        assert_eq!(attribute("note=a=b"), pair("note", "a=b"));
        assert_eq!(attribute("empty="), pair("empty", ""));
        assert!(attribute("country").is_err());
        assert!(attribute("=FR").is_err());
    }
}

//! The command line: what stands on it everywhere, and the values that several commands take.

use clap::{Args, ColorChoice, Parser, Subcommand};

use crate::plans::PlansCommand;

const EXAMPLES: &str = "\
Examples:
  export KEYGATE_STORE=redis://127.0.0.1:6379
  keygate plans apply plans.toml

Secrets:
  Arguments of a command can be read by everybody on its machine. So a store's URL with a password
  belongs into KEYGATE_STORE.

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
    /// Put plans in force, and show them
    #[command(subcommand)]
    Plans(PlansCommand),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

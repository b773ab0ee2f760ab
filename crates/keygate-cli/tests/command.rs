//! The `keygate` command as its users meet it: the program itself, before a Redis of its own.

// So that the lints that spare tests spare their helpers.
#![cfg(test)]
#![expect(clippy::string_slice, reason = "keys are ASCII")]

#[path = "command/failures.rs"]
mod failures;
#[path = "command/hostile.rs"]
mod hostile;
#[path = "command/issue.rs"]
mod issue;
#[path = "command/keys.rs"]
mod keys;
#[path = "command/limits.rs"]
mod limits;
#[path = "command/pepper.rs"]
mod pepper;
#[path = "command/plans.rs"]
mod plans;
#[path = "command/rotate.rs"]
mod rotate;
#[path = "command/support/mod.rs"]
mod support;
#[path = "command/terminal.rs"]
mod terminal;
#[path = "command/usage.rs"]
mod usage;

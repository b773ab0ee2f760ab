//! From arguments to a command, or to one line that says what is wrong with them.
//!
//! The line names flags and repeats no values: one of them may be a key or a password.

use std::{env, error::Error, ffi::OsString, process::ExitCode};

use clap::{
    ColorChoice, CommandFactory, FromArgMatches,
    error::{ContextKind, ContextValue, ErrorKind},
};
use keygate::key::KeyFormat;

use crate::{args::Cli, error::Failure, output::Output};

/// The command that the arguments ask for; or the exit code, when everything has been said.
pub(crate) fn read() -> Result<Cli, ExitCode> {
    let arguments: Vec<OsString> = env::args_os().collect();
    let color = color(&arguments);
    if arguments.iter().any(holds_secret) {
        let fix = "give its id, `key_…`; and rotate it, for arguments can be read by others";
        let failure = Failure::Usage(format!("an argument is the secret text of a key: {fix}"));
        return Err(Output::new(false, color).fail(&failure));
    }
    let command = command(&arguments);
    let parsed = Cli::command()
        .color(color)
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    parsed.map_err(|error| end(&error, &command, color))
}

/// What `--color` asks for, before anything else is understood: help is coloured too.
fn color(arguments: &[OsString]) -> ColorChoice {
    let words = arguments.iter().filter_map(|argument| argument.to_str());
    let next = words.clone().skip(1).map(Some).chain([None]);
    let given = words.zip(next).find_map(|(word, next)| match word {
        "--color" => next,
        word => word.strip_prefix("--color="),
    });
    match given {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}

fn end(error: &clap::Error, command: &str, color: ColorChoice) -> ExitCode {
    use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    match error.kind() {
        DisplayHelp | DisplayVersion => {
            // Whoever reads it may have had enough.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(Failure::Usage(String::new()).code())
        }
        _ => {
            let message = format!("{}; see `{command} --help`", told(error));
            Output::new(false, color).fail(&Failure::Usage(message))
        }
    }
}

fn told(error: &clap::Error) -> String {
    let argument = context(error, ContextKind::InvalidArg);
    let valid = context(error, ContextKind::ValidValue);
    match error.kind() {
        ErrorKind::MissingRequiredArgument => format!("missing: {argument}"),
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            match context(error, ContextKind::SuggestedArg).as_str() {
                "" => format!("there is no {argument} here"),
                suggested => format!("there is no {argument} here; is it {suggested}?"),
            }
        }
        ErrorKind::UnknownArgument => "there is an argument too many".to_owned(),
        ErrorKind::MissingSubcommand => {
            format!("name a command: {}", context(error, ContextKind::ValidSubcommand))
        }
        ErrorKind::InvalidSubcommand => {
            match context(error, ContextKind::SuggestedSubcommand).as_str() {
                "" => "there is no such command".to_owned(),
                suggested => format!("there is no such command; is it {suggested}?"),
            }
        }
        ErrorKind::InvalidValue if !valid.is_empty() => format!("{argument} is one of {valid}"),
        ErrorKind::InvalidValue => format!("{argument} needs a value"),
        ErrorKind::ValueValidation => match error.source() {
            Some(source) => format!("{argument}: {source}"),
            None => format!("{argument} is not understood"),
        },
        ErrorKind::ArgumentConflict => {
            let prior = context(error, ContextKind::PriorArg);
            format!("{argument} cannot stand with {prior}; leave one of them out")
        }
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8; write it so".to_owned(),
        kind => format!("{kind}: {argument}"),
    }
}

fn context(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    }
}

/// Whether the whole text of a key, of whatever service, stands in this: as a word, or as what something is
/// set to.
fn holds_secret(argument: &OsString) -> bool {
    let is_secret = |text: &str| {
        let words = text.rsplit_once('_').and_then(|(head, _)| head.split_once('_'));
        let format = words.and_then(|(prefix, env)| KeyFormat::new(prefix, env).ok());
        format.is_some_and(|format| format.check(text.as_bytes()).is_ok())
    };
    let text = argument.to_str().unwrap_or_default();
    let ends_word = |char: char| char.is_whitespace() || "=,;:\"'".contains(char);
    text.split(ends_word).any(is_secret)
}

/// The command that is meant: the words before any that is none.
fn command(arguments: &[OsString]) -> String {
    let mut path = "keygate".to_owned();
    let mut at = Cli::command();
    for word in arguments.iter().skip(1) {
        if let Some(next) = at.find_subcommand(word).cloned() {
            path = format!("{path} {}", next.get_name());
            at = next;
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_command_that_is_meant_is_found() {
        let meant = |line| command(&words(line));
        assert_eq!(meant("keygate"), "keygate");
        assert_eq!(meant("keygate --json keys issue --consumer list"), "keygate keys issue");
        assert_eq!(meant("keygate kyes issue"), "keygate");
    }

    #[test]
    fn the_text_of_a_key_is_noticed() {
        let key = "acme_test_0123456789ABCDEFGHIJKLMNOPQRSTUV";
        let [format, other] = ["test", "live"].map(|env| KeyFormat::new("acme", env).unwrap());
        for format in [format, other] {
            let key = format.mint().unwrap();
            assert!(holds_secret(&key.expose().into()));
            let key = key.expose();
            for text in [
                format!("--consumer={key}"),
                format!("--attribute=token={key}"),
                format!("--name=of {key}"),
                format!(" {key}\n"),
                format!("Bearer:{key}"),
            ] {
                assert!(holds_secret(&text.into()));
            }
        }
        for other in [key, "", "=", "__", "key_0123456789ABCDef", "acme"] {
            assert!(!holds_secret(&other.into()), "{other}");
        }
    }

    #[test]
    fn color_is_known_before_the_rest_is() {
        let asked = |line| color(&words(line));
        assert_eq!(asked("keygate --color never"), ColorChoice::Never);
        assert_eq!(asked("keygate keys --color=always --nonsense"), ColorChoice::Always);
        assert_eq!(asked("keygate --color"), ColorChoice::Auto);
    }
}

#![doc = include_str!("../README.md")]

mod args;
mod command_line;
mod confirm;
mod error;
mod keys;
mod limits;
mod output;
mod pepper;
mod plans;
mod store;
mod time;
mod usage;

use std::process::ExitCode;

use crate::{
    args::{Cli, Group},
    error::Failure,
    output::Output,
};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match command_line::read() {
        Ok(cli) => cli,
        Err(ended) => return ended,
    };
    let output = Output::new(cli.global.json, cli.global.color);
    match run(&cli, &output).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.fail(&failure),
    }
}

async fn run(cli: &Cli, output: &Output) -> Result<(), Failure> {
    match &cli.group {
        Group::Keys(command) => command.run(&cli.global, output).await,
        Group::Plans(command) => command.run(&cli.global, output).await,
        Group::Limits(command) => command.run(&cli.global, output).await,
        Group::Usage(command) => command.run(&cli.global, output).await,
    }
}

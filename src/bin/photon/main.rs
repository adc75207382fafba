//! The command line: `photon generate`, `score`, `eval`, `info` and `bench`.

mod args;
mod bench;
mod engine;
mod eval;
mod generate;
mod info;
mod input;
mod instruments;
mod memory;
mod output;
mod score;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use photon_kernels::{Error, Result};

use args::{Args, Command};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// Exit code of bad input: arguments, files, checkpoints.
const BAD_INPUT: u8 = 2;
/// Exit code where the input was fine and the machine was not.
const FAILED: u8 = 1;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        // Help and version: the message is what was asked for, and nobody may be reading it any more.
        Err(asked) if !asked.use_stderr() => {
            let _ = asked.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            let message = match error.kind() {
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                    "a command is needed: generate, score, eval, info or bench; --help describes them".into()
                }
                _ => usage_line(&error.to_string()),
            };
            output::complain(&message);
            return ExitCode::from(BAD_INPUT);
        }
    };
    match run(&args.command) {
        Ok(()) => ExitCode::SUCCESS,
        // A closed pipe is how `| head` says that it has enough.
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error.to_string());
            ExitCode::from(exit_code(&error))
        }
    }
}

/// Whether the machine or the input is to blame.
fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Backend(_) | Error::NoDevice(_) | Error::OutOfMemory(_) => FAILED,
        _ => BAD_INPUT,
    }
}

fn run(command: &Command) -> Result<()> {
    match command {
        Command::Generate(args) => generate::run(args),
        Command::Score(args) => score::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Info(args) => info::run(args),
        Command::Bench(args) => bench::run(args),
    }
}

/// The paragraph of a usage error that says what is wrong, on one line.
fn usage_line(message: &str) -> String {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let lines = message.lines().map(str::trim).take_while(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

//! The command line: questions about an instrument master, the stand-in for the broker,
//! and questions to a server.
//!
//! [`arguments`] says what can be written, one module per command does it, and
//! everything for standard output goes through [`output`].

mod admin;
mod arguments;
mod auth;
mod chain;
mod client;
mod help;
mod hint;
mod instruments;
mod output;
mod plan;
mod prices;
mod problem;
mod progress;
mod record;
mod signals;
mod sim;
mod status;
mod subs;
mod terminal;
mod tls;
mod watch;
mod watchlist;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use arguments::{Arguments, Command};
use output::Output;

/// 0 done, 1 cannot be done, 2 wrong usage (clap ends the process with that one).
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    terminal::choose(arguments.color);
    let Err(error) = run(arguments.command) else {
        return ExitCode::SUCCESS;
    };
    // Whoever read our output has seen enough, as with `| head`.
    if output::is_closed_pipe(&error) {
        return ExitCode::SUCCESS;
    }
    // Nobody is left to tell when even this fails.
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    ExitCode::FAILURE
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Instruments(command) => instruments::run(command),
        Command::Chain(arguments) => chain::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Sim(arguments) => sim::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Watch(arguments) => watch::run(&arguments),
        Command::Subs(command) => subs::run(command),
        Command::Watchlist(command) => watchlist::run(command),
        Command::Admin(command) => admin::run(command),
        Command::Auth(command) => auth::run(command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "strikewire", &mut script);
            Output::new().bytes(&script)
        }
    }
}

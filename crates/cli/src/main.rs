//! The command line: arguments in, printing and exit codes out. What is done lies in the other crates.

mod appliance;
mod args;
mod ask;
mod convert;
mod describe;
mod disk;
mod evidence;
mod exit;
mod inspect;
mod mapped;
mod output;
mod progress;
mod rehearse;
mod secret;
mod support;
mod target;

use args::{Cli, Command};
use clap::Parser as _;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("ANYVISOR_LOG").unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let done = match cli.command {
        Command::Inspect(args) => inspect::run(&args),
        Command::Describe(args) => describe::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Rehearse(args) => rehearse::run(&args),
        Command::Support(args) => support::run(&args),
        Command::Evidence(args) => evidence::run(&args),
        Command::Disk(args) => disk::run(&args),
        Command::Sources(args) => target::sources(&args),
        Command::Targets(args) => target::targets(&args),
        Command::Appliance(args) => appliance::run(&args),
    };
    done.unwrap_or_else(|error| exit::report(&error)).into()
}

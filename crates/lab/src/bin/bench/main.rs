//! The command `bench`: measures Anyvisor, and virt-v2v or qemu-img beside it on the same data in the same run.

mod appliance;
mod convert;
mod disk;
mod measure;
mod peer;
mod process;
mod report;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Measures Anyvisor, and its peers beside it.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Convert the lab's Debian guest, with Anyvisor and with virt-v2v.
    Convert(Convert),
    /// Boot the appliance until it answers.
    Appliance(Appliance),
    /// Convert a disk between all formats, with Anyvisor and with qemu-img.
    Disk(Disk),
}

#[derive(Args)]
struct Convert {
    /// How often Anyvisor converts the guest, before virt-v2v does and again behind it; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// How often virt-v2v does; a run takes minutes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    peer_runs: u32,
    /// Leave virt-v2v out.
    #[arg(long)]
    no_peer: bool,
    /// Where the report goes, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Args)]
struct Appliance {
    /// How often it is booted.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Where the report goes, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Args)]
struct Disk {
    /// How often each tool does each row; one that has taken a minute does it less often. The median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Fewer rows.
    #[arg(long)]
    quick: bool,
    /// Only rows whose name holds this: `raw -> qcow2`, `vhdx`, `xfs`, `huge`, `checksum`.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Where the report goes, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn main() -> Result<()> {
    let default = || Command::Convert(Convert { runs: 3, peer_runs: 1, no_peer: false, report: None });
    match Arguments::parse().command.unwrap_or_else(default) {
        Command::Convert(args) => {
            let peer_runs = if args.no_peer { 0 } else { args.peer_runs };
            let report = convert::run(args.runs, peer_runs)?;
            print(&report.to_string())?;
            report::write(&report, &args.report.unwrap_or(beside_binary("bench-convert.json")?))
        }
        Command::Appliance(args) => {
            let report = appliance::run(args.runs)?;
            print(&report.to_string())?;
            report::write(&report, &args.report.unwrap_or(beside_binary("bench-appliance.json")?))
        }
        Command::Disk(args) => {
            let options = disk::Options { runs: args.runs, quick: args.quick, only: args.only };
            let report = disk::run(options)?;
            print(&report.to_string())?;
            report::write(&report, &args.report.unwrap_or(beside_binary("bench-disk.json")?))
        }
    }
}

/// A file in the directory of this program: cargo's target directory.
fn beside_binary(name: &str) -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(program.parent().unwrap_or(Path::new(".")).join(name))
}

fn print(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}

/// A line of progress on standard error; that nobody can hear it is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "bench: {line}");
}

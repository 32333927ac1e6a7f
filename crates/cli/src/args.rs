//! The command line.

use crate::disk::Disk;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Move virtual machines between hypervisors, with proof that they boot.
#[derive(Debug, Parser)]
#[command(name = "anyvisor", version, about, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done · 1 failed · 2 wrong usage · 3 the source was refused, with the objections \
     and their remedies · 4 the rehearsal did not boot.\n\
     With --json, standard output holds one JSON document; talk and progress always go to standard error.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what a machine is: its hardware, its disks, and the system inside them
    Inspect(Inspect),
    /// Make a machine for another hypervisor
    Convert(Convert),
    /// Boot a throwaway copy on a hypervisor's virtual hardware, and show the evidence
    Rehearse(Rehearse),
    /// Convert, examine, check, compare, make and serve virtual disks by themselves
    Disk(Disk),
    /// Look after the small virtual machine in which guests are edited
    Appliance(Appliance),
}

/// `anyvisor inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// An .ova, .ovf or .vmx file, or a lone disk image
    pub(crate) source: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `anyvisor convert`.
#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// An .ova, .ovf or .vmx file, or a lone disk image; it is only read
    pub(crate) source: PathBuf,
    /// The hypervisor to move to
    #[arg(long, value_name = "TARGET", value_parser = ["kvm"])]
    pub(crate) to: String,
    /// The directory that receives the new machine
    #[arg(long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// The new machine's name, instead of the source's
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The format of the new disks
    #[arg(long, value_name = "FORMAT", default_value = "qcow2")]
    pub(crate) disk_format: DiskFormat,
    /// Convert the disks and the description, and leave the guest inside as it is
    #[arg(long)]
    pub(crate) disks_only: bool,
    /// Print the plan, and touch nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Boot the result before it counts as finished
    #[arg(long)]
    pub(crate) rehearse: bool,
    /// How long the rehearsal may take before the guest counts as not booting, in seconds
    #[arg(long, value_name = "SECONDS", requires = "rehearse", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: Option<u64>,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `anyvisor rehearse`.
#[derive(Debug, Args)]
pub(crate) struct Rehearse {
    /// A directory or manifest that `anyvisor convert` wrote, or a source as `convert` takes it
    pub(crate) source: PathBuf,
    /// The hypervisor whose virtual hardware to boot on; by default the one that the machine was converted for
    #[arg(long, value_name = "TARGET", default_value = "kvm", value_parser = ["kvm"])]
    pub(crate) on: String,
    /// How long the guest may take before it counts as not booting, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: Option<u64>,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `anyvisor appliance`.
#[derive(Debug, Args)]
pub(crate) struct Appliance {
    /// What to do with it.
    #[command(subcommand)]
    pub(crate) command: ApplianceCommand,
}

/// What to do with the appliance.
#[derive(Debug, Subcommand)]
pub(crate) enum ApplianceCommand {
    /// Fetch a kernel for it from this system's packages, into the user's cache
    Install,
}

/// The format of new disks.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DiskFormat {
    /// QEMU's copy-on-write format
    Qcow2,
    /// The bytes as the guest sees them, in a sparse file
    Raw,
}

impl From<DiskFormat> for migrate::plan::DiskFormat {
    fn from(format: DiskFormat) -> Self {
        match format {
            DiskFormat::Qcow2 => Self::Qcow2,
            DiskFormat::Raw => Self::Raw,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

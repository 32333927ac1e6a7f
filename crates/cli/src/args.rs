//! The command line.

use crate::disk::Disk;
use crate::secret;
use clap::{Args, Parser, Subcommand, ValueEnum};
use dialect::package::OpenOptions;
use guest::volume::Secret;
use profile::Profile;
use profile::support::Place;
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
    /// Read a description alone, its disks there or not, and say what it says, in another dialect if wanted
    Describe(Describe),
    /// Make a machine for another hypervisor
    Convert(Convert),
    /// Boot a throwaway copy on a hypervisor's virtual hardware, and show the evidence
    Rehearse(Rehearse),
    /// Say which vendor supports a guest on a hypervisor, with the source, and what was seen here
    Support(Support),
    /// Look after the signed evidence of rehearsals
    Evidence(Evidence),
    /// Convert, examine, check, compare, make and serve virtual disks by themselves
    Disk(Disk),
    /// List what can be read
    Sources(Listing),
    /// List the hypervisors to which machines can be moved, with their limits
    Targets(Listing),
    /// Look after the small virtual machine in which guests are edited
    Appliance(Appliance),
}

/// `anyvisor sources`, `anyvisor targets`.
#[derive(Debug, Args)]
pub(crate) struct Listing {
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `anyvisor describe`.
#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// What `anyvisor sources` lists; several, or a directory of them, are described one after the other
    #[arg(required = true)]
    pub(crate) sources: Vec<PathBuf>,
    /// The dialect in which to say it; by default the machine as Anyvisor sees it
    #[arg(long = "as", value_name = "DIALECT")]
    pub(crate) dialect: Option<String>,
    /// The hypervisor on whose hardware the machine is to be; by default the first that speaks the dialect
    #[arg(long, value_name = "TARGET[:RELEASE]", value_parser = crate::target::parse)]
    pub(crate) to: Option<&'static Profile>,
    /// What a network of the source's is on the target, as for `convert`
    #[arg(long, value_name = "SOURCE=TARGET")]
    pub(crate) map_network: Vec<String>,
    /// Of an OVF or OVA with several machines, only the one with that name or identifier
    #[arg(long, value_name = "NAME")]
    pub(crate) machine: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which machine of a source is meant, where its disks may lie, and what unlocks them.
#[derive(Debug, Args)]
pub(crate) struct Access {
    /// A directory below which its disks may lie too, beside the description's own
    #[arg(long, value_name = "DIR")]
    pub(crate) within: Vec<PathBuf>,
    /// A block device that the description may name (`/dev/vg0/web`), or a directory below /dev with such devices; no other is
    /// read
    #[arg(long, value_name = "PATH")]
    pub(crate) allow_device: Vec<PathBuf>,
    /// Which machine is meant, by its name or identifier, when an OVF or OVA holds several
    #[arg(long, value_name = "NAME")]
    pub(crate) machine: Option<String>,
    /// A file whose first line unlocks the guest's encrypted volumes (LUKS), and is typed where a rehearsed guest asks for it; on a
    /// terminal a passphrase that is not given is asked for
    #[arg(long, value_name = "FILE")]
    passphrase_file: Vec<PathBuf>,
    /// A file whose contents, all of them, unlock the guest's encrypted volumes (LUKS)
    #[arg(long, value_name = "FILE")]
    key_file: Vec<PathBuf>,
}

impl Access {
    /// What unlocks the guest's volumes.
    ///
    /// # Errors
    /// When a file cannot be read, or is larger than any key.
    pub(crate) fn secrets(&self) -> anyhow::Result<Vec<Secret>> {
        let passphrases = self.passphrase_file.iter().map(|path| secret::passphrase(path));
        passphrases.chain(self.key_file.iter().map(|path| secret::key(path))).collect()
    }
}

impl From<&Access> for OpenOptions {
    fn from(access: &Access) -> Self {
        Self {
            within: access.within.clone(),
            devices: access.allow_device.clone(),
            machine: access.machine.clone(),
        }
    }
}

/// `anyvisor inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// What `anyvisor sources` lists: a description, a package, a directory of one, or a lone disk image
    pub(crate) source: PathBuf,
    /// Which machine, and where its disks may lie.
    #[command(flatten)]
    pub(crate) access: Access,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `anyvisor convert`.
#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// What `anyvisor sources` lists: a description, a package, a directory of one, or a lone disk image; it is only read
    pub(crate) source: PathBuf,
    /// The hypervisor to move to, with its release where that matters: `kvm`, `esxi:7.0` (`anyvisor targets` lists them)
    #[arg(long, value_name = "TARGET[:RELEASE]", value_parser = crate::target::parse)]
    pub(crate) to: &'static Profile,
    /// How the new machine is packed: `files`, `ova`, … ; the target's usual way by default
    #[arg(long, value_name = "PACKAGE")]
    pub(crate) package: Option<String>,
    /// Virtual processors, instead of what the source says; a lone disk says nothing
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub(crate) cpus: Option<u32>,
    /// Memory, instead of what the source says: 4G, 512M
    #[arg(long, value_name = "SIZE", value_parser = crate::disk::size)]
    pub(crate) memory: Option<u64>,
    /// What starts the guest, instead of what the source says
    #[arg(long, value_name = "FIRMWARE")]
    pub(crate) firmware: Option<Firmware>,
    /// Hyper-V's generation of machines, when it has to be that one: 1 is BIOS, 2 is UEFI
    #[arg(long, value_name = "1|2", value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(crate) generation: Option<u8>,
    /// The directory that receives the new machine
    #[arg(long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// The new machine's name, instead of the source's
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The format of the new disks; the package's usual one by default
    #[arg(long, value_name = "FORMAT")]
    pub(crate) disk_format: Option<String>,
    /// What a network of the source's is on the target, or a file of such lines: `VM Network=br0`, `*=network:default`, `@FILE`
    #[arg(long, value_name = "SOURCE=TARGET")]
    pub(crate) map_network: Vec<String>,
    /// Which storage of the target's holds the disks of one of the source's, or a file of such lines: `datastore1=local-lvm`,
    /// `@FILE`
    #[arg(long, value_name = "SOURCE=TARGET")]
    pub(crate) map_storage: Vec<String>,
    /// Which machine, and where its disks may lie.
    #[command(flatten)]
    pub(crate) access: Access,
    /// Convert the disks and the description, and leave the guest inside as it is
    #[arg(long)]
    pub(crate) disks_only: bool,
    /// Print the plan, and touch nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Boot the result before it counts as finished, and put the evidence, signed, beside the manifest
    #[arg(long)]
    pub(crate) rehearse: bool,
    /// How the evidence is signed.
    #[command(flatten)]
    pub(crate) signing: Signing,
    /// How long the rehearsal may take before the guest counts as not booting, in seconds
    #[arg(long, value_name = "SECONDS", requires = "rehearse", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: Option<u64>,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// What starts a guest.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Firmware {
    /// A PC BIOS
    Bios,
    /// UEFI
    Uefi,
}

impl From<Firmware> for profile::FirmwareKind {
    fn from(firmware: Firmware) -> Self {
        match firmware {
            Firmware::Bios => Self::Bios,
            Firmware::Uefi => Self::Uefi,
        }
    }
}

/// `anyvisor rehearse`.
#[derive(Debug, Args)]
#[command(after_help = crate::rehearse::grades())]
pub(crate) struct Rehearse {
    /// A directory or manifest that `anyvisor convert` wrote, or a source as `convert` takes it
    pub(crate) source: PathBuf,
    /// The hypervisor whose virtual hardware to boot on; by default the one that the machine was converted for, KVM for a source
    #[arg(long, value_name = "TARGET[:RELEASE]", value_parser = crate::target::parse)]
    pub(crate) on: Option<&'static Profile>,
    /// Which machine of a source, where its disks may lie, and what unlocks the guest's volumes.
    #[command(flatten)]
    pub(crate) access: Access,
    /// Write the evidence, signed, into this new file
    #[arg(long, value_name = "FILE")]
    pub(crate) evidence: Option<PathBuf>,
    /// How the evidence is signed.
    #[command(flatten)]
    pub(crate) signing: Signing,
    /// Boot nothing: look for the drivers of the hypervisor's devices in the guest's files
    #[arg(long = "static", conflicts_with = "timeout")]
    pub(crate) without_boot: bool,
    /// How long the guest may take before it counts as not booting, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: Option<u64>,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `anyvisor support`.
#[derive(Debug, Args)]
pub(crate) struct Support {
    /// A system (`rhel-9`, `debian-12`, `windows-2019`) or a source, which is looked into; every system by default
    pub(crate) guest: Option<String>,
    /// The hypervisor, or a product with it (`sles-kvm`), with its release where one is meant; every one by default
    #[arg(long, value_name = "HYPERVISOR[:RELEASE]", value_parser = crate::support::place)]
    pub(crate) on: Option<Place>,
    /// Where a source's disks may lie.
    #[command(flatten)]
    pub(crate) access: Access,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `anyvisor evidence`.
#[derive(Debug, Args)]
pub(crate) struct Evidence {
    /// What to do with it.
    #[command(subcommand)]
    pub(crate) command: EvidenceCommand,
}

/// What to do with evidence.
#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Check that evidence is as it was signed, and say who signed what
    #[command(after_help = VERIFY_HELP)]
    Verify(Verify),
}

const VERIFY_HELP: &str = "A signature says that nothing was changed since, and which key vouches for it: anybody can make a key. With --key, \
     exit code 0 means that this key signed all of the files; without, only that none was changed.";

/// `anyvisor evidence verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// What `anyvisor rehearse --evidence` and `anyvisor convert --rehearse` wrote
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The public key that has to have signed: its digits, or a PEM file
    #[arg(long, value_name = "PUBLIC")]
    pub(crate) key: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is made of a rehearsal's evidence.
#[derive(Debug, Args)]
pub(crate) struct Signing {
    /// The private key that signs the evidence, a PEM file; by default the user's own, which is made at its first use
    #[arg(long, value_name = "FILE")]
    pub(crate) evidence_key: Option<PathBuf>,
    /// Read the disks whose digests are not known yet, for the evidence
    #[arg(long)]
    pub(crate) checksum: bool,
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
    Install {
        /// Fetch Xen instead, and what its first domain is made of, for rehearsals on Xen and XCP-ng
        #[arg(long)]
        xen: bool,
    },
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

//! The command line of `anyvisor disk`.

use super::size::{self, NewSize};
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use image::{Compression, CopyOptions, Format};
use std::path::PathBuf;

/// `anyvisor disk`.
#[derive(Debug, Args)]
pub(crate) struct Disk {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: DiskCommand,
}

/// What to do with a disk.
#[derive(Debug, Subcommand)]
pub(super) enum DiskCommand {
    /// Copy a disk to a new image, in any format
    #[command(after_help = CONVERT_EXAMPLES)]
    Convert(Convert),
    /// Say what an image is: format, sizes, chain, snapshots
    #[command(after_help = INFO_EXAMPLES)]
    Info(Info),
    /// Say where each run of the disk lies
    #[command(after_help = MAP_EXAMPLES)]
    Map(Map),
    /// Look for damage in an image's structure, and in the images below it
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Check),
    /// Say whether two disks hold the same, whatever their formats
    #[command(after_help = COMPARE_EXAMPLES)]
    Compare(Compare),
    /// Compute the digest of what a guest would see, the same whatever the format
    #[command(after_help = CHECKSUM_EXAMPLES)]
    Checksum(Checksum),
    /// Make an image without data
    #[command(after_help = CREATE_EXAMPLES)]
    Create(Create),
    /// Give the disk in an image a new size, in place
    #[command(after_help = RESIZE_EXAMPLES)]
    Resize(Resize),
    /// Serve a disk over NBD, until Ctrl-C
    #[command(after_help = SERVE_EXAMPLES, group(ArgGroup::new("where").required(true).args(["socket", "port"])))]
    Serve(Serve),
}

const CONVERT_EXAMPLES: &str = "Examples:
  anyvisor disk convert web.vmdk web.qcow2
  anyvisor disk convert web.qcow2 web.vmdk --subformat streamOptimized
  anyvisor disk convert web.vhdx web.qcow2 --compress=zstd --checksum
  anyvisor disk convert top.qcow2 out/top.vhdx --chain keep     the images below it too, each on its parent
  anyvisor disk convert /dev/vg0/web web.img";

const INFO_EXAMPLES: &str = "Examples:
  anyvisor disk info web.vmdk
  anyvisor disk info web.qcow2 --json | jq .virtual_size";

const MAP_EXAMPLES: &str = "Examples:
  anyvisor disk map web.qcow2
  anyvisor disk map web.qcow2 --json | jq 'map(select(.data).length) | add'
With --json the output is what qemu-img map --output=json prints, with the file's name added.";

const CHECK_EXAMPLES: &str = "Examples:
  anyvisor disk check web.vhdx
  anyvisor disk check web.qcow2 --repair
The guest's data is not read. Exit codes: 0 nothing is damaged (leaks waste room and harm nothing), 1 something is.";

const COMPARE_EXAMPLES: &str = "Examples:
  anyvisor disk compare web.vmdk web.qcow2
  anyvisor disk compare a.img b.img --strict     their sizes must be the same too
Behind its end the smaller disk counts as zeroes. Exit codes: 0 the same, 1 different, 2 something failed, 3 an image \
was refused.";

const CHECKSUM_EXAMPLES: &str = "Examples:
  anyvisor disk checksum web.vmdk                          what b3sum says of a raw image
  anyvisor disk checksum web.qcow2 --algorithm sha256      what sha256sum says of it";

const CREATE_EXAMPLES: &str = "Examples:
  anyvisor disk create data.qcow2 --size 100G
  anyvisor disk create data.vhdx --size 1T --subformat fixed --preallocate
  anyvisor disk create test.qcow2 --backing golden.qcow2     what is written to it never reaches golden.qcow2";

const RESIZE_EXAMPLES: &str = "Examples:
  anyvisor disk resize web.qcow2 +10G
  anyvisor disk resize web.vhdx 8G --shrink     only when the guest has given the rest up";

const SERVE_EXAMPLES: &str = "Examples:
  anyvisor disk serve web.vmdk --socket web.sock       and then: nbdinfo 'nbd+unix:///?socket=web.sock'
  anyvisor disk serve web.vhdx --port 0 --overlay      any free port of the loopback address; writes are thrown away
  qemu-system-x86_64 -drive file=nbd:unix:web.sock,format=raw,if=virtio
Standard output has the URI. The image is never written.";

/// An image that is read.
#[derive(Debug, Default, Args)]
pub(super) struct Source {
    /// Its format, instead of looking what it is
    #[arg(long, value_name = "FORMAT", value_parser = readable)]
    pub(super) from: Option<&'static Format>,
    /// The internal snapshot to read, by its identifier or its name, instead of the present state
    #[arg(long, value_name = "NAME")]
    pub(super) snapshot: Option<String>,
    /// A file whose first line unlocks encrypted images
    #[arg(long, value_name = "FILE")]
    pub(super) passphrase_file: Option<PathBuf>,
}

/// What a new image is to be.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// The new image's format, instead of what its ending says
    #[arg(long, value_name = "FORMAT", value_parser = writable)]
    pub(super) to: Option<&'static Format>,
    /// The variant of the format: streamOptimized, fixed, …
    #[arg(long, value_name = "NAME")]
    pub(super) subformat: Option<String>,
    /// The unit in which the new image keeps data: 64K, 1M
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(super) cluster_size: Option<u64>,
    /// Reserve room for the whole disk
    #[arg(long)]
    pub(super) preallocate: bool,
    /// Keep the guest's data in a raw file of its own beside the image (qcow2)
    #[arg(long)]
    pub(super) data_file: bool,
}

/// `anyvisor disk convert`.
#[derive(Debug, Args)]
pub(super) struct Convert {
    /// The image or block device to copy; it is only read
    pub(super) source: PathBuf,
    /// The new image; it must not exist
    pub(super) target: PathBuf,
    #[command(flatten)]
    pub(super) options: Source,
    #[command(flatten)]
    pub(super) new: Target,
    /// Compress the data, where the format leaves the choice
    #[arg(long, value_name = "METHOD", num_args = 0..=1, require_equals = true, default_missing_value = "zlib")]
    pub(super) compress: Option<Method>,
    /// What becomes of the images below the source
    #[arg(long, value_name = "WHAT", default_value = "flatten")]
    pub(super) chain: Chain,
    /// Compute the BLAKE3 digest of the content on the way
    #[arg(long)]
    pub(super) checksum: bool,
    /// Do not wait until the new image is safe from a power cut
    #[arg(long)]
    pub(super) no_sync: bool,
    #[command(flatten)]
    pub(super) threads: Threads,
    /// Replace the new image when it exists
    #[arg(long)]
    pub(super) force: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

/// `anyvisor disk info`.
#[derive(Debug, Args)]
pub(super) struct Info {
    /// The image or block device
    pub(super) image: PathBuf,
    #[command(flatten)]
    pub(super) options: Source,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

/// `anyvisor disk map`.
#[derive(Debug, Args)]
pub(super) struct Map {
    /// The image or block device
    pub(super) image: PathBuf,
    #[command(flatten)]
    pub(super) options: Source,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

/// `anyvisor disk check`.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The image
    pub(super) image: PathBuf,
    #[command(flatten)]
    pub(super) options: Source,
    /// Repair in place what is safe to repair; nobody else may be using the image
    #[arg(long)]
    pub(super) repair: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

/// `anyvisor disk compare`.
#[derive(Debug, Args)]
pub(super) struct Compare {
    /// An image or block device
    pub(super) first: PathBuf,
    /// Another
    pub(super) second: PathBuf,
    /// The first one's format, instead of looking what it is
    #[arg(long, value_name = "FORMAT", value_parser = readable)]
    from: Option<&'static Format>,
    /// The second one's format, instead of looking what it is
    #[arg(long, value_name = "FORMAT", value_parser = readable)]
    second_from: Option<&'static Format>,
    /// A file whose first line unlocks encrypted images
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Count disks of different sizes as different
    #[arg(long)]
    pub(super) strict: bool,
    #[command(flatten)]
    pub(super) threads: Threads,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

impl Compare {
    /// How the first image is read.
    pub(super) fn first_options(&self) -> Source {
        Source { from: self.from, passphrase_file: self.passphrase_file.clone(), ..Source::default() }
    }

    /// How the second image is read.
    pub(super) fn second_options(&self) -> Source {
        Source { from: self.second_from, ..self.first_options() }
    }
}

/// `anyvisor disk checksum`.
#[derive(Debug, Args)]
pub(super) struct Checksum {
    /// The image or block device
    pub(super) image: PathBuf,
    #[command(flatten)]
    pub(super) options: Source,
    /// Which digest
    #[arg(long, value_name = "NAME", default_value = "blake3")]
    pub(super) algorithm: Algorithm,
    #[command(flatten)]
    pub(super) threads: Threads,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

/// A digest.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Algorithm {
    /// BLAKE3, by all processors
    Blake3,
    /// SHA-256, by one: it has to be computed in order
    Sha256,
}

/// How many threads work.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Threads {
    /// How many threads work; by default as many as there are processors
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
}

impl Threads {
    /// How many threads work.
    pub(super) fn count(self) -> usize {
        self.threads.map_or_else(|| CopyOptions::default().threads, usize::from)
    }
}

/// `anyvisor disk create`.
#[derive(Debug, Args)]
pub(super) struct Create {
    /// The new image; it must not exist
    pub(super) target: PathBuf,
    /// The disk's size: 10G; by default that of the image below it
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(super) size: Option<u64>,
    #[command(flatten)]
    pub(super) new: Target,
    /// The image that the new one stands on: what it does not hold itself is read there
    #[arg(long, value_name = "FILE")]
    pub(super) backing: Option<PathBuf>,
    /// That image's format, instead of looking what it is
    #[arg(long, value_name = "FORMAT", value_parser = readable, requires = "backing")]
    pub(super) backing_format: Option<&'static Format>,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

/// `anyvisor disk resize`.
#[derive(Debug, Args)]
pub(super) struct Resize {
    /// The image, which nobody else may be using
    pub(super) image: PathBuf,
    /// The new size (20G), or by how much the disk grows (+1G); what is added reads as zeroes
    #[arg(value_parser = size::parse_new)]
    pub(super) size: NewSize,
    /// Allow the disk to become smaller
    #[arg(long)]
    pub(super) shrink: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

/// `anyvisor disk serve`.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The image or block device; it is only read
    pub(super) image: PathBuf,
    #[command(flatten)]
    pub(super) options: Source,
    /// A new Unix socket to serve on, for this user alone
    #[arg(long, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
    /// A port of the loopback address to serve on, for every user of this machine; 0 is any that is free
    #[arg(long, value_name = "N")]
    pub(super) port: Option<u16>,
    /// Let clients write; what they write is thrown away in the end
    #[arg(long)]
    pub(super) overlay: bool,
    /// The name of the export
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(super) export: String,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

/// How data is compressed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Method {
    /// Deflate
    Zlib,
    /// Zstandard
    Zstd,
}

impl From<Method> for Compression {
    fn from(method: Method) -> Self {
        match method {
            Method::Zlib => Self::Zlib,
            Method::Zstd => Self::Zstd,
        }
    }
}

/// What becomes of a backing chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Chain {
    /// One image with the content of all
    Flatten,
    /// Every image is converted, and stands on its parent
    Keep,
}

/// A format whose images can be read.
fn readable(name: &str) -> Result<&'static Format, String> {
    pick(name, "read", Format::is_readable)
}

/// A format in which images can be written.
fn writable(name: &str) -> Result<&'static Format, String> {
    pick(name, "written", Format::is_writable)
}

fn pick(name: &str, done: &str, can: fn(&Format) -> bool) -> Result<&'static Format, String> {
    let found = image::by_name(name).filter(|format| can(format));
    found.ok_or_else(|| {
        let names = image::FORMATS.iter().filter(|format| can(format)).map(|format| format.name);
        format!("formats that are {done}: {}", names.collect::<Vec<_>>().join(", "))
    })
}

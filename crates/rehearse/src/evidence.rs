//! What a rehearsal found: [`Evidence`].
//!
//! It holds integers, strings and no fractions, so that its canonical form (RFC 8785) is the same wherever it is made.

use crate::cause::Cause;
use crate::drivers::DriverCheck;
use crate::facts::Facts;
use crate::instrument::Init;
use jiff::Timestamp;
use profile::Grade;
use qemu::Accelerator;
use serde::{Deserialize, Serialize};

/// The version of the layout of [`Evidence`]. A reader refuses another one.
pub const FORMAT: u32 = 1;

/// What a rehearsal found, on what, and how much that proves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The version of this layout: [`FORMAT`].
    pub format: u32,
    /// How much it proves.
    pub grade: Grade,
    /// Whether the guest was taken as it is, not converted for this hypervisor: a negative control.
    pub control: bool,
    /// Which guest.
    pub guest: GuestIdentity,
    /// What its disks hold, in the machine's order.
    pub disks: Vec<DiskContents>,
    /// The profile that was rehearsed: `kvm`.
    pub profile: String,
    /// The profile's version.
    pub profile_version: u32,
    /// The hypervisor's release, where another than the newest was asked for.
    pub release: Option<String>,
    /// The version of Anyvisor.
    pub anyvisor: String,
    /// When it was finished, in UTC.
    pub finished: Timestamp,
    /// Which drivers of the profile's devices were found in the guest's files; `None` where it has no Linux kernel.
    pub drivers: Option<DriverCheck>,
    /// How the guest was booted; `None` when it was not.
    pub run: Option<Run>,
    /// Why it was not booted.
    pub not_booted: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
}

/// Which guest was rehearsed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestIdentity {
    /// The machine's name.
    pub name: String,
    /// Its system's name for itself, where it is known.
    pub os: Option<String>,
}

/// What a disk holds: BLAKE3 digests, in hexadecimal, of everything that the guest sees of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskContents {
    /// The machine's name for the disk.
    pub id: String,
    /// Before the guest was converted, where that was read; of a finished target, by its manifest's word.
    pub before: Option<String>,
    /// As it was rehearsed, where that is known.
    pub rehearsed: Option<String>,
}

/// How a guest was booted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// What ran it, with its version: `QEMU 10.0.2`.
    pub hypervisor: String,
    /// What ran the guest's instructions.
    pub accelerator: Accelerator,
    /// Why it was that one.
    pub accelerator_reason: String,
    /// The machine that the guest got.
    pub hardware: Hardware,
    /// What was changed in the throwaway overlay so that the guest could report.
    pub preparation: Preparation,
    /// How long each part took.
    pub timings: Timings,
    /// How many prompts for a passphrase were answered at the console, as the administrator would. Older evidence says nothing
    /// of it: none was.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub passphrases_typed: u32,
    /// The lines of the console, without control characters and without what was typed; of a long one the last.
    pub console: Vec<String>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How a rehearsal ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The guest came up.
    Booted(Booted),
    /// It was not booted, and its drivers are where its kernel looks for them.
    Static,
    /// It did not come up, or lacks a driver.
    Failed(Failed),
}

/// A guest that came up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booted {
    /// How it is known.
    pub judged_by: JudgedBy,
    /// What the guest said of itself; only when it was judged by its report.
    pub facts: Option<Facts>,
    /// What an administrator should look at all the same.
    pub concerns: Vec<String>,
}

/// How it is known that a guest came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JudgedBy {
    /// It said so itself, with facts and a checksum.
    Report,
    /// Its console asked for a login; nothing else is known.
    Console,
}

/// A guest that did not come up, or came up on stand-ins only and lacks a driver of the real devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The likely cause.
    pub cause: Cause,
    /// What tells it: a line of the console, or the first driver that is missing.
    pub line: Option<String>,
    /// What the guest said of itself: one that stopped in emergency mode still can.
    pub facts: Option<Facts>,
}

/// The machine that the guest got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// QEMU's machine type.
    pub machine: String,
    /// The firmware: `BIOS`, `UEFI`, `UEFI with secure boot`.
    pub firmware: String,
    /// Virtual processors; at most as many as the host has.
    pub cpus: u32,
    /// Memory in MiB; less than the machine's own, where that is much.
    pub memory_mib: u64,
    /// QEMU's device for each disk, with the controller's: `scsi-hd on virtio-scsi-pci`.
    pub disks: Vec<String>,
    /// QEMU's device for each network card, with its hardware address.
    pub nics: Vec<String>,
    /// The machine's disks and cards that had a stand-in, because QEMU has no such device.
    pub stand_ins: Vec<String>,
}

/// What was changed in the throwaway overlay so that the guest could report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preparation {
    /// What starts the report; `None` when none could be added, and the console decides.
    pub report: Option<Init>,
    /// Why no report was added.
    pub reason: Option<String>,
    /// Boot loader configurations in which the kernel's messages were also sent to the serial port.
    pub console_added: Vec<String>,
}

/// How long each part took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// Adding the report to the guest, in the appliance.
    pub prepare_ms: u64,
    /// From QEMU's start to the kernel's: firmware and boot loader.
    pub firmware_to_kernel_ms: Option<u64>,
    /// From the kernel's start to that of the system's own init: the root filesystem is mounted.
    pub kernel_to_init_ms: Option<u64>,
    /// From init's start to the multi-user target.
    pub init_to_multi_user_ms: Option<u64>,
    /// From QEMU's start to the verdict.
    pub run_ms: u64,
}

impl Evidence {
    /// Whether the guest came up.
    pub fn booted(&self) -> bool {
        matches!(self.outcome, Outcome::Booted(_))
    }

    /// What the guest said of itself.
    pub fn facts(&self) -> Option<&Facts> {
        match &self.outcome {
            Outcome::Booted(booted) => booted.facts.as_ref(),
            Outcome::Failed(failed) => failed.facts.as_ref(),
            Outcome::Static => None,
        }
    }
}

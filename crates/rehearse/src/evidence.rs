//! What a rehearsal found: [`Evidence`].

use crate::cause::Cause;
use crate::facts::Facts;
use crate::instrument::Init;
use qemu::Accelerator;
use serde::{Deserialize, Serialize};

/// What a rehearsal found, and on what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The profile that was rehearsed: `kvm`.
    pub profile: String,
    /// The profile's version.
    pub profile_version: u32,
    /// What ran the guest's instructions.
    pub accelerator: Accelerator,
    /// Why it was that one.
    pub accelerator_reason: String,
    /// QEMU's version.
    pub qemu: String,
    /// The machine that the guest got.
    pub hardware: Hardware,
    /// What was changed in the throwaway overlay so that the guest could report.
    pub preparation: Preparation,
    /// How long each part took.
    pub timings: Timings,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a rehearsal ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The guest came up.
    Booted(Booted),
    /// It did not.
    Failed(Failed),
}

/// A guest that came up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Booted {
    /// The grade that the profile gives for it.
    pub grade: String,
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

/// A guest that did not come up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    /// The likely cause.
    pub cause: Cause,
    /// The line of the console that tells it, where there is one.
    pub line: Option<String>,
    /// What the guest said of itself: one that stopped in emergency mode still can.
    pub facts: Option<Facts>,
    /// The last lines of the console.
    pub console_tail: Vec<String>,
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

/// How long each part took, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Adding the report to the guest, in the appliance.
    pub prepare: f64,
    /// From QEMU's start to the kernel's: firmware and boot loader.
    pub firmware_to_kernel: Option<f64>,
    /// From the kernel's start to that of the system's own init: the root filesystem is mounted.
    pub kernel_to_init: Option<f64>,
    /// From init's start to the multi-user target.
    pub init_to_multi_user: Option<f64>,
    /// From QEMU's start to the verdict.
    pub run: f64,
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
        }
    }
}

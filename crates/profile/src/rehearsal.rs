//! How a hypervisor is rehearsed: [`Rehearsal`].

use crate::{FirmwareKind, Grade, Profile};
use serde::{Deserialize, Serialize};

/// How a hypervisor is rehearsed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Rehearsal {
    /// On a machine of QEMU's own, which has the hypervisor's devices or stand-ins for them.
    Qemu {
        /// QEMU's machine types.
        machines: Machines,
        /// The grade of a guest that boots there, where nothing lowers it.
        grade: Grade,
    },
    /// As a domain of a real Xen, which runs in a machine of QEMU's.
    Xen {
        /// The grade of a guest that boots there, where nothing lowers it.
        grade: Grade,
    },
}

/// QEMU's machine types by the firmware that starts the guest: `pc` with IDE, `q35` with AHCI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machines {
    /// With a PC BIOS.
    pub bios: String,
    /// With UEFI.
    pub uefi: String,
}

impl Rehearsal {
    /// The grade of a guest that boots, where nothing lowers it.
    pub fn grade(&self) -> Grade {
        match self {
            Self::Qemu { grade, .. } | Self::Xen { grade } => *grade,
        }
    }
}

impl Machines {
    /// The machine type under that firmware.
    pub fn under(&self, firmware: FirmwareKind) -> &str {
        match firmware {
            FirmwareKind::Bios => &self.bios,
            FirmwareKind::Uefi => &self.uefi,
        }
    }
}

impl Profile {
    /// The machine on which QEMU itself rehearses it, under that firmware.
    pub fn qemu_machine(&self, firmware: FirmwareKind) -> Option<&str> {
        match self.rehearsal.as_ref()? {
            Rehearsal::Qemu { machines, .. } => Some(machines.under(firmware)),
            Rehearsal::Xen { .. } => None,
        }
    }
}

//! Writing a `.vmx` for ESXi, Workstation and Fusion.
//!
//! Every file says its encoding, hardware version and PCI bridges first, as VMware's own do: without bridges there is no
//! slot for a PCI Express device. UEFI variables are not named unless they are given: VMware makes them beside the file.

mod boot;
mod drives;
mod lines;
mod ports;
mod properties;
mod system;

pub(crate) use system::uuid_text;

use crate::render::{RenderError, RenderOptions, Rendered};
use lines::Lines;
use machine::{Loss, Machine, Severity};
use profile::Profile;

/// The hardware version for a profile that names none: ESXi 6.7's, which every later product runs.
const HARDWARE_VERSION: u64 = 14;

/// Which of VMware's products it is for. They differ in networks, TPM and empty drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Product {
    Esxi,
    /// Workstation and Fusion.
    Workstation,
}

/// What is written, and for whom.
struct Writer<'a> {
    machine: &'a Machine,
    options: &'a RenderOptions,
    product: Product,
    hardware_version: u64,
    lines: Lines,
    losses: Vec<Loss>,
}

/// Writes a `.vmx`, in UTF-8.
///
/// # Errors
/// When a disk has no file, a path is not UTF-8, or the machine is not on VMware's hardware.
pub fn render(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
) -> Result<Rendered, RenderError> {
    let product = if profile.id == "workstation" { Product::Workstation } else { Product::Esxi };
    let hardware_version = profile.hardware_version().and_then(|version| version.parse().ok());
    let mut writer = Writer {
        machine,
        options,
        product,
        hardware_version: hardware_version.unwrap_or(HARDWARE_VERSION),
        lines: Lines::default(),
        losses: Vec::new(),
    };
    writer.header();
    writer.system();
    let placed = writer.drives()?;
    writer.ports()?;
    writer.boot(&placed);
    writer.properties();
    Ok(Rendered { text: writer.lines.into_text(), losses: writer.losses })
}

impl Writer<'_> {
    fn header(&mut self) {
        self.lines.set(".encoding", "UTF-8");
        self.lines.set("config.version", 8);
        self.lines.set("virtualHW.version", self.hardware_version);
        self.lines.flag("pciBridge0.present", true);
        for bridge in 4..8 {
            self.lines.flag(&format!("pciBridge{bridge}.present"), true);
            self.lines.set(&format!("pciBridge{bridge}.virtualDev"), "pcieRootPort");
            self.lines.set(&format!("pciBridge{bridge}.functions"), 8);
        }
        self.lines.flag("vmci0.present", true);
        self.lines.flag("hpet0.present", true);
    }

    fn dropped(&mut self, severity: Severity, what: impl Into<String>, why: impl Into<String>) {
        self.losses.push(Loss::dropped(severity, what, why));
    }

    fn changed(&mut self, what: impl Into<String>, kept_as: impl Into<String>, why: impl Into<String>) {
        self.losses.push(Loss::changed(what, kept_as, why));
    }
}

//! What a `.vmx` said and a machine has no field for, on its way back.

use super::Writer;
use crate::vmx::dictionary::is_secret;
use machine::{Property, Severity};

/// Settings that are written back: what the guest sees, and nothing that opens a file, a port or a door on the host. The
/// others are many and not documented, so that only those count that are known to be harmless. A dot at the end stands
/// for all that begins so.
const KEPT: [&str; 28] = [
    "chipset.",
    "cleanshutdown",
    "config.version",
    "cpuid.",
    "disk.enableuuid",
    "hypervisor.cpuid.v0",
    "keyboard.",
    "mem.hotadd",
    "monitor.virtual_exec",
    "monitor.virtual_mmu",
    "mouse.vusb.present",
    "numa.",
    "powertype.",
    "sched.cpu.latencysensitivity",
    "softpoweroff",
    "svga.autodetect",
    "svga.graphicsmemorykb",
    "svga.maxheight",
    "svga.maxwidth",
    "svga.numdisplays",
    "time.synchronize.",
    "tools.synctime",
    "tools.upgrade.policy",
    "toolscripts.",
    "vcpu.hotadd",
    "vhv.enable",
    "vpmc.enable",
    "vvtd.enable",
];

/// What the guest sees of a device that is there: its place on the PCI bus, by which systems name their network cards.
const KEPT_OF_DEVICES: [&str; 2] = [".pcislotnumber", ".wakeonpcktrcv"];

impl Writer<'_> {
    pub(super) fn properties(&mut self) {
        let mut left = 0_usize;
        for Property { dialect, key, value } in &self.machine.properties {
            if dialect == "vmx" && self.is_kept(key) {
                self.lines.set(key, value);
            }
            // What the file says already, it says for this product.
            left += usize::from(dialect != "vmx" || !self.lines.says(key, value));
        }
        if left > 0 {
            let why = format!(
                "{left} settings mean something to the source alone, or are not known to be harmless; the manifest keeps \
                 them"
            );
            self.dropped(Severity::Note, "properties", why);
        }
    }

    fn is_kept(&self, key: &str) -> bool {
        let lower = key.to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-');
        let of_device = || {
            KEPT_OF_DEVICES.iter().any(|ending| {
                let device = lower.strip_suffix(ending);
                device.is_some_and(|device| self.lines.value(&format!("{device}.present")) == Some("TRUE"))
            })
        };
        let general =
            || KEPT.iter().any(|kept| lower == *kept || (kept.ends_with('.') && lower.starts_with(kept)));
        lower.chars().all(plain) && !is_secret(&lower) && (general() || of_device())
    }
}

//! Why a guest did not boot, as its console tells: a table of signs, and [`diagnose`], which searches it.

use crate::text;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Why a guest did not boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Cause {
    /// The firmware found nothing to start.
    NoBootLoader,
    /// The boot loader started and could not go on.
    BootLoaderStopped,
    /// The kernel or its initramfs did not find the root filesystem's device.
    NoRootDevice,
    /// The root filesystem, or another one that is needed, has to be repaired by hand.
    DamagedFilesystem,
    /// The kernel found no program to run as process 1.
    NoInit,
    /// The kernel gave up for another reason.
    KernelPanic,
    /// systemd stopped in emergency or rescue mode: something that it must have is missing.
    EmergencyMode,
    /// The guest reset itself again and again.
    BootLoop,
    /// The guest switched itself off.
    PoweredOff,
    /// QEMU ended.
    MachineStopped,
    /// The guest asks for a passphrase, and none that could be typed was given.
    WaitsForPassphrase,
    /// The guest asks for a passphrase, and those that were typed did not fit.
    PassphraseRefused,
    /// The guest said something, and then nothing more that counts, until the time was over.
    Hang,
    /// The guest said nothing at all.
    Silent,
    /// A driver of the hypervisor's devices is missing, or nothing would load it. That was found in the guest's files.
    MissingDriver,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoBootLoader => "the firmware found no boot loader",
            Self::BootLoaderStopped => "the boot loader could not go on",
            Self::NoRootDevice => {
                "the root filesystem's device was not found: its driver is missing, or its name is wrong"
            }
            Self::DamagedFilesystem => "a filesystem has to be repaired by hand",
            Self::NoInit => "the kernel found no init",
            Self::KernelPanic => "the kernel panicked",
            Self::EmergencyMode => {
                "systemd stopped in emergency mode: something that it must have is missing"
            }
            Self::BootLoop => "the guest resets itself again and again",
            Self::PoweredOff => "the guest switched itself off",
            Self::MachineStopped => "QEMU ended",
            Self::WaitsForPassphrase => "it waits for a passphrase",
            Self::PassphraseRefused => "it waits for a passphrase, and those that were typed do not fit",
            Self::Hang => "the guest hangs",
            Self::Silent => "the guest said nothing, on its console or otherwise",
            Self::MissingDriver => "a driver of the hypervisor's devices is missing, or would not be loaded",
        })
    }
}

impl Cause {
    /// What the administrator can do, where there is one thing to do.
    pub fn remedy(self) -> Option<&'static str> {
        match self {
            Self::WaitsForPassphrase => Some(
                "give the passphrase (--passphrase-file): it is typed where the guest asks, but not under Xen",
            ),
            Self::PassphraseRefused => Some("give the right passphrase (--passphrase-file)"),
            _ => None,
        }
    }
}

/// What a console tells of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    /// The cause.
    pub(crate) cause: Cause,
    /// The line that told it.
    pub(crate) line: String,
    /// After how long it is certain that nothing better comes; `None` when that is never certain.
    pub(crate) certain_after: Option<Duration>,
}

struct Sign {
    /// What stands in a line of the console.
    pattern: &'static str,
    cause: Cause,
    /// Seconds to wait for the lines that follow, or for a guest that recovers; `None` when it may well go on.
    certain_after: Option<u64>,
}

const fn certain(cause: Cause, pattern: &'static str) -> Sign {
    Sign { pattern, cause, certain_after: Some(1) }
}

const fn after(seconds: u64, cause: Cause, pattern: &'static str) -> Sign {
    Sign { pattern, cause, certain_after: Some(seconds) }
}

const fn likely(cause: Cause, pattern: &'static str) -> Sign {
    Sign { pattern, cause, certain_after: None }
}

/// The signs, the most telling first: the first that is there decides.
const SIGNS: &[Sign] = &[
    // initramfs-tools; dracut; mkinitcpio; Alpine's mkinitfs; mkinitrd of RHEL 5 and SLES.
    certain(Cause::NoRootDevice, "Dropping to a shell!"),
    certain(Cause::NoRootDevice, "Gave up waiting for root"),
    certain(Cause::NoRootDevice, "No filesystem could mount root"),
    certain(Cause::NoRootDevice, "VFS: Unable to mount root fs"),
    certain(Cause::NoRootDevice, "VFS: Cannot open root device"),
    after(5, Cause::NoRootDevice, "dracut Warning: Could not boot."),
    after(5, Cause::NoRootDevice, "Warning: Not all disks have been found."),
    after(5, Cause::NoRootDevice, "No root device found"),
    after(5, Cause::NoRootDevice, "on real root"),
    after(5, Cause::NoRootDevice, "Mounting root failed."),
    after(5, Cause::NoRootDevice, "initramfs emergency recovery shell launched"),
    after(5, Cause::NoRootDevice, "mount: could not find filesystem '/dev/root'"),
    after(5, Cause::NoRootDevice, "-- exiting to /bin/sh"),
    certain(Cause::NoInit, "No working init found"),
    certain(Cause::NoInit, "No init found. Try passing init="),
    after(5, Cause::DamagedFilesystem, "RUN fsck MANUALLY"),
    after(5, Cause::DamagedFilesystem, "requires a manual fsck"),
    certain(Cause::KernelPanic, "end Kernel panic"),
    after(3, Cause::KernelPanic, "Kernel panic - not syncing"),
    // In an initramfs with systemd this file is written when the root device did not come.
    after(3, Cause::NoRootDevice, "Generating \"/run/initramfs/rdsosreport.txt\""),
    // A report from emergency mode names the units that failed; it gets time to come.
    after(25, Cause::EmergencyMode, "You are in emergency mode"),
    after(25, Cause::EmergencyMode, "You are in rescue mode"),
    after(25, Cause::EmergencyMode, "Cannot open access to console, the root account is locked"),
    certain(Cause::NoRootDevice, "(initramfs)"),
    certain(Cause::BootLoaderStopped, "grub rescue>"),
    certain(Cause::BootLoaderStopped, "Minimal BASH-like line editing is supported"),
    after(5, Cause::BootLoaderStopped, "GRUB Hard Disk Error"),
    after(5, Cause::BootLoaderStopped, "Geom Error"),
    after(5, Cause::BootLoaderStopped, "No DEFAULT or UI configuration directive found!"),
    certain(Cause::BootLoaderStopped, "Failed to boot both default and fallback entries"),
    after(5, Cause::BootLoaderStopped, "you need to load the kernel first"),
    certain(Cause::NoBootLoader, "No bootable device"),
    certain(Cause::NoBootLoader, "No bootable option or device was found"),
    certain(Cause::NoBootLoader, "UEFI Interactive Shell"),
    certain(Cause::NoBootLoader, "FATAL: No bootable medium found"),
    // What follows is also seen in guests that come up after all.
    likely(Cause::NoRootDevice, "starting timeout scripts"),
    likely(Cause::NoRootDevice, "A start job is running for /dev/"),
    likely(Cause::NoRootDevice, "Job dev-"),
    likely(Cause::EmergencyMode, "Timed out waiting for device"),
    likely(Cause::EmergencyMode, "Dependency failed for Local File Systems"),
    likely(Cause::BootLoaderStopped, "error: no such device"),
    likely(Cause::BootLoaderStopped, "error: unknown filesystem"),
    likely(Cause::BootLoaderStopped, "error: disk `"),
    likely(Cause::BootLoaderStopped, "error: file `"),
    likely(Cause::NoBootLoader, "Boot failed"),
    likely(Cause::NoBootLoader, "BdsDxe: failed to load"),
    likely(Cause::NoBootLoader, "BdsDxe: failed to start"),
];

/// Says why the guest that wrote this plain text does not boot, when the text has a sign of it.
pub(crate) fn diagnose(plain: &str) -> Option<Diagnosis> {
    SIGNS.iter().find_map(|sign| {
        let at = plain.find(sign.pattern)?;
        Some(Diagnosis {
            cause: sign.cause,
            line: line_at(plain, at),
            certain_after: sign.certain_after.map(Duration::from_secs),
        })
    })
}

/// The line that byte `at` of the text is in.
fn line_at(plain: &str, at: usize) -> String {
    let (before, after) = plain.split_at_checked(at).unwrap_or((plain, ""));
    let start = before.rsplit('\n').next().unwrap_or_default();
    let end = after.split('\n').next().unwrap_or_default();
    text::field(&format!("{start}{end}"), 200)
}

/// The line that names what emergency mode is for, where the console has it.
pub(crate) fn missing_for_emergency(plain: &str) -> Option<String> {
    ["Timed out waiting for device", "Failed to mount", "Dependency failed for", "Failed to start"]
        .iter()
        .find_map(|pattern| plain.find(pattern))
        .map(|at| line_at(plain, at))
}

/// Whether the last thing on the console asks for a user name.
pub(crate) fn asks_for_login(plain: &str) -> bool {
    plain.trim_end().lines().next_back().is_some_and(|line| line.ends_with(" login:") || line == "login:")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Console texts that were recorded from guests and firmware under QEMU, each cut to its last lines; what they
    /// tell, in which line, and whether that is certain.
    const RECORDED: &[(&str, Cause, &str, bool)] = &[
        (
            include_str!("../tests/data/seabios-empty-disk.txt"),
            Cause::NoBootLoader,
            "No bootable device.",
            true,
        ),
        (
            include_str!("../tests/data/ovmf-empty-disk.txt"),
            Cause::NoBootLoader,
            "UEFI Interactive Shell v2.2",
            true,
        ),
        (include_str!("../tests/data/grub-rescue.txt"), Cause::BootLoaderStopped, "grub rescue>", true),
        (include_str!("../tests/data/grub-prompt.txt"), Cause::BootLoaderStopped, "Minimal BASH-like", true),
        (
            include_str!("../tests/data/grub-no-kernel.txt"),
            Cause::BootLoaderStopped,
            "Failed to boot both",
            true,
        ),
        (
            include_str!("../tests/data/initramfs-tools-no-root.txt"),
            Cause::NoRootDevice,
            "ALERT!  UUID=0b5e0f7e-1111-4222-8333-444455556666 does not exist.  Dropping to a shell!",
            true,
        ),
        (
            include_str!("../tests/data/dracut-waits-for-root.txt"),
            Cause::NoRootDevice,
            "Job dev-disk-by\\x2duuid-0b5e0f7e\\x2…tart running",
            false,
        ),
        (
            include_str!("../tests/data/kernel-no-root.txt"),
            Cause::NoRootDevice,
            "No filesystem could mount root, tried:",
            true,
        ),
        (
            include_str!("../tests/data/systemd-emergency.txt"),
            Cause::EmergencyMode,
            "You are in emergency mode",
            true,
        ),
    ];

    #[test]
    fn recorded_consoles_are_diagnosed() {
        for (console, cause, line, certain) in RECORDED {
            let diagnosis = diagnose(&text::plain(console)).unwrap();
            assert_eq!(diagnosis.cause, *cause, "{line}");
            assert!(diagnosis.line.contains(line), "{:?} for {line:?}", diagnosis.line);
            assert_eq!(diagnosis.certain_after.is_some(), *certain, "{line}");
        }
    }

    #[test]
    fn a_healthy_boot_has_no_certain_sign() {
        let plain = text::plain(include_str!("../tests/data/debian-healthy.txt"));
        assert_eq!(diagnose(&plain), None);
        assert!(asks_for_login(&plain));
    }

    #[test]
    fn no_sign_is_hidden_behind_a_more_telling_one() {
        for (index, sign) in SIGNS.iter().enumerate() {
            let earlier = SIGNS[..index].iter().find(|earlier| sign.pattern.contains(earlier.pattern));
            assert!(earlier.is_none(), "{:?} never decides", sign.pattern);
        }
    }

    #[test]
    fn a_login_prompt_is_the_last_thing_on_the_console() {
        assert!(asks_for_login("Debian GNU/Linux 12 vm ttyS0\n\nvm login: "));
        assert!(!asks_for_login("vm login: \n[ 9.0] EXT4-fs error"));
        assert!(!asks_for_login("Last login: yesterday"));
        assert!(!asks_for_login(""));
    }
}

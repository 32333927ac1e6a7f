//! What tells LVM which disks to look at, by names that the target changes: a guest whose filter accepts `/dev/sda2` alone finds
//! no volume group on `/dev/vda2`.

use super::{Conversion, during};
use crate::initramfs::Contents;
use crate::initramfs::cpio::Entry;
use crate::recipe::{RecipeError, Target};

const STEP: &str = "make LVM look at the target's disks";
/// The list of devices by their hardware's identifiers (`lvmdevices(8)`), which RHEL 9 and later write.
const DEVICES: &str = "/etc/lvm/devices/system.devices";
/// Where it is put aside.
const ASIDE: &str = "/etc/lvm/devices/system.devices.anyvisor-orig";
/// In front of lines that no longer count.
pub(super) const MARK: &str = "# anyvisor: ";
/// Settings that choose devices by their names (`lvm.conf(5)`).
const SETTINGS: &[&str] = &["filter", "global_filter"];

/// Puts the list of devices aside: without one, LVM looks at every disk.
pub(super) fn forget_devices(conversion: &mut Conversion<'_>) -> Result<(), RecipeError> {
    let tree = conversion.mounter.tree();
    if !tree.exists(DEVICES).map_err(during(STEP))? {
        return Ok(());
    }
    tree.rename(DEVICES, ASIDE).map_err(during(STEP))?;
    conversion.note(format!("{DEVICES} names disks by their old hardware and was put aside"));
    conversion.undo(format!("mv {ASIDE} {DEVICES}"));
    Ok(())
}

/// What an initramfs that has such a list needs beside it, for nothing can be removed from it.
pub(super) fn inside(contents: &Contents) -> Option<Entry> {
    const LOCAL: &str = "etc/lvm/lvmlocal.conf";
    let has_list = contents.paths.contains_key(DEVICES.trim_start_matches('/'));
    (has_list && !contents.paths.contains_key(LOCAL))
        .then(|| Entry::file(LOCAL, "devices {\n\tuse_devicesfile = 0\n}\n"))
}

/// Makes every filter a comment that names a disk whose name changes.
pub(super) fn without_filters(text: &str, target: &Target) -> String {
    let mut out = String::new();
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        let mut setting = vec![line];
        if is_filter(line) {
            // A list may go on over several lines.
            while setting.last().is_some_and(|line| !ends_list(line)) {
                let Some(line) = lines.next() else { break };
                setting.push(line);
            }
        }
        let counts = is_filter(line) && setting.iter().any(|line| names_disk(line, target));
        for line in setting {
            out.push_str(if counts { MARK } else { "" });
            out.push_str(line);
        }
    }
    out
}

/// Whether a list's bracket closes in a line; one in quotes is a pattern's, as in `"a|/dev/sd[ab]|"`.
fn ends_list(line: &str) -> bool {
    line.split('"').step_by(2).any(|outside| outside.contains(']'))
}

fn is_filter(line: &str) -> bool {
    line.split_once('=').is_some_and(|(key, _)| SETTINGS.contains(&key.trim()))
}

/// Whether a pattern is one for names of disks that change, or of hardware.
fn names_disk(line: &str, target: &Target) -> bool {
    let kind = |name: &String| {
        let letters = name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len());
        // `sda` is of the kind `sd`; `nvme0n1` of the kind `nvme`.
        let end = if name.starts_with("nvme") { letters } else { letters.min(name.len().saturating_sub(1)) };
        name.get(..end).map(|kind| format!("/dev/{kind}"))
    };
    target.renamed.keys().filter_map(kind).any(|kind| line.contains(&kind))
        || ["by-path/", "by-id/ata", "by-id/scsi", "by-id/wwn", "by-id/nvme", "by-id/virtio"]
            .iter()
            .any(|part| line.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::{Attachment, Bus, Disk, Machine, ScsiModel};

    fn target() -> Target {
        let on = |bus| {
            let attachment = Attachment { bus, controller: 0, unit: 0 };
            let disks = vec![Disk { id: "disk1".into(), attachment, ..Disk::default() }];
            Machine { disks, ..Machine::default() }
        };
        let kvm = profile::find("kvm").unwrap();
        Target::new(kvm, &on(Bus::Scsi(ScsiModel::Pvscsi)), &on(Bus::VirtioBlk))
    }

    #[test]
    fn a_filter_becomes_a_comment_as_a_whole() {
        let text = "devices {\n\tglobal_filter = [\n\t\t\"a|/dev/sd.*|\",\n\t\t\"r|.*|\"\n\t]\n\tdir = \"/dev\"\n}\n";
        let expected = "devices {\n# anyvisor: \tglobal_filter = [\n# anyvisor: \t\t\"a|/dev/sd.*|\",\n\
                        # anyvisor: \t\t\"r|.*|\"\n# anyvisor: \t]\n\tdir = \"/dev\"\n}\n";
        assert_eq!(without_filters(text, &target()), expected);
        assert_eq!(without_filters(expected, &target()), expected);
        let other = "filter = [ \"r|/dev/cdrom|\" ]\n";
        assert_eq!(without_filters(other, &target()), other);
        // A bracket in a pattern ends no list.
        let class = "filter = [ \"a|/dev/sd[ab]|\",\n\"r|.*|\" ]\nindex = 1\n";
        let expected = "# anyvisor: filter = [ \"a|/dev/sd[ab]|\",\n# anyvisor: \"r|.*|\" ]\nindex = 1\n";
        assert_eq!(without_filters(class, &target()), expected);
        // A list without an end is one to the end of the file.
        assert_eq!(
            without_filters("filter = [ \"a|/dev/sda|\"", &target()),
            "# anyvisor: filter = [ \"a|/dev/sda|\""
        );
    }
}

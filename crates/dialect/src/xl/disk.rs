//! A disk's specification: xl-disk-configuration(5), and the spellings before it.

use crate::text::excerpt;
use machine::{Attachment, Bus, ScsiModel};

/// A disk's specification, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Specification {
    /// The image or device; none for an empty drive.
    pub(super) target: Option<String>,
    /// `raw`, `qcow2`, `vhd`, …
    pub(super) format: Option<String>,
    /// `xvda`, `hdc`, `d0`, a number.
    pub(super) vdev: String,
    /// `r`, `ro`, `w`, `rw`, and xm's `w!`.
    pub(super) access: Option<String>,
    /// Whether it is a CD-ROM drive.
    pub(super) is_cdrom: bool,
    /// A program that makes the device: the target is an argument of it, not a file.
    pub(super) script: Option<String>,
    /// What else is said, by name.
    pub(super) more: Vec<(String, String)>,
}

/// Prefixes of a target that say how it is reached; the format that some imply.
const PREFIXES: [(&str, Option<&str>); 13] = [
    ("tapdisk", None),
    ("tap2", None),
    ("tap", None),
    ("aio", Some("raw")),
    ("ioemu", None),
    ("file", Some("raw")),
    ("phy", Some("raw")),
    ("raw", Some("raw")),
    ("qcow2", Some("qcow2")),
    ("qcow", Some("qcow")),
    ("vhd", Some("vhd")),
    ("vdi", Some("vdi")),
    ("vmdk", Some("vmdk")),
];

impl Specification {
    pub(super) fn parse(text: &str) -> Self {
        let mut disk = Self::default();
        let mut rest = text.trim_start();
        let mut position = 0;
        while !rest.is_empty() {
            // It takes the rest, whatever is in it.
            if let Some(target) = rest.strip_prefix("target=") {
                disk.target = Some(target.to_owned());
                break;
            }
            let (field, after) = rest.split_once(',').unwrap_or((rest, ""));
            rest = after.trim_start();
            disk.field(field.trim(), &mut position);
        }
        disk.target = disk.target.filter(|target| !target.is_empty());
        // xm's `hdc:cdrom`.
        if let Some((vdev, kind)) = disk.vdev.rsplit_once(':') {
            disk.is_cdrom |= kind == "cdrom";
            disk.vdev = vdev.to_owned();
        }
        disk
    }

    fn field(&mut self, field: &str, position: &mut usize) {
        match field.split_once('=') {
            Some(("format", value)) => self.format = Some(value.to_owned()),
            Some(("vdev", value)) => self.vdev = value.to_owned(),
            Some(("access", value)) => self.access = Some(value.to_owned()),
            Some(("script", value)) => self.script = Some(value.to_owned()),
            Some(("devtype", value)) => self.is_cdrom = value == "cdrom",
            Some((name, value))
                if name.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '-' | '_'))
                    && *position > 0 =>
            {
                self.more.push((name.to_owned(), value.to_owned()));
            }
            None if field == "cdrom" => self.is_cdrom = true,
            None if matches!(
                field,
                "direct-io-safe" | "discard" | "no-discard" | "trusted" | "untrusted"
            ) =>
            {
                self.more.push((field.to_owned(), String::new()));
            }
            _ => {
                // An empty drive of xm's: no target, and no format before its name.
                if *position == 1 && self.target.is_none() && field.contains(':') {
                    *position = 2;
                }
                self.positional(field, *position);
                // A prefix says the format already, and the field is left out.
                *position += if *position == 0 && self.strip_prefixes() { 2 } else { 1 };
            }
        }
    }

    fn positional(&mut self, field: &str, position: usize) {
        let some = (!field.is_empty()).then(|| field.to_owned());
        match position {
            0 => self.target = self.target.take().or(some),
            1 if self.format.is_none() => self.format = some,
            1 => {}
            2 if self.vdev.is_empty() => self.vdev = field.to_owned(),
            3 if self.access.is_none() => self.access = some,
            _ => {}
        }
    }

    /// Takes the prefixes off the target: `tap:qcow2:/disk`.
    fn strip_prefixes(&mut self) -> bool {
        let mut any = false;
        while let Some((prefix, rest)) = self.target.as_deref().and_then(|target| target.split_once(':')) {
            let Some((_, format)) = PREFIXES.iter().find(|(known, _)| *known == prefix) else { break };
            if self.format.is_none() {
                self.format = format.map(str::to_owned);
            }
            self.target = Some(rest.to_owned());
            any = true;
        }
        any
    }

    /// Whether the guest may not write.
    pub(super) fn is_read_only(&self) -> bool {
        self.access.as_deref().is_some_and(|access| access.starts_with('r') && access != "rw")
    }

    /// Why the target is no file, where it is none.
    pub(super) fn elsewhere(&self) -> Option<String> {
        let target = self.target.as_deref().unwrap_or_default();
        if let Some(script) = &self.script {
            return Some(format!("made of {:?} by {:?}", excerpt(target, 80), excerpt(script, 40)));
        }
        let protocol = ["rbd:", "nbd:", "enbd:", "iscsi:", "drbd:", "gluster:"];
        let is_remote =
            protocol.iter().any(|protocol| target.starts_with(protocol)) || target.contains("://");
        is_remote.then(|| format!("on the network at {:?}", excerpt(target, 120)))
    }
}

/// Where a virtual device hangs, by its name or number (xen-vbd-interface(7)); none for what is no name of one.
pub(crate) fn place(vdev: &str) -> Option<Attachment> {
    let at = |bus, controller, unit| Some(Attachment { bus, controller, unit });
    if let Ok(number) = vdev.parse::<u32>() {
        return match (number >> 28, number >> 8) {
            (1, _) => at(Bus::Xen, 0, (number >> 8) & 0xf_ffff),
            (0, 202) => at(Bus::Xen, 0, (number & 0xff) >> 4),
            (0, major @ (3 | 22)) => at(Bus::Ide, u32::from(major == 22), (number & 0xff) >> 6),
            (0, 8) => at(Bus::Scsi(ScsiModel::LsiLogic), 0, (number & 0xff) >> 4),
            _ => None,
        };
    }
    if let Some(disk) = vdev.strip_prefix('d').map(|rest| rest.split('p').next().unwrap_or(rest))
        && let Ok(number) = disk.parse()
    {
        return at(Bus::Xen, 0, number);
    }
    let name = vdev.trim_start_matches("/dev/").trim_end_matches(|c: char| c.is_ascii_digit());
    let number = |prefix| name.strip_prefix(prefix).and_then(crate::naming::letters_number);
    // Two drives a channel of IDE; seven a narrow SCSI bus, beside its controller.
    if let Some(number) = number("xvd") {
        at(Bus::Xen, 0, number)
    } else if let Some(number) = number("hd") {
        at(Bus::Ide, number / 2, number % 2)
    } else if let Some(number) = number("sd") {
        at(Bus::Scsi(ScsiModel::LsiLogic), number / 7, number % 7)
    } else {
        number("vd").and_then(|number| at(Bus::VirtioBlk, 0, number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_understood() {
        let read = |text: &str| {
            let disk = Specification::parse(text);
            let target = disk.target.clone().unwrap_or_default();
            (
                target,
                disk.format.clone().unwrap_or_default(),
                disk.vdev.clone(),
                disk.is_read_only(),
                disk.is_cdrom,
            )
        };
        let is = |target: &str, format: &str, vdev: &str, read_only, is_cdrom| {
            (target.to_owned(), format.to_owned(), vdev.to_owned(), read_only, is_cdrom)
        };
        assert_eq!(read("/dev/vg/a,raw,xvda,rw"), is("/dev/vg/a", "raw", "xvda", false, false));
        assert_eq!(read("file:/a.img,xvda,w"), is("/a.img", "raw", "xvda", false, false));
        assert_eq!(read("phy:/dev/b, hdc:cdrom ,r"), is("/dev/b", "raw", "hdc", true, true));
        assert_eq!(read("tap:qcow2:/a b.img,ioemu:hda,w").1, "qcow2");
        assert_eq!(read("/b,,hdb,,"), is("/b", "", "hdb", false, false));
        assert_eq!(read("/r.iso,,hdc,,devtype=cdrom"), is("/r.iso", "", "hdc", false, true));
        assert_eq!(read("format=raw,vdev=hdd,access=ro,devtype=cdrom"), is("", "raw", "hdd", true, true));
        assert_eq!(
            read("vdev=xvdb,format=qcow2,target=/a,b=c, d"),
            is("/a,b=c, d", "qcow2", "xvdb", false, false)
        );
        assert_eq!(read(",hdc:cdrom,r"), is("", "", "hdc", true, true));
        assert_eq!(Specification::parse("/a,raw,xvda,w,backendtype=phy,discard").more.len(), 2);
        assert!(Specification::parse("target=rbd:pool/a").elsewhere().is_some());
        assert!(Specification::parse("/a,raw,xvda,w,script=block-x").elsewhere().is_some());
    }

    #[test]
    fn devices_have_names_and_numbers() {
        let read = |vdev: &str| place(vdev).map(|at| (at.bus, at.controller, at.unit));
        let scsi = Bus::Scsi(ScsiModel::LsiLogic);
        assert_eq!(read("xvda"), Some((Bus::Xen, 0, 0)));
        assert_eq!(read("xvdaa1"), Some((Bus::Xen, 0, 26)));
        assert_eq!((read("51712"), read("51728")), (Some((Bus::Xen, 0, 0)), Some((Bus::Xen, 0, 1))));
        assert_eq!((read("d3p1"), read("268435712")), (Some((Bus::Xen, 0, 3)), Some((Bus::Xen, 0, 1))));
        assert_eq!((read("hdd"), read("sdh")), (Some((Bus::Ide, 1, 1)), Some((scsi, 1, 0))));
        assert_eq!((read(""), read("x"), read("xvd")), (None, None, None));
    }
}

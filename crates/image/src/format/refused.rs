//! What is recognised so that it is never taken for raw: [`REFUSED`].
//!
//! Listed are containers, archives and saved machine states, by magic numbers that no disk begins with. What a guest
//! itself puts at the beginning of a disk (a filesystem, LUKS, an ISO image) is raw.

use super::{Ends, Format};

/// What cannot be read and is refused by its name.
pub(super) static REFUSED: &[&Format] = &[
    // Virtual disks.
    &known("bochs", "a Bochs image", |ends| ends.has(b"Bochs Virtual HD Image", 0)),
    &known("cow", "a User-mode Linux COW image", |ends| ends.has(b"OOOM", 0)),
    &known("dmg", "an Apple disk image (DMG)", |ends| ends.tail.starts_with(b"koly")),
    &known("sparseimage", "an Apple sparse image", |ends| ends.has(b"sprs", 0)),
    &known("asif", "an Apple sparse image (ASIF)", |ends| ends.has(b"shdw", 0)),
    &known("cloop", "a compressed loop image (cloop)", |ends| ends.has(b"#!/bin/sh\n#V2.0 Format", 0)),
    &known("chd", "a MAME disk image (CHD)", |ends| ends.has(b"MComprHD", 0)),
    &known("ciso", "a compressed ISO image (CISO)", |ends| ends.has(b"CISO", 0)),
    // Images of disks for evidence, backup and deployment.
    &known("ewf", "an EnCase image (EWF)", |ends| {
        ends.has(b"EVF\x09\x0d\x0a\xff\0", 0) || ends.has(b"EVF2\x0d\x0a\x81\0", 0)
    }),
    &known("lef", "an EnCase logical evidence file", |ends| {
        ends.has(b"LVF\x09\x0d\x0a\xff\0", 0) || ends.has(b"LEF2\x0d\x0a\x81\0", 0)
    }),
    &known("aff", "an Advanced Forensic Format image (AFF)", |ends| ends.has(b"AFF10\r\n\0", 0)),
    &known("wim", "a Windows imaging file (WIM)", |ends| {
        ends.has(b"MSWIM\0\0\0", 0) || ends.has(b"WLPWM\0\0\0", 0)
    }),
    &known("sdi", "a Windows system deployment image (SDI)", |ends| ends.has(b"$SDI0001", 0)),
    &known("vma", "a Proxmox backup (VMA)", |ends| ends.has(b"VMA\0", 0)),
    &known("tib", "an Acronis True Image backup", |ends| ends.has(&[0xb4, 0x6e, 0x68, 0x44], 0)),
    &known("partclone", "a Partclone image", |ends| ends.has(b"partclone-image", 0)),
    &known("partimage", "a Partimage image", |ends| ends.has(b"PaRtImAgE-VoLuMe", 0)),
    &known("ntfsclone", "an ntfsclone image", |ends| ends.has(b"\0ntfsclone-image", 0)),
    &known("fsarchiver", "an FSArchiver archive", |ends| ends.has(b"FsA0", 0)),
    // States of machines that stand beside disks and are named for them.
    &known("vmware-state", "a VMware machine state", |ends| {
        [0xbed2_bed0_u32, 0xbad1_bad1, 0xbed2_bed2, 0xbed3_bed3]
            .iter()
            .any(|magic| ends.has(&magic.to_le_bytes(), 0))
    }),
    &known("virtualbox-state", "a VirtualBox machine state", |ends| {
        ends.has(b"\x7fVirtualBox SavedState V", 0)
    }),
    &known("qemu-state", "a QEMU machine state", |ends| {
        ends.has(b"QEVM\0\0\0", 0) || ends.has(b"LibvirtQemudSave", 0)
    }),
    // Compressed streams; gzip is seen through.
    &known("xz", "an xz stream", |ends| ends.has(b"\xfd7zXZ\0", 0)),
    &known("bzip2", "a bzip2 stream", |ends| ends.has(b"BZh", 0) && ends.has(b"1AY&SY", 4)),
    &known("zstd", "a zstd stream", |ends| ends.has(&0xfd2f_b528_u32.to_le_bytes(), 0)),
    &known("lz4", "an lz4 stream", |ends| {
        ends.has(&0x184d_2204_u32.to_le_bytes(), 0) || ends.has(&0x184c_2102_u32.to_le_bytes(), 0)
    }),
    &known("lzip", "an lzip stream", |ends| ends.has(b"LZIP\x01", 0)),
    &known("lzop", "an lzop stream", |ends| ends.has(b"\x89LZO\0\r\n\x1a\n", 0)),
    // Archives.
    &known("zip", "a ZIP archive", |ends| {
        // Evidence in AFF4 is one too.
        [b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"].iter().any(|magic| ends.has(*magic, 0))
    }),
    &known("7z", "a 7-Zip archive", |ends| ends.has(b"7z\xbc\xaf\x27\x1c", 0)),
    &known("rar", "a RAR archive", |ends| ends.has(b"Rar!\x1a\x07", 0)),
    &known("cab", "a Microsoft cabinet", |ends| ends.has(b"MSCF\0\0\0\0", 0)),
    &known("ar", "an ar archive", |ends| ends.has(b"!<arch>\n", 0)),
    &known("cpio", "a cpio archive", |ends| {
        [b"070701", b"070702", b"070707"].iter().any(|magic| ends.has(*magic, 0))
    }),
    // An OVA is one; its disks are opened through its own gate. So is an XVA.
    &known("tar", "a tar archive", |ends| ends.has(b"ustar", 257)),
];

/// A format that is only known.
const fn known(name: &'static str, description: &'static str, probe: fn(&Ends) -> bool) -> Format {
    Format::unknown(name, description, probe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::probe;
    use crate::{Gate, GateError, open};
    use block::{BlockRead, MemoryDisk};
    use std::path::PathBuf;
    use std::sync::Arc;

    /// One file, whatever it is called.
    struct OneFile(MemoryDisk);

    impl Gate for OneFile {
        fn open(&self, _name: &str) -> Result<Arc<dyn BlockRead>, GateError> {
            Ok(Arc::new(self.0.clone()))
        }

        fn describe(&self, name: &str) -> PathBuf {
            PathBuf::from(name)
        }
    }

    /// A file of zeroes with `bytes` at `place`, counted from its end where that is negative.
    fn file(place: i64, bytes: &[u8]) -> MemoryDisk {
        let mut file = vec![0; 8192];
        let place = if place < 0 { 8192 + place } else { place } as usize;
        file[place..place + bytes.len()].copy_from_slice(bytes);
        MemoryDisk::from_bytes(file)
    }

    /// How each begins, as its own documents and `file`'s list of magic numbers have it.
    const BEGINNINGS: &[(&str, i64, &[u8])] = &[
        ("bochs", 0, b"Bochs Virtual HD Image\0"),
        ("cow", 0, b"OOOM\0\0\0\x02"),
        ("dmg", -512, b"koly\0\0\0\x04"),
        ("sparseimage", 0, b"sprs\0\0\0\x03"),
        ("asif", 0, b"shdw\0\0\0\x01"),
        ("cloop", 0, b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop"),
        ("chd", 0, b"MComprHD\0\0\0|\0\0\0\x05"),
        ("ciso", 0, b"CISO\x18\0\0\0"),
        ("ewf", 0, b"EVF\x09\x0d\x0a\xff\0\x01"),
        ("ewf", 0, b"EVF2\x0d\x0a\x81\0\x02\x01"),
        ("lef", 0, b"LVF\x09\x0d\x0a\xff\0\x01"),
        ("lef", 0, b"LEF2\x0d\x0a\x81\0\x02\x01"),
        ("aff", 0, b"AFF10\r\n\0"),
        ("wim", 0, b"MSWIM\0\0\0\xd0\0\0\0"),
        ("wim", 0, b"WLPWM\0\0\0\xd0\0\0\0"),
        ("sdi", 0, b"$SDI0001"),
        ("vma", 0, b"VMA\0\0\0\0\x01"),
        ("tib", 0, b"\xb4\x6e\x68\x44"),
        ("partclone", 0, b"partclone-image\0" as &[u8]),
        ("partimage", 0, b"PaRtImAgE-VoLuMe"),
        ("ntfsclone", 0, b"\0ntfsclone-image"),
        ("fsarchiver", 0, b"FsA0"),
        ("vmware-state", 0, b"\xd2\xbe\xd2\xbe\x08\0\0\0"),
        ("vmware-state", 0, b"\xd1\xba\xd1\xba"),
        ("virtualbox-state", 0, b"\x7fVirtualBox SavedState V2.0\n"),
        ("qemu-state", 0, b"QEVM\0\0\0\x03"),
        ("qemu-state", 0, b"LibvirtQemudSave\x02\0\0\0"),
        ("xz", 0, b"\xfd7zXZ\0\0\x04"),
        ("bzip2", 0, b"BZh91AY&SY"),
        ("zstd", 0, b"\x28\xb5\x2f\xfd"),
        ("lz4", 0, b"\x04\x22\x4d\x18"),
        ("lz4", 0, b"\x02\x21\x4c\x18"),
        ("lzip", 0, b"LZIP\x01\x0c"),
        ("lzop", 0, b"\x89LZO\0\r\n\x1a\n"),
        ("zip", 0, b"PK\x03\x04\x14\0"),
        ("zip", 0, b"PK\x05\x06"),
        ("7z", 0, b"7z\xbc\xaf\x27\x1c\0\x04"),
        ("rar", 0, b"Rar!\x1a\x07\x01\0"),
        ("cab", 0, b"MSCF\0\0\0\0"),
        ("ar", 0, b"!<arch>\ndebian-binary"),
        ("cpio", 0, b"070701000"),
        ("tar", 257, b"ustar\x0000"),
    ];

    #[test]
    fn each_is_refused_by_its_name() {
        for (name, place, bytes) in BEGINNINGS {
            let disk = file(*place, bytes);
            let format = probe(&disk).unwrap().format;
            assert_eq!(format.name, *name);
            let gate: Arc<dyn Gate> = Arc::new(OneFile(disk));
            let error = open(&gate, "disk.img").unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
            assert_eq!(error.to_string(), format!("disk.img is {}; not supported", format.description));
        }
        for format in REFUSED {
            assert!(BEGINNINGS.iter().any(|(name, _, _)| *name == format.name), "{}", format.name);
        }
    }

    #[test]
    fn what_a_guest_puts_at_the_beginning_of_a_disk_is_raw() {
        let beginnings: &[(i64, &[u8])] = &[
            (0, b"LUKS\xba\xbe\0\x02"),
            (0, b"\xebR\x90NTFS    "),
            (0, b"\xeb\x58\x90-FVE-FS-"),
            (0, b"hsqs"),
            (0, b"XFSB"),
            (510, b"\x55\xaa"),
            (512, b"EFI PART"),
            (512, b"LABELONE"),
            (0x438, b"\x53\xef"),
        ];
        for (place, bytes) in beginnings {
            assert_eq!(probe(&file(*place, bytes)).unwrap().format.name, "raw", "{bytes:?}");
        }
    }

    #[test]
    fn an_unknown_version_of_a_known_format_is_not_raw() {
        let beginnings: &[(&str, i64, &[u8])] = &[
            ("qcow2", 0, b"QFI\xfb\0\0\0\x07"),
            ("vdi", 0x40, b"\x7f\x10\xda\xbe\x09\0\x09\0"),
            ("parallels", 0, b"WithoutFreeSpace\x09"),
            ("vmdk", 0, b"KDMV\x63\0\0\0"),
        ];
        for (name, place, bytes) in beginnings {
            assert_eq!(probe(&file(*place, bytes)).unwrap().format.name, *name);
            let gate: Arc<dyn Gate> = Arc::new(OneFile(file(*place, bytes)));
            assert_eq!(open(&gate, "x").unwrap_err().kind(), crate::ErrorKind::Unsupported, "{name}");
        }
    }
}

//! Superblocks of filesystems and swap.

use super::{Probe, content};
use crate::volume::Content;
use crate::volume::bytes::{array, le16, le32, le64, text, utf16, uuid};
use block::Result;

/// ext2, ext3, ext4: the superblock at byte 1024 (Linux, `fs/ext4/ext4.h`, `struct ext4_super_block`).
const EXT: usize = 1024;
const EXT_MAGIC: u16 = 0xEF53;
const COMPAT_HAS_JOURNAL: u32 = 0x4;
const INCOMPAT_RECOVER: u32 = 0x4;
const INCOMPAT_JOURNAL_DEVICE: u32 = 0x8;
/// What ext3 knows: file types, recovery, meta block groups.
const EXT3_INCOMPAT: u32 = 0x2 | 0x4 | 0x10;
/// What ext3 knows: sparse superblocks, large files, hashed directories.
const EXT3_RO_COMPAT: u32 = 0x1 | 0x2 | 0x4;

pub(super) fn ext(probe: &Probe<'_>) -> Result<Option<Content>> {
    Ok(ext_kind(probe)
        .map(|kind| content(kind, uuid(probe.head(), EXT + 0x68), text(probe.head(), EXT + 0x78, 16))))
}

fn ext_kind(probe: &Probe<'_>) -> Option<&'static str> {
    let head = probe.head();
    if le16(head, EXT + 0x38)? != EXT_MAGIC {
        return None;
    }
    let compat = le32(head, EXT + 0x5C)?;
    let incompat = le32(head, EXT + 0x60)?;
    let ro_compat = le32(head, EXT + 0x64)?;
    Some(if incompat & INCOMPAT_JOURNAL_DEVICE != 0 {
        "jbd"
    } else if incompat & !EXT3_INCOMPAT != 0 || ro_compat & !EXT3_RO_COMPAT != 0 {
        "ext4"
    } else if compat & COMPAT_HAS_JOURNAL != 0 {
        "ext3"
    } else {
        "ext2"
    })
}

pub(super) fn ext_needs_recovery(probe: &Probe<'_>) -> bool {
    ext_kind(probe).is_some_and(|kind| kind != "jbd")
        && le32(probe.head(), EXT + 0x60).is_some_and(|incompat| incompat & INCOMPAT_RECOVER != 0)
}

/// XFS: the superblock of the first allocation group (Linux, `fs/xfs/libxfs/xfs_format.h`, `struct xfs_dsb`).
pub(super) fn xfs(probe: &Probe<'_>) -> Result<Option<Content>> {
    let head = probe.head();
    let block = probe.head().get(4..8).and_then(|b| array::<4>(b, 0)).map(u32::from_be_bytes).unwrap_or(0);
    if !head.starts_with(b"XFSB") || !block.is_power_of_two() || !(512..=65536).contains(&block) {
        return Ok(None);
    }
    Ok(Some(content("xfs", uuid(head, 32), text(head, 108, 12))))
}

/// Btrfs: the superblock at 64 KiB (Linux, `include/uapi/linux/btrfs_tree.h`, `struct btrfs_super_block`).
pub(super) fn btrfs(probe: &Probe<'_>) -> Result<Option<Content>> {
    const SUPERBLOCK: usize = 0x1_0000;
    let head = probe.head();
    if array(head, SUPERBLOCK + 0x40) != Some(*b"_BHRfS_M") {
        return Ok(None);
    }
    Ok(Some(content("btrfs", uuid(head, SUPERBLOCK + 0x20), text(head, SUPERBLOCK + 0x12b, 256))))
}

/// NTFS: the boot sector, and the name of the volume from its file record 3.
pub(super) fn ntfs(probe: &Probe<'_>) -> Result<Option<Content>> {
    let head = probe.head();
    if array(head, 3) != Some(*b"NTFS    ") || le16(head, 510) != Some(0xAA55) {
        return Ok(None);
    }
    let serial = le64(head, 0x48).map(|serial| format!("{serial:016X}"));
    Ok(Some(content("ntfs", serial, ntfs_label(probe)?)))
}

/// The `$VOLUME_NAME` attribute (0x60) of the file record `$Volume` (number 3).
fn ntfs_label(probe: &Probe<'_>) -> Result<Option<String>> {
    let Some(offset) = ntfs_volume_record(probe.head()) else { return Ok(None) };
    let Some(record) = probe.at::<1024>(offset)? else { return Ok(None) };
    Ok(ntfs_volume_name(&record))
}

/// Where the file record of `$Volume` lies, in bytes.
fn ntfs_volume_record(head: &[u8]) -> Option<u64> {
    let sector = u64::from(le16(head, 0x0B)?);
    let cluster = match head.get(0x0D).copied()? {
        small @ 1..=128 => u64::from(small),
        exponent => 1u64.checked_shl(256 - u32::from(exponent))?,
    };
    let cluster = cluster.checked_mul(sector)?;
    let record = match i8::from_le_bytes(array(head, 0x40)?) {
        clusters @ 1.. => cluster.checked_mul(u64::try_from(clusters).ok()?)?,
        exponent => 1u64.checked_shl(u32::from(exponent.unsigned_abs()))?,
    };
    le64(head, 0x30)?.checked_mul(cluster)?.checked_add(record.checked_mul(3)?)
}

fn ntfs_volume_name(record: &[u8]) -> Option<String> {
    if !record.starts_with(b"FILE") {
        return None;
    }
    let mut at = usize::from(le16(record, 0x14)?);
    // An attribute is at least 24 bytes long: the walk through 1024 bytes ends.
    loop {
        let length = usize::try_from(le32(record, at + 4)?).ok().filter(|&length| length >= 24)?;
        match le32(record, at)? {
            0x60 => {
                let start = at.checked_add(usize::from(le16(record, at + 0x14)?))?;
                let end = start.checked_add(usize::try_from(le32(record, at + 0x10)?).ok()?)?;
                return utf16(record.get(start..end)?);
            }
            0xFFFF_FFFF => return None,
            _ => at = at.checked_add(length)?,
        }
    }
}

/// exFAT: the boot sector (Microsoft's exFAT specification, section 3.1).
pub(super) fn exfat(probe: &Probe<'_>) -> Result<Option<Content>> {
    let head = probe.head();
    if array(head, 3) != Some(*b"EXFAT   ") {
        return Ok(None);
    }
    let serial = le32(head, 100).map(|serial| format!("{:04X}-{:04X}", serial >> 16, serial & 0xFFFF));
    Ok(Some(content("exfat", serial, None)))
}

/// Swap: a signature at the end of the first page, of any page size (Linux, `include/linux/swap.h`), or in its
/// place that of a system suspended to disk.
pub(super) fn swap(probe: &Probe<'_>) -> Result<Option<Content>> {
    const SUSPENDED: &[&[u8]] = &[b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001"];
    let head = probe.head();
    for page in [4096usize, 8192, 16384, 32768, 65536] {
        let Some(signature) = head.get(page - 10..page) else { break };
        let (uuid, label) = (uuid(head, 1036), text(head, 1052, 16));
        if SUSPENDED.iter().any(|suspended| signature.starts_with(suspended)) {
            return Ok(Some(content("swsuspend", uuid, label)));
        }
        if signature == b"SWAPSPACE2" {
            return Ok(Some(content("swap", uuid, label)));
        }
        if signature == b"SWAP-SPACE" {
            return Ok(Some(content("swap", None, None)));
        }
    }
    Ok(None)
}

/// ISO 9660: the primary volume descriptor in sector 16 (ECMA-119, section 8.4). Its date stands for a UUID.
pub(super) fn iso9660(probe: &Probe<'_>) -> Result<Option<Content>> {
    const DESCRIPTOR: usize = 32768;
    let head = probe.head();
    if array(head, DESCRIPTOR + 1) != Some(*b"CD001") {
        return Ok(None);
    }
    let uuid = iso_date(head, DESCRIPTOR + 830).or_else(|| iso_date(head, DESCRIPTOR + 813));
    Ok(Some(content("iso9660", uuid, text(head, DESCRIPTOR + 40, 32))))
}

fn iso_date(head: &[u8], offset: usize) -> Option<String> {
    let digits = array::<16>(head, offset)?;
    if !digits.iter().all(u8::is_ascii_digit) || digits.iter().all(|&digit| digit == b'0') {
        return None;
    }
    let digits = String::from_utf8_lossy(&digits).into_owned();
    let parts = [0..4, 4..6, 6..8, 8..10, 10..12, 12..14, 14..16];
    Some(parts.map(|part| digits.get(part).unwrap_or_default()).join("-"))
}

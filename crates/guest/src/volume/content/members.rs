//! Volumes that are parts of, or wrap, other volumes: RAID, LVM2, LUKS, BitLocker.

use super::{Probe, content};
use crate::volume::Content;
use crate::volume::bytes::{array, be16, le32, text, uuid};
use block::Result;

/// Linux software RAID (`include/uapi/linux/raid/md_p.h`): version 1 at one of three places, version 0.90 near the
/// end.
const RAID_MAGIC: u32 = 0xA92B_4EFC;

pub(super) fn raid(probe: &Probe<'_>) -> Result<Option<Content>> {
    let sectors = probe.size() / 512;
    let version_1_0 = sectors.checked_sub(16).map(|sector| (sector & !7) * 512);
    for offset in [Some(0), Some(4096), version_1_0].into_iter().flatten() {
        let Some(superblock) = probe.at::<128>(offset)? else { continue };
        if le32(&superblock, 0) == Some(RAID_MAGIC) && le32(&superblock, 4) == Some(1) {
            return Ok(Some(content("linux_raid_member", uuid(&superblock, 16), text(&superblock, 32, 32))));
        }
    }
    let Some(offset) = (probe.size() & !0xFFFF).checked_sub(0x1_0000) else { return Ok(None) };
    let Some(superblock) = probe.at::<64>(offset)? else { return Ok(None) };
    Ok(raid_0_90(&superblock))
}

/// Version 0.90 writes its words in the byte order of its machine; only little-endian ones run PCs.
fn raid_0_90(superblock: &[u8]) -> Option<Content> {
    if le32(superblock, 0)? != RAID_MAGIC || le32(superblock, 4)? != 0 {
        return None;
    }
    let mut raw = [0; 16];
    for (to, from) in [(0, 20), (4, 52), (8, 56), (12, 60)] {
        let word = le32(superblock, from)?.to_be_bytes();
        raw.get_mut(to..to + 4)?.copy_from_slice(&word);
    }
    Some(content("linux_raid_member", uuid(&raw, 0), None))
}

/// LVM2: a label in one of the first four sectors (LVM2, `lib/label/label.h`, `struct label_header`).
pub(super) fn lvm(probe: &Probe<'_>) -> Result<Option<Content>> {
    let head = probe.head();
    for sector in 0..4usize {
        let at = sector * 512;
        if array(head, at) == Some(*b"LABELONE") && array(head, at + 24) == Some(*b"LVM2 001") {
            let header = le32(head, at + 20).and_then(|offset| at.checked_add(usize::try_from(offset).ok()?));
            let uuid = header.and_then(|header| array(head, header)).map(format_lvm_id);
            return Ok(Some(content("LVM2_member", uuid, None)));
        }
    }
    Ok(None)
}

/// LVM2's identifiers are 32 letters and digits in groups of 6-4-4-4-4-4-6.
pub(crate) fn format_lvm_id(raw: [u8; 32]) -> String {
    let mut text = String::with_capacity(38);
    for (index, &byte) in raw.iter().enumerate() {
        if matches!(index, 6 | 10 | 14 | 18 | 22 | 26) {
            text.push('-');
        }
        text.push(if byte.is_ascii_graphic() { char::from(byte) } else { '?' });
    }
    text
}

/// LUKS 1 and 2 (LUKS1 On-Disk Format Specification 1.2.3, section 2; LUKS2 1.1.0, section 2). The first header of
/// LUKS2 may be lost; its second stands at one of a few places and says where it is.
pub(super) fn luks(probe: &Probe<'_>) -> Result<Option<Content>> {
    const SECOND: [u64; 9] =
        [0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];
    let head = probe.head();
    if array(head, 0) == Some(*b"LUKS\xBA\xBE") && matches!(be16(head, 6), Some(1 | 2)) {
        let label = if be16(head, 6) == Some(2) { text(head, 24, 48) } else { None };
        return Ok(Some(content("crypto_LUKS", text(head, 168, 40), label)));
    }
    for offset in SECOND {
        let Some(header) = probe.at::<512>(offset)? else { break };
        if array(&header, 0) == Some(*b"SKUL\xBA\xBE") && array(&header, 256) == Some(offset.to_be_bytes()) {
            return Ok(Some(content("crypto_LUKS", text(&header, 168, 40), text(&header, 24, 48))));
        }
    }
    Ok(None)
}

/// BitLocker: the boot sector of a volume that Windows encrypted.
pub(super) fn bitlocker(probe: &Probe<'_>) -> Result<Option<Content>> {
    Ok((array(probe.head(), 3) == Some(*b"-FVE-FS-")).then(|| content("BitLocker", None, None)))
}

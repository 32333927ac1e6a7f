//! The partition table of PC BIOS disks, with extended partitions, numbered as Linux numbers them.

use super::bytes::{array, le32};
use super::partition::Partition;
use block::{BlockRead, Result};

/// Sectors of an MBR are 512 bytes long.
const SECTOR: u64 = 512;
/// How many logical partitions are followed, at most; Linux stops at 100.
const MAX_LOGICAL: u32 = 100;
/// The type of the entry that protects a GPT.
const PROTECTIVE: u8 = 0xEE;

/// One entry of a table; positions in sectors, as they stand.
#[derive(Clone, Copy)]
struct Entry {
    status: u8,
    kind: u8,
    start: u64,
    sectors: u64,
}

impl Entry {
    fn is_extended(self) -> bool {
        matches!(self.kind, 0x05 | 0x0F | 0x85)
    }

    fn is_used(self) -> bool {
        self.sectors != 0 && self.kind != 0
    }
}

/// The first sector of a disk, when it is a partition table.
pub(crate) struct Mbr {
    signature: u32,
    entries: [Entry; 4],
}

impl Mbr {
    /// Reads it; `None` when there is none.
    pub(crate) fn read(disk: &dyn BlockRead) -> Result<Option<Self>> {
        let Some(sector) = sector(disk, 0)? else { return Ok(None) };
        let Some(entries) = entries(&sector) else { return Ok(None) };
        let plausible = entries.iter().all(|entry| entry.status & 0x7F == 0)
            && entries.iter().any(|entry| entry.is_used());
        Ok(plausible.then(|| Self { signature: le32(&sector, 440).unwrap_or(0), entries }))
    }

    /// Whether an entry says that a GPT is in charge (a hybrid table has others beside it).
    pub(crate) fn protects_gpt(&self) -> bool {
        self.entries.iter().any(|entry| entry.kind == PROTECTIVE)
    }

    /// The primary and logical partitions; not the extended one around the latter.
    pub(crate) fn partitions(&self, disk: &dyn BlockRead) -> Result<Vec<Partition>> {
        let mut partitions = Vec::new();
        let mut logical = 5;
        for (number, entry) in (1u32..).zip(self.entries) {
            if !entry.is_used() {
                continue;
            }
            if entry.is_extended() {
                self.extended(disk, entry.start, &mut logical, &mut partitions)?;
            } else {
                partitions.push(self.partition(number, entry.start, entry));
            }
        }
        Ok(partitions)
    }

    /// Follows the chain of extended boot records from sector `base`: each describes partitions relative to
    /// itself, and the next record relative to `base`.
    fn extended(
        &self,
        disk: &dyn BlockRead,
        base: u64,
        number: &mut u32,
        partitions: &mut Vec<Partition>,
    ) -> Result<()> {
        let mut at = base;
        for _ in 0..MAX_LOGICAL {
            let Some(entries) = sector(disk, at)?.and_then(|sector| entries(&sector)) else { break };
            for entry in entries.into_iter().filter(|entry| entry.is_used() && !entry.is_extended()) {
                if *number > 4 + MAX_LOGICAL {
                    return Ok(());
                }
                partitions.push(self.partition(*number, at + entry.start, entry));
                *number += 1;
            }
            match entries.into_iter().find(|entry| entry.is_used() && entry.is_extended()) {
                Some(next) => at = base + next.start,
                None => break,
            }
        }
        Ok(())
    }

    fn partition(&self, number: u32, start: u64, entry: Entry) -> Partition {
        Partition {
            number,
            range: start * SECTOR..(start + entry.sectors) * SECTOR,
            uuid: (self.signature != 0).then(|| format!("{:08x}-{number:02x}", self.signature)),
            label: None,
            kind: format!("{:02x}", entry.kind),
        }
    }
}

fn sector(disk: &dyn BlockRead, number: u64) -> Result<Option<[u8; SECTOR as usize]>> {
    let offset = number * SECTOR;
    if offset + SECTOR > disk.size() {
        return Ok(None);
    }
    let mut sector = [0; SECTOR as usize];
    disk.read_at(&mut sector, offset)?;
    Ok(Some(sector))
}

fn entries(sector: &[u8]) -> Option<[Entry; 4]> {
    if array(sector, 510)? != [0x55, 0xAA] {
        return None;
    }
    let entry = |index: usize| {
        let at = 446 + index * 16;
        Some(Entry {
            status: *sector.get(at)?,
            kind: *sector.get(at + 4)?,
            start: u64::from(le32(sector, at + 8)?),
            sectors: u64::from(le32(sector, at + 12)?),
        })
    };
    Some([entry(0)?, entry(1)?, entry(2)?, entry(3)?])
}

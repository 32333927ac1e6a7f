//! Giving a VDI another size in place: [`resize`].
//!
//! The header lies in one sector; everything that it will lead to is written and durable before it is. What a crash
//! leaves is the old disk or the new one, perhaps with blocks that nothing uses.

use super::check;
use super::edit::Editor;
use super::header::Kind;
use super::map::{ABSENT, ZERO};
use crate::error::Result;
use crate::storage::Storage;
use std::path::Path;

/// How much of the map is written at once, in bytes.
const PIECE: usize = 256 << 10;

/// Gives the disk of the image in `storage` a new size in bytes.
pub(super) fn resize(storage: &dyn Storage, path: &Path, size: u64) -> Result<()> {
    let mut editor = Editor::open(storage, path)?;
    if !size.is_multiple_of(512) || size > crate::MAX_VIRTUAL_SIZE {
        return Err(editor.refused("resize", "a disk is of whole sectors of 512 bytes"));
    }
    if editor.header.kind.has_parent() {
        return Err(editor.refused("resize", "a differencing image has its parent's size"));
    }
    let survey = check::survey(&editor)?;
    if !survey.is_sound() {
        return Err(editor.refused("resize", "it is damaged; a check says how"));
    }
    if size < editor.header.size { shrink(&mut editor, size) } else { grow(&mut editor, size) }
}

/// Makes the disk smaller, if all that is left out is zeroes.
fn shrink(editor: &mut Editor<'_>, size: u64) -> Result<()> {
    let block = editor.header.block;
    let (blocks, tail) = (size.div_ceil(block), size % block);
    let (mut last, mut lost) = (ABSENT, None);
    editor.entries(&mut |number, place| {
        if number >= blocks && place < ZERO {
            lost.get_or_insert(number);
        }
        if number + 1 == blocks {
            last = place;
        }
    })?;
    if tail > 0 && last < ZERO && !editor.is_zero(last, tail..block, false)? {
        lost.get_or_insert(blocks - 1);
    }
    if let Some(number) = lost {
        let why = format!("the disk has data at byte {} and behind", (number * block).max(size));
        return Err(editor.refused("resize", why));
    }
    editor.switch(|header| {
        header.disk_size = size.into();
        header.blocks = (blocks as u32).into();
    })
}

/// Makes the disk larger; what is added reads as zeroes.
fn grow(editor: &mut Editor<'_>, size: u64) -> Result<()> {
    let header = editor.header.clone();
    let blocks = size.div_ceil(header.block);
    let room = header.data_offset - header.map_offset;
    // No more than the entries that a map in front of the first 4 GiB has.
    if blocks >= u64::from(u32::MAX) / 4 {
        return Err(editor.refused("resize", "the format has no disks of that size"));
    }
    if blocks * 4 > room {
        if header.kind == Kind::Fixed {
            let why = "the block map has no more room in a fixed image; convert it to a new one";
            return Err(editor.refused("resize", why));
        }
        move_map(editor, blocks)?;
    }
    let (old, map) = (header.blocks(), editor.header.map_offset);
    let mut allocated = editor.header.allocated;
    let mut entry = ABSENT;
    if header.kind == Kind::Fixed {
        // Behind everything that is there, where the file is made of zeroes.
        let first = editor.places().max(allocated.into());
        let end = u32::try_from(first + (blocks - old)).unwrap_or(ZERO);
        if end >= ZERO {
            return Err(editor.refused("resize", "the format has no files of that size"));
        }
        (entry, allocated) = (first as u32, end);
        editor.set_len(header.data_offset + u64::from(end) * header.stride())?;
    }
    clear_tail(editor)?;
    let mut entries = EntryWriter { editor, offset: map + old * 4, pending: Vec::new() };
    for _ in old..blocks {
        entries.add(entry)?;
        entry = if entry == ABSENT { ABSENT } else { entry + 1 };
    }
    entries.write()?;
    editor.switch(|header| {
        header.disk_size = size.into();
        header.blocks = (blocks as u32).into();
        header.allocated = allocated.into();
    })
}

/// Clears what stands in the last block behind the disk's end.
fn clear_tail(editor: &Editor<'_>) -> Result<()> {
    let (blocks, tail) = (editor.header.blocks(), editor.header.size % editor.header.block);
    let mut last = ABSENT;
    editor.entries(&mut |block, place| last = if block + 1 == blocks { place } else { last })?;
    if tail > 0 && last < ZERO {
        editor.is_zero(last, tail..editor.header.block, true)?;
    }
    Ok(())
}

/// Makes room for a map of `blocks` entries: moves the first blocks of data behind the others, and the map to where they
/// were. The disk stays as it is.
fn move_map(editor: &mut Editor<'_>, blocks: u64) -> Result<()> {
    let header = editor.header.clone();
    let taken = (blocks * 4).div_ceil(header.stride());
    let data_offset = header.data_offset + taken * header.stride();
    let mut first = Vec::new();
    editor.entries(&mut |block, place| {
        if u64::from(place) < taken {
            first.push((block, place));
        }
    })?;
    let behind = editor.places().max(header.allocated.into()).max(taken);
    let end = u32::try_from(behind + first.len() as u64).unwrap_or(ZERO);
    let (Ok(map_offset), Ok(data_offset)) = (u32::try_from(header.data_offset), u32::try_from(data_offset))
    else {
        return Err(editor.refused("resize", "the block map would lie beyond the first 4 GiB of the file"));
    };
    if end >= ZERO {
        return Err(editor.refused("resize", "the format has no files of that size"));
    }
    for ((_, from), to) in first.iter().zip(behind as u32..) {
        editor.copy_block(*from, to)?;
    }
    // From now on nobody adds a block where one was copied to.
    editor.switch(|header| header.allocated = end.into())?;
    for ((block, _), to) in first.iter().zip(behind as u32..) {
        editor.set_entry(*block, to)?;
    }
    editor.flush()?;
    let taken = taken as u32;
    let mut failed = Ok(());
    let mut entries = EntryWriter { editor, offset: header.data_offset, pending: Vec::new() };
    editor.entries(&mut |_, place| {
        if failed.is_ok() {
            failed = entries.add(if place < ZERO { place - taken } else { place });
        }
    })?;
    failed?;
    entries.write()?;
    editor.switch(|header| {
        header.map_offset = map_offset.into();
        header.data_offset = data_offset.into();
        header.allocated = (end - taken).into();
    })
}

/// Writes entries of a map that is not yet in use, one after the other.
struct EntryWriter<'a> {
    editor: &'a Editor<'a>,
    /// Where the next piece goes, in bytes.
    offset: u64,
    pending: Vec<u8>,
}

impl EntryWriter<'_> {
    fn add(&mut self, place: u32) -> Result<()> {
        self.pending.extend_from_slice(&place.to_le_bytes());
        if self.pending.len() < PIECE { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<()> {
        self.editor.write(&self.pending, self.offset)?;
        self.offset += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Check, Severity};
    use crate::mapping::Mapped;
    use crate::source::Source;
    use crate::storage::volatile::VolatileFile;
    use crate::vdi::header::{Header, RawHeader};
    use crate::vdi::map::BlockMap;
    use block::{BlockRead, MemoryDisk};
    use std::path::PathBuf;
    use std::sync::Arc;
    use zerocopy::IntoBytes;

    /// Small, so that every crash can be tried.
    const BLOCK: usize = 4096;
    const MAP: usize = 512;
    /// The map in front of it has room for 128 entries.
    const DATA: usize = 1024;

    /// An image of the blocks of `map`, with the disk's content. The last block lacks a sector.
    fn image(kind: Kind, map: &[u32]) -> (Vec<u8>, Vec<u8>) {
        let size = map.len() * BLOCK - 512;
        let used = map.iter().filter(|place| **place < ZERO).max().map_or(0, |place| *place as usize + 1);
        let header = RawHeader::new(kind, size as u64, MAP as u32, DATA as u32, BLOCK as u32, used as u32);
        let mut file = vec![0; DATA + used * BLOCK];
        file[..header.as_bytes().len()].copy_from_slice(header.as_bytes());
        let mut disk = vec![0; map.len() * BLOCK];
        for (block, place) in map.iter().enumerate() {
            file[MAP + block * 4..][..4].copy_from_slice(&place.to_le_bytes());
            if *place < ZERO {
                file[DATA + *place as usize * BLOCK..][..BLOCK].fill(block as u8 + 1);
                disk[block * BLOCK..][..BLOCK].fill(block as u8 + 1);
            }
        }
        disk.truncate(size);
        (file, disk)
    }

    fn content(file: &[u8]) -> Vec<u8> {
        let source =
            Source { disk: Arc::new(MemoryDisk::from_bytes(file.to_vec())), path: PathBuf::from("disk") };
        let header = Header::read(&source).unwrap().1;
        let disk = Mapped(BlockMap::new(source, header));
        let mut bytes = vec![0; disk.size() as usize];
        disk.read_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// What a repair finds in `file`, and the file after it.
    fn repaired(file: &[u8]) -> (Check, Vec<u8>) {
        let (file, mut check) = (VolatileFile::new(file), Check::default());
        check::repair(&file, Path::new("disk"), &mut check).unwrap();
        (check, file.bytes())
    }

    /// Runs `change` on `file` and cuts the power after each of its operations: what is left is the disk `before` or the
    /// disk `after`, without damage, and after a repair without leaks.
    fn survives(
        file: &[u8],
        before: &[u8],
        after: &[u8],
        change: impl Fn(&dyn Storage) -> Result<()>,
    ) -> Vec<u8> {
        let mut operations = 0;
        loop {
            let storage = VolatileFile::new(file).failing_after(operations);
            let outcome = change(&storage);
            for seed in 0..8 {
                let left = storage.crash(seed);
                let found = content(&left);
                assert!(found == before || found == after, "{operations} operations, seed {seed}");
                let (check, left) = repaired(&left);
                let damage = check.findings.iter().find(|finding| finding.severity == Severity::Damage);
                assert!(check.is_clean() && damage.is_none(), "{operations}, {seed}: {check:?}");
                assert!(content(&left) == found);
                assert!(repaired(&left).0.findings.is_empty());
            }
            if outcome.is_ok() {
                let bytes = storage.bytes();
                assert!(content(&bytes) == after);
                return bytes;
            }
            operations += 1;
        }
    }

    fn grown(disk: &[u8], size: usize) -> Vec<u8> {
        let mut disk = disk.to_vec();
        disk.resize(size, 0);
        disk
    }

    #[test]
    fn growing_within_the_map_survives_a_crash_anywhere() {
        for kind in [Kind::Dynamic, Kind::Fixed] {
            let (file, disk) = image(kind, &[2, 1, 0]);
            let size = 100 * BLOCK + 512;
            let file = survives(&file, &disk, &grown(&disk, size), |storage| {
                resize(storage, Path::new("disk"), size as u64)
            });
            let blocks = if kind == Kind::Fixed { 101 } else { 3 };
            assert_eq!(file.len(), DATA + blocks * BLOCK);
        }
    }

    #[test]
    fn growing_beyond_the_map_moves_the_first_blocks_and_survives_a_crash_anywhere() {
        for map in [vec![ABSENT, 2, 0, ZERO, 1, 3], vec![0], vec![ABSENT; 3]] {
            let (file, disk) = image(Kind::Dynamic, &map);
            let size = 2000 * BLOCK;
            survives(&file, &disk, &grown(&disk, size), |storage| {
                resize(storage, Path::new("disk"), size as u64)
            });
        }
    }

    #[test]
    fn shrinking_leaves_out_zeroes_alone() {
        let (file, disk) = image(Kind::Dynamic, &[1, 0, ABSENT, ZERO]);
        let size = 2 * BLOCK + 512;
        survives(&file, &disk, &disk[..size], |storage| resize(storage, Path::new("disk"), size as u64));
        for size in [BLOCK, 2 * BLOCK - 512] {
            let error = resize(&VolatileFile::new(&file), Path::new("disk"), size as u64).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("cannot resize disk: the disk has data at byte {size} and behind")
            );
        }
    }

    #[test]
    fn what_cannot_be_resized_is_left_alone() {
        let refuses = |file: &[u8], size: u64| {
            let storage = VolatileFile::new(file);
            let message = resize(&storage, Path::new("disk"), size).unwrap_err().to_string();
            assert!(storage.bytes() == file, "{message}");
            message
        };
        let (fixed, _) = image(Kind::Fixed, &[0, 1]);
        assert!(refuses(&fixed, 4 << 20).contains("has no more room in a fixed image"));
        assert!(refuses(&fixed, 1000).contains("whole sectors"));
        let (dynamic, _) = image(Kind::Dynamic, &[0, 1]);
        assert!(refuses(&dynamic, 1 << 55).contains("no disks of that size"));
        let (damaged, _) = image(Kind::Dynamic, &[0, 0]);
        assert!(refuses(&damaged, 4 << 20).contains("it is damaged"));
        let (child, _) = image(Kind::Differencing, &[0]);
        assert!(refuses(&child, 4 << 20).contains("its parent's size"));
    }

    #[test]
    fn a_repair_moves_blocks_together_and_survives_a_crash_anywhere() {
        let (file, disk) = image(Kind::Dynamic, &[5, ABSENT, 1, 3]);
        let file = survives(&file, &disk, &disk, |storage| {
            check::repair(storage, Path::new("disk"), &mut Check::default())
        });
        assert_eq!(file.len(), DATA + 3 * BLOCK);
    }
}

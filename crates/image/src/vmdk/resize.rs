//! Making a `monolithicSparse` disk larger in place: [`resize`].
//!
//! The header's one sector decides which disk the file is. Whatever has to change is written behind the end of the
//! file first: both copies of the grain directory and the grain tables when the disk needs more of them, and the
//! descriptor, which says the disk's size too. Then the header is switched to them. Last, the descriptor goes back to
//! where every product has it, by a second switch. At any moment the file is the old disk or the new one.

use super::Reason;
use super::arrangement::{Arrangement, ENTRY, GRAIN};
use super::descriptor::{self, Descriptor};
use super::directory::entries;
use super::header::{DirectoryPlace, Geometry, SECTOR, SparseHeader, hosted};
use super::write::MAX_SPARSE;
use crate::bytes::{Bytes, Stored};
use crate::error::{Error, Result};
use crate::storage::Storage;
use std::ops::Range;
use std::path::Path;
use zerocopy::IntoBytes;

/// Gives the disk in `storage` a size in bytes, rounded up to whole sectors.
///
/// # Errors
/// [`Error::InPlace`] for any other type of disk, a disk with a parent, and a size below the present one;
/// [`Error::TooLarge`].
pub(super) fn resize(storage: &dyn Storage, path: &Path, size: u64) -> Result<()> {
    let file = Stored::new(storage, path)?;
    let growth = match Growth::plan(&file, size)? {
        Some(growth) => growth,
        None => return Ok(()),
    };
    growth.run()
}

/// A disk that grows.
struct Growth<'a> {
    file: &'a Stored<'a>,
    header: SparseHeader,
    geometry: Geometry,
    /// The grain directory's sector.
    directory: u64,
    /// Where the descriptor is, and what it will be.
    descriptor_offset: u64,
    descriptor: Vec<u8>,
    /// The new size in sectors.
    sectors: u64,
}

impl<'a> Growth<'a> {
    /// Finds out whether and how the disk can have `size` bytes; `None` when it has.
    fn plan(file: &'a Stored<'a>, size: u64) -> Result<Option<Self>> {
        let refused = |why: &str| file.refused("resize", why);
        let Some((header, geometry)) = hosted(file)? else {
            return Err(refused("its data is in other files than its descriptor"));
        };
        let DirectoryPlace::At(directory) = geometry.directory else {
            return Err(refused("a stream-optimized VMDK is written once"));
        };
        if geometry.compressed {
            return Err(refused("a stream-optimized VMDK is written once"));
        }
        if size > MAX_SPARSE {
            return Err(Error::TooLarge { size, format: "a VMDK" });
        }
        let sectors = size.div_ceil(SECTOR);
        if sectors == geometry.capacity / SECTOR {
            return Ok(None);
        }
        if sectors < geometry.capacity / SECTOR {
            return Err(refused("a VMDK can only be made larger"));
        }
        let bytes = match geometry.descriptor {
            Some((offset, length)) if length <= descriptor::MAX_BYTES => file.bytes_at(offset, length)?,
            _ => None,
        };
        let bytes = bytes
            .filter(|bytes| bytes.first() != Some(&0))
            .ok_or_else(|| refused("it is one extent of a disk, and has no descriptor of its own"))?;
        let parsed = Descriptor::parse(&bytes).map_err(|reason| file.error(Some(SECTOR), reason))?;
        if parsed.parent_cid.is_some() {
            return Err(refused("it stands on a parent, whose size it has"));
        }
        let descriptor = descriptor::resized(&bytes, sectors);
        let descriptor_offset = geometry.descriptor.map_or(SECTOR, |(offset, _)| offset);
        Ok(Some(Self { file, header, geometry, directory, descriptor_offset, descriptor, sectors }))
    }

    fn run(mut self) -> Result<()> {
        let behind = self.prepare_last_grain()?.next_multiple_of(self.geometry.grain);
        let tables = (self.sectors * SECTOR).div_ceil(self.geometry.table_span());
        let temporary =
            if tables > self.geometry.tables() { self.move_tables(behind, tables)? } else { behind };
        let (home, room) = (self.descriptor_offset, self.header.descriptor_size.get() * SECTOR);
        let needed = (self.descriptor.len() as u64).next_multiple_of(SECTOR);
        self.descriptor.resize(needed.max(room) as usize, 0);
        self.file.write(&self.descriptor, temporary)?;
        self.header.descriptor_offset = (temporary / SECTOR).into();
        self.header.descriptor_size = (self.descriptor.len() as u64 / SECTOR).into();
        self.header.capacity = self.sectors.into();
        self.switch()?;
        if needed > room {
            return Ok(());
        }
        self.file.write(&self.descriptor, home)?;
        self.header.descriptor_offset = (home / SECTOR).into();
        self.switch()?;
        self.file.set_len(temporary)?;
        self.file.flush()
    }

    /// Makes the header durable, and everything before it.
    fn switch(&self) -> Result<()> {
        self.file.flush()?;
        self.file.write(self.header.as_bytes(), 0)?;
        self.file.flush()
    }

    /// Sees to it that what lies behind the disk's end within its last table and its last grain reads as zeroes.
    /// Answers with the first byte of the file that nothing uses.
    fn prepare_last_grain(&self) -> Result<u64> {
        let end = self.file.size();
        let Geometry { capacity, grain, .. } = self.geometry;
        let Some(last) = self.geometry.tables().checked_sub(1) else { return Ok(end) };
        let table = self.table(last)?;
        let present = capacity.div_ceil(grain) - last * u64::from(self.geometry.entries_per_table);
        let (used, behind) =
            table.split_at_checked(present as usize * ENTRY as usize).unwrap_or((&table, &[]));
        if !block::is_zero(behind) {
            return Err(self.file.refused("resize", "its grain tables have entries behind its end"));
        }
        let sector = entries(used).last().unwrap_or_default();
        let length = self.geometry.grain_length(capacity.div_ceil(grain) - 1);
        if sector <= 1 || length == grain {
            return Ok(end);
        }
        let offset = u64::from(sector) * SECTOR;
        if !self.file.holds(offset, length) {
            let reason = Reason::GrainOutside { grain: capacity / grain, sector: sector.into() };
            return Err(self.file.error(Some(offset), reason));
        }
        let rest = offset + length..offset + grain;
        let left = end.saturating_sub(rest.start).min(rest.end - rest.start);
        if self.file.bytes_at(rest.start, left)?.is_some_and(|bytes| !block::is_zero(&bytes)) {
            self.refuse_used(&rest)?;
            self.file.write(&vec![0; left as usize], rest.start)?;
        }
        Ok(end.max(rest.end))
    }

    /// Fails when a table, or a grain by one of them, begins in these bytes of the file.
    fn refuse_used(&self, bytes: &Range<u64>) -> Result<()> {
        let used = |sector: u32| bytes.contains(&(u64::from(sector) * SECTOR));
        for index in 0..self.geometry.tables() {
            if used(self.table_sector(index)?) || entries(&self.table(index)?).any(used) {
                return Err(self
                    .file
                    .refused("resize", "what lies behind its last grain's end is used twice"));
            }
        }
        Ok(())
    }

    /// The sector of table `index`, 0 for none.
    fn table_sector(&self, index: u64) -> Result<u32> {
        let entry = self.directory.saturating_mul(SECTOR).saturating_add(index * ENTRY);
        let sector = self.file.bytes_at(entry, ENTRY)?.and_then(|bytes| entries(&bytes).next());
        let reason = Reason::DirectoryOutside { entries: self.geometry.tables(), sector: self.directory };
        sector.ok_or_else(|| self.file.error(Some(entry), reason))
    }

    /// The bytes of table `index`, zeroes when there is none.
    fn table(&self, index: u64) -> Result<Vec<u8>> {
        let length = u64::from(self.geometry.entries_per_table) * ENTRY;
        let sector = match self.table_sector(index)? {
            0 => return Ok(vec![0; length as usize]),
            sector => u64::from(sector),
        };
        let outside =
            || self.file.error(Some(sector * SECTOR), Reason::TableOutside { table: index, sector });
        self.file.bytes_at(sector * SECTOR, length)?.ok_or_else(outside)
    }

    /// Copies the tables, and room for more, to byte `start`; answers with the byte behind them, a whole grain's.
    fn move_tables(&mut self, start: u64, tables: u64) -> Result<u64> {
        let arrangement = Arrangement::at(start / SECTOR, tables, self.geometry.entries_per_table);
        let end = (arrangement.end() * SECTOR).next_multiple_of(GRAIN.max(self.geometry.grain));
        if end / SECTOR > u64::from(u32::MAX) {
            return Err(self.file.refused("resize", "its grain tables would lie behind 2 TiB of the file"));
        }
        self.file.set_len(end)?;
        for index in 0..self.geometry.tables() {
            let table = self.table(index)?;
            if block::is_zero(&table) {
                continue;
            }
            for row in arrangement.rows() {
                self.file.write(&table, row.table(index) * SECTOR)?;
            }
        }
        for row in arrangement.rows() {
            for (offset, bytes) in row.pieces() {
                self.file.write(&bytes, offset)?;
            }
        }
        self.header.directory = arrangement.primary.directory.into();
        if self.geometry.redundant.is_some() {
            self.header.redundant_directory = arrangement.redundant.directory.into();
        }
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Gate, GateError};
    use crate::{CopyOptions, NewImage, NoProgress, Severity};
    use block::{BlockRead, BlockWrite, CrashDisk, MemoryDisk};
    use std::io;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    /// The one file there is.
    struct OneFile(MemoryDisk);

    impl Gate for OneFile {
        fn open(&self, _name: &str) -> Result<Arc<dyn BlockRead>, GateError> {
            Ok(Arc::new(self.0.clone()))
        }

        fn describe(&self, name: &str) -> PathBuf {
            PathBuf::from(name)
        }
    }

    /// A file that loses power before each of its changes, a few times over, and is then looked at.
    struct FailingFile {
        disk: CrashDisk,
        length: AtomicU64,
        durable_length: AtomicU64,
        look: Box<dyn Fn(MemoryDisk) + Send + Sync>,
        looks: Mutex<u64>,
    }

    impl FailingFile {
        fn crash(&self) {
            let mut looks = self.looks.lock().unwrap();
            for length in [&self.length, &self.durable_length] {
                for _ in 0..3 {
                    *looks += 1;
                    let left = self.disk.crash(*looks).unwrap();
                    let mut bytes = left.to_bytes();
                    bytes.truncate(length.load(Ordering::Relaxed) as usize);
                    (self.look)(MemoryDisk::from_bytes(bytes));
                }
            }
        }
    }

    impl Storage for FailingFile {
        fn length(&self) -> io::Result<u64> {
            Ok(self.length.load(Ordering::Relaxed))
        }

        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
            self.disk.read_at(buf, offset).map_err(io::Error::other)
        }

        fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
            self.crash();
            self.length.fetch_max(offset + data.len() as u64, Ordering::Relaxed);
            self.disk.write_at(data, offset).map_err(io::Error::other)
        }

        fn set_len(&self, length: u64) -> io::Result<()> {
            self.crash();
            self.length.store(length, Ordering::Relaxed);
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            self.crash();
            self.durable_length.store(self.length.load(Ordering::Relaxed), Ordering::Relaxed);
            self.disk.flush().map_err(io::Error::other)
        }
    }

    /// The disk in `file`, of which all data is to be that of `old` and all else zeroes; answers with its size.
    fn size_of_sound(file: MemoryDisk, old: &MemoryDisk) -> u64 {
        let gate: Arc<dyn Gate> = Arc::new(OneFile(file));
        let check = crate::check(&gate, "disk.vmdk", &crate::OpenOptions::default()).unwrap();
        let damage: Vec<_> =
            check.findings.iter().filter(|finding| finding.severity == Severity::Damage).collect();
        assert!(damage.is_empty(), "{damage:?}");
        let image = crate::open(&gate, "disk.vmdk").unwrap();
        for extent in image.extents(0..image.size()).unwrap().into_iter().filter(|extent| extent.is_data()) {
            let mut bytes = vec![0; extent.len() as usize];
            image.read_at(&mut bytes, extent.range.start).unwrap();
            let mut expected = vec![0; bytes.len()];
            let present = old.size().saturating_sub(extent.range.start).min(extent.len()) as usize;
            old.read_at(&mut expected[..present], extent.range.start).unwrap();
            assert!(bytes == expected, "{extent:?}");
        }
        image.size()
    }

    #[test]
    fn power_may_fail_at_any_moment() {
        let old = MemoryDisk::new((31 << 20) + 512);
        for place in [0, 5 << 20, 31 << 20] {
            old.write_at(&[0x77; 512], place).unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("disk.vmdk");
        crate::copy(Arc::new(old.clone()), &target, &NewImage::vmdk(), &CopyOptions::default(), &NoProgress)
            .unwrap();
        let image = std::fs::read(target).unwrap();
        for new in [32_u64 << 20, 70 << 20] {
            // Room to grow, and rubbish behind the disk's end in its last grain.
            let disk = MemoryDisk::new(1 << 20);
            disk.write_at(&image, 0).unwrap();
            disk.write_at(&[0xee; 512], image.len() as u64 - 512).unwrap();
            let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
            let (sizes, expected) = (Arc::clone(&seen), old.clone());
            let length = image.len() as u64;
            let file = FailingFile {
                disk: CrashDisk::from_disk(disk),
                length: length.into(),
                durable_length: length.into(),
                look: Box::new(move |left| sizes.lock().unwrap().push(size_of_sound(left, &expected))),
                looks: Mutex::new(0),
            };
            resize(&file, Path::new("disk.vmdk"), new).unwrap();
            file.crash();
            let seen = seen.lock().unwrap();
            assert!(seen.iter().all(|size| [old.size(), new].contains(size)), "{seen:?}");
            assert_eq!((seen.first(), seen.last()), (Some(&old.size()), Some(&new)));
        }
    }

    /// The last grain is cut off by the disk's end, and another grain begins in what is left of it.
    #[test]
    fn what_another_grain_uses_is_not_cleared() {
        let disk = MemoryDisk::new((1 << 20) + 512);
        disk.write_at(&[1; 512], 0).unwrap();
        disk.write_at(&[2; 512], 1 << 20).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("disk.vmdk");
        crate::copy(Arc::new(disk), &target, &NewImage::vmdk(), &CopyOptions::default(), &NoProgress)
            .unwrap();
        // Table 0 of the copy that is read stands in sector 27, and its grains from sector 128 on.
        let file = std::fs::File::options().read(true).write(true).open(&target).unwrap();
        Storage::write_all_at(&file, &(256_u32 + 8).to_le_bytes(), 27 * SECTOR).unwrap();
        Storage::write_all_at(&file, &[9; 512], (256 + 8) * SECTOR).unwrap();
        Storage::set_len(&file, (256 + 136) * SECTOR).unwrap();
        let error = resize(&file, &target, 2 << 20).unwrap_err();
        assert!(error.to_string().contains("used twice"), "{error}");
    }
}

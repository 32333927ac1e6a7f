//! Host files and block devices as disks.

use crate::{
    BlockRead, BlockWrite, Error, Extent, ExtentKind, Extents, FileLocation, Result, check_range, check_span,
};
use rustix::fs::{FallocateFlags, FileType, OFlags, SeekFrom, fallocate, fstat, seek};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom as StdSeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// How many zero bytes are written at a time where the host cannot punch a hole.
const ZEROES: usize = 1 << 20;

/// A host file or block device, read only.
///
/// Its extents come from the host's filesystem (`SEEK_DATA`, `SEEK_HOLE`) and carry their location.
#[derive(Debug)]
pub struct FileDisk {
    host: HostFile,
    /// The run of data that was found last. Finding where a run ends takes the host's filesystem a time that grows with
    /// the number of its extents up to there, and images with tables ask for one block after the other.
    known: Mutex<Range<u64>>,
}

impl FileDisk {
    /// Opens a regular file or a block device for reading.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened, [`Error::NotADisk`] when it is anything else (a directory, a named
    /// pipe, ...).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = open(OpenOptions::new().read(true), path)?;
        Self::from_file(file, path)
    }

    /// A disk that reads `file`, which is open for reading; `path` is what errors call it.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn from_file(file: File, path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self { host: HostFile::new(file, path.as_ref())?, known: Mutex::new(0..0) })
    }
}

/// A host file or block device that can also be written.
#[derive(Debug)]
pub struct WritableFileDisk {
    host: HostFile,
}

impl WritableFileDisk {
    /// Makes a new sparse file of `size` bytes. It must not exist yet, not even as a dangling symbolic link.
    ///
    /// # Errors
    /// [`Error::Io`]; nothing is left behind then.
    pub fn create(path: impl AsRef<Path>, size: u64) -> Result<Self> {
        let path = path.as_ref();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|source| Error::io("create", path, None, source))?;
        let disk = file
            .set_len(size)
            .map_err(|source| Error::io("set the size of", path, Some(size), source))
            .and_then(|()| HostFile::new(file, path));
        if disk.is_err() {
            // The first error is the one to tell; that the empty file stays is the lesser evil.
            let _ = std::fs::remove_file(path);
        }
        Ok(Self { host: disk? })
    }

    /// Opens an existing regular file or block device for reading and writing.
    ///
    /// # Errors
    /// As for [`FileDisk::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = open(OpenOptions::new().read(true).write(true), path)?;
        Ok(Self { host: HostFile::new(file, path)? })
    }
}

/// Opens without waiting: a named pipe would otherwise block until it has a writer. `O_NONBLOCK` means nothing to
/// regular files and block devices. The standard library adds `O_CLOEXEC`.
fn open(options: &mut OpenOptions, path: &Path) -> Result<File> {
    options
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(path)
        .map_err(|source| Error::io("open", path, None, source))
}

/// What both kinds share: an open file of a known size, and the name to use in errors.
#[derive(Debug)]
struct HostFile {
    file: Arc<File>,
    path: PathBuf,
    size: u64,
}

impl HostFile {
    fn new(mut file: File, path: &Path) -> Result<Self> {
        let status = fstat(&file).map_err(|errno| Error::io("examine", path, None, errno.into()))?;
        let kind = match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile | FileType::BlockDevice => None,
            FileType::Directory => Some("directory"),
            FileType::Fifo => Some("named pipe"),
            FileType::Socket => Some("socket"),
            FileType::CharacterDevice => Some("character device"),
            _ => Some("special file"),
        };
        if let Some(kind) = kind {
            return Err(Error::NotADisk { path: path.to_path_buf(), kind });
        }
        // A block device's status says nothing of its size; its end does, and so does a file's.
        let size = file
            .seek(StdSeekFrom::End(0))
            .map_err(|source| Error::io("find the size of", path, None, source))?;
        Ok(Self { file: Arc::new(file), path: path.to_path_buf(), size })
    }

    fn error(&self, operation: &'static str, offset: u64, source: impl Into<std::io::Error>) -> Error {
        Error::io(operation, &self.path, Some(offset), source.into())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size)?;
        self.file.read_exact_at(buf, offset).map_err(|source| self.error("read", offset, source))
    }

    /// `known` is a run of data, and becomes the last one that is found. That somebody has punched a hole in it since is
    /// no matter: data may be reported where there are zeroes.
    fn extents(&self, range: Range<u64>, known: &mut Range<u64>) -> Result<Vec<Extent>> {
        check_span(&range, self.size)?;
        let mut extents = Extents::new();
        let mut start = range.start;
        while start < range.end {
            if known.contains(&start) {
                let end = known.end.min(range.end);
                extents.push(self.data(start..end));
                start = end;
                continue;
            }
            let data = self.next_data(start)?.map_or(range.end, |data| data.start.clamp(start, range.end));
            extents.push(Extent::zero(start..data));
            if data == range.end {
                break;
            }
            let hole = self.next_hole(data)?;
            *known = data..hole;
            let hole = hole.clamp(data, range.end);
            if hole == data {
                // Someone punches holes meanwhile: call the rest data, which is never wrong.
                extents.push(self.data(data..range.end));
                break;
            }
            extents.push(self.data(data..hole));
            start = hole;
        }
        Ok(extents.into_vec())
    }

    fn data(&self, range: Range<u64>) -> Extent {
        let location = FileLocation { file: Arc::clone(&self.file), offset: range.start };
        Extent { range, kind: ExtentKind::Data(Some(location)) }
    }

    /// Where data begins at or behind `start`, or `None` when there is a hole up to the end.
    fn next_data(&self, start: u64) -> Result<Option<Range<u64>>> {
        match seek(&self.file, SeekFrom::Data(start)) {
            Ok(data) => Ok(Some(data..self.size)),
            // Either a hole up to the end, or the file was truncated since: that is not to pass as zeroes.
            Err(Errno::NXIO) => match self.file.metadata() {
                Ok(metadata) if metadata.len() < self.size && metadata.is_file() => {
                    Ok(Some(start..self.size))
                }
                _ => Ok(None),
            },
            // The host cannot tell holes from data here.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(start..self.size)),
            Err(errno) => Err(self.error("find data in", start, errno)),
        }
    }

    fn next_hole(&self, start: u64) -> Result<u64> {
        match seek(&self.file, SeekFrom::Hole(start)) {
            Ok(hole) => Ok(hole),
            Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP) => Ok(self.size),
            Err(errno) => Err(self.error("find a hole in", start, errno)),
        }
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        check_range(offset, data.len() as u64, self.size)?;
        self.file.write_all_at(data, offset).map_err(|source| self.error("write", offset, source))
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        check_span(&range, self.size)?;
        if range.is_empty() {
            return Ok(());
        }
        let length = range.end - range.start;
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, punch, range.start, length) {
            Ok(()) => Ok(()),
            // Not on this filesystem, or, on a block device, not at this alignment.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.write_zeroes(range),
            Err(errno) => Err(self.error("punch a hole in", range.start, errno)),
        }
    }

    fn write_zeroes(&self, range: Range<u64>) -> Result<()> {
        let zeroes = vec![0; ZEROES.min((range.end - range.start) as usize)];
        let mut start = range.start;
        while start < range.end {
            let length = (range.end - start).min(zeroes.len() as u64);
            self.write_at(&zeroes[..length as usize], start)?;
            start += length;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.file.sync_data().map_err(|source| Error::io("flush", &self.path, None, source))
    }
}

impl BlockRead for FileDisk {
    fn size(&self) -> u64 {
        self.host.size
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.host.read_at(buf, offset)
    }
    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        let last = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = last().clone();
        let extents = self.host.extents(range, &mut known)?;
        *last() = known;
        Ok(extents)
    }
}

impl BlockRead for WritableFileDisk {
    fn size(&self) -> u64 {
        self.host.size
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.host.read_at(buf, offset)
    }
    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        // What is written changes what is known.
        self.host.extents(range, &mut (0..0))
    }
}

impl BlockWrite for WritableFileDisk {
    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        self.host.write_at(data, offset)
    }
    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.host.zero(range)
    }
    fn discard(&self, range: Range<u64>) -> Result<()> {
        self.host.zero(range)
    }
    fn flush(&self) -> Result<()> {
        self.host.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;
    use std::cell::Cell;

    #[test]
    fn conforms() {
        let directory = tempfile::tempdir().unwrap();
        let bytes = conformance::sample(300_001, 21);
        let path = directory.path().join("disk.raw");
        let written = WritableFileDisk::create(&path, bytes.len() as u64).unwrap();
        for extent in MemoryOfSample(&bytes).data() {
            written.write_at(&bytes[extent.start as usize..extent.end as usize], extent.start).unwrap();
        }
        conformance::read(&FileDisk::open(&path).unwrap(), &bytes);

        let count = Cell::new(0);
        let make = |size| {
            count.set(count.get() + 1);
            WritableFileDisk::create(directory.path().join(count.get().to_string()), size).unwrap()
        };
        conformance::write(make);
        conformance::parallel(make);
    }

    /// Which pages of a sample hold data, so that the others stay holes.
    struct MemoryOfSample<'a>(&'a [u8]);

    impl MemoryOfSample<'_> {
        fn data(&self) -> Vec<Range<u64>> {
            let pages = (0..self.0.len() as u64).step_by(4096);
            pages
                .map(|start| start..(start + 4096).min(self.0.len() as u64))
                .filter(|page| !crate::is_zero(&self.0[page.start as usize..page.end as usize]))
                .collect()
        }
    }

    #[test]
    fn holes_are_zero_extents_and_data_has_its_location() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.raw");
        let disk = WritableFileDisk::create(&path, 16 << 20).unwrap();
        disk.write_at(&[7; 65536], 8 << 20).unwrap();
        let extents = FileDisk::open(&path).unwrap().extents(0..16 << 20).unwrap();
        let data: Vec<_> = extents.iter().filter(|extent| extent.is_data()).collect();
        assert_eq!(data.len(), 1);
        assert_eq!(data[0].range, 8 << 20..(8 << 20) + 65536);
        assert!(matches!(&data[0].kind, ExtentKind::Data(Some(location)) if location.offset == 8 << 20));
        disk.discard(0..16 << 20).unwrap();
        assert!(!disk.extents(0..16 << 20).unwrap().iter().any(Extent::is_data));
    }

    #[test]
    fn writing_zeroes_is_the_same_as_a_hole() {
        let directory = tempfile::tempdir().unwrap();
        let disk = WritableFileDisk::create(directory.path().join("disk.raw"), 3 << 20).unwrap();
        disk.write_at(&vec![1; 3 << 20], 0).unwrap();
        disk.host.write_zeroes(1..(2 << 20) + 5).unwrap();
        let mut bytes = vec![9; 3 << 20];
        disk.read_at(&mut bytes, 0).unwrap();
        assert!(bytes[0] == 1 && crate::is_zero(&bytes[1..(2 << 20) + 5]) && bytes[(2 << 20) + 5] == 1);
    }

    #[test]
    fn what_is_not_a_disk_is_refused_without_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let refused = |path: &Path| match FileDisk::open(path) {
            Err(Error::NotADisk { kind, .. }) => kind,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(directory.path()), "directory");
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        assert_eq!(refused(&pipe), "named pipe");
        assert_eq!(refused(Path::new("/dev/null")), "character device");
        assert!(matches!(FileDisk::open(directory.path().join("absent")), Err(Error::Io { .. })));
    }

    #[test]
    fn create_never_overwrites_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.raw");
        assert!(WritableFileDisk::create(&path, u64::MAX).is_err());
        assert!(!path.exists());
        WritableFileDisk::create(&path, 10).unwrap();
        assert!(WritableFileDisk::create(&path, 10).is_err());
    }

    #[test]
    fn a_file_truncated_behind_our_back_is_an_error_not_zeroes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.raw");
        WritableFileDisk::create(&path, 1 << 20).unwrap();
        let disk = FileDisk::open(&path).unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(4096).unwrap();
        assert!(disk.extents(8192..16384).unwrap().iter().all(Extent::is_data));
        let error = disk.read_at(&mut [0; 512], 8192).unwrap_err();
        assert!(error.to_string().ends_with("at byte 8192"), "{error}");
    }
}

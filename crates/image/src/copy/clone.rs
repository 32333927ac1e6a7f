//! Sharing extents with the source's files instead of copying them: [`Cloner`].
//!
//! Filesystems such as XFS and Btrfs let two files have the same blocks until one of them is written
//! (`ioctl_ficlonerange(2)`). `copy_file_range(2)` does so by itself where it can; where it cannot it copies, which we
//! do better. So it is only asked when the target's filesystem was seen to clone, and the source lies on the same one.

use super::partial::PartialImage;
use super::turn::lock;
use block::FileLocation;
use rustix::fs::{Mode, OFlags, copy_file_range, fstat, fstatfs, fstatvfs, ioctl_ficlone, openat};
use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// Btrfs, whose subvolumes have device numbers of their own: `BTRFS_SUPER_MAGIC` of `linux/magic.h`.
const BTRFS: u64 = 0x9123_683e;
/// Filesystems' blocks are rarely larger than a page.
const BLOCK: u64 = 4096;

/// Clones extents into a new image.
pub(super) struct Cloner<'a> {
    target: &'a PartialImage,
    /// Whether it was given up.
    refused: AtomicBool,
    /// What the target's filesystem can do; `None` when it cannot clone.
    filesystem: OnceLock<Option<Filesystem>>,
    /// The file that was asked about last, and the answer.
    last: Mutex<Option<(Arc<File>, bool)>>,
}

/// A filesystem that clones.
#[derive(Clone, Copy, Debug)]
struct Filesystem {
    device: u64,
    btrfs: bool,
    /// What offsets and lengths must be multiples of.
    block: u64,
}

impl<'a> Cloner<'a> {
    pub(super) fn new(target: &'a PartialImage) -> Self {
        let (refused, filesystem, last) = (AtomicBool::new(false), OnceLock::new(), Mutex::new(None));
        Self { target, refused, filesystem, last }
    }

    /// One that takes every file, and lets the kernel copy where it cannot clone.
    #[cfg(test)]
    pub(super) fn willing(target: &'a PartialImage) -> Self {
        let cloner = Self::new(target);
        let device = target.file(0).and_then(|file| Ok(fstat(file)?.st_dev)).unwrap_or(0);
        let _ = cloner.filesystem.set(Some(Filesystem { device, btrfs: false, block: BLOCK }));
        cloner
    }

    /// Whether data at `location` can probably be cloned.
    pub(super) fn accepts(&self, location: &FileLocation) -> bool {
        if self.refused.load(Ordering::Relaxed) {
            return false;
        }
        let Some(target) = self.filesystem.get_or_init(|| self.probe().ok().flatten()) else {
            self.refused.store(true, Ordering::Relaxed);
            return false;
        };
        location.offset.is_multiple_of(target.block) && self.is_on(target, &location.file)
    }

    fn is_on(&self, target: &Filesystem, file: &Arc<File>) -> bool {
        let mut last = lock(&self.last);
        if let Some((known, answer)) = last.as_ref()
            && Arc::ptr_eq(known, file)
        {
            return *answer;
        }
        let answer =
            fstat(file).is_ok_and(|status| status.st_dev == target.device) || target.btrfs && is_btrfs(file);
        *last = Some((Arc::clone(file), answer));
        answer
    }

    /// Clones a block from one file without a name to another, in the target's directory.
    fn probe(&self) -> io::Result<Option<Filesystem>> {
        let directory = self.target.directory()?;
        let nameless = || -> io::Result<File> {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            Ok(openat(directory, ".", flags, Mode::RUSR | Mode::WUSR)?.into())
        };
        let (mut from, to) = (nameless()?, nameless()?);
        from.write_all(&[1; BLOCK as usize])?;
        if ioctl_ficlone(&to, &from).is_err() {
            return Ok(None);
        }
        let block = fstatvfs(&to)?.f_frsize.max(BLOCK);
        Ok(Some(Filesystem { device: fstat(&to)?.st_dev, btrfs: is_btrfs(&to), block }))
    }

    /// Lets the bytes `to` of the target's file `file` be those that lie at `from`. Answers `false` when they cannot be
    /// cloned; some may have been then.
    pub(super) fn clone(&self, from: &FileLocation, file: usize, to: Range<u64>) -> io::Result<bool> {
        let block = self.filesystem.get().copied().flatten().map_or(BLOCK, |filesystem| filesystem.block);
        let aligned = [from.offset, to.start, to.end].into_iter().all(|offset| offset.is_multiple_of(block));
        if !aligned || self.refused.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let target = self.target.file(file)?;
        let (mut read, mut write) = (from.offset, to.start);
        while write < to.end {
            let left = usize::try_from(to.end - write).unwrap_or(usize::MAX);
            match copy_file_range(&from.file, Some(&mut read), target, Some(&mut write), left) {
                // The source was cut short; reading it will say so.
                Ok(0) => return Ok(false),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno @ (rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT)) => {
                    return Err(errno.into());
                }
                Err(_) => {
                    self.refused.store(true, Ordering::Relaxed);
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

fn is_btrfs(file: &File) -> bool {
    fstatfs(file).is_ok_and(|statistics| statistics.f_type as u64 == BTRFS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    fn location(file: &Arc<File>, offset: u64) -> FileLocation {
        FileLocation { file: Arc::clone(file), offset }
    }

    #[test]
    fn aligned_ranges_arrive_and_others_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("copy");
        let partial = PartialImage::create(&target, &["copy".to_owned()], false).unwrap();
        let cloner = Cloner::new(&partial);
        let source = tempfile::tempfile_in(directory.path()).unwrap();
        let bytes = block::conformance::sample(1 << 20, 4);
        source.write_all_at(&bytes, 0).unwrap();
        let source = Arc::new(source);
        // Where the filesystem does not clone, the kernel copies: the answer is the same.
        assert!(cloner.clone(&location(&source, 8192), 0, 65_536..131_072).unwrap());
        assert!(!cloner.clone(&location(&source, 512), 0, 65_536..131_072).unwrap());
        assert!(!cloner.clone(&location(&source, 4096), 0, 65_536..70_000).unwrap());
        assert!(!cloner.clone(&location(&source, 1 << 20), 0, 0..4096).unwrap());
        let mut found = vec![0; 65_536];
        partial.file(0).unwrap().read_exact_at(&mut found, 65_536).unwrap();
        assert!(found == bytes[8192..73_728]);
    }

    #[test]
    fn a_file_elsewhere_is_not_accepted() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("copy");
        let partial = PartialImage::create(&target, &["copy".to_owned()], false).unwrap();
        let elsewhere = Arc::new(File::open("/proc/self/exe").unwrap());
        let other = Arc::new(File::open("/proc/self/maps").unwrap());
        let cloner = Cloner::new(&partial);
        assert!(!cloner.accepts(&location(&other, 0)));
        assert!(!cloner.accepts(&location(&elsewhere, 77)));
    }
}

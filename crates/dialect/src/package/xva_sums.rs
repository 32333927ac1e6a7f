//! The checksums of an XVA's blocks, compared with the blocks: [`BlockSums`].

use super::xva::XvaError;
use super::{Digests, Error, Result, VerifiedDigest};
use block::BlockRead;
use image::Gate;
use image::copy::Progress;
use sha1::{Digest as _, Sha1};
use std::hash::Hasher as _;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use twox_hash::XxHash64;

/// How much is read at once, in bytes.
const PIECE: usize = 1 << 20;
/// The longest checksum in an archive, in hexadecimal digits: SHA-1's.
const MAX_DIGITS: u64 = 64;

/// How a block's checksum is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// XenServer's and every release's of before 2021: SHA-1, in lower case.
    Sha1,
    /// Newer releases': XXH64 with the seed 0, in upper case.
    Xxh64,
}

/// The endings of the members that hold checksums.
pub(super) const KINDS: [(&str, Kind); 2] = [(".checksum", Kind::Sha1), (".xxhash", Kind::Xxh64)];

/// A block and its checksum: where both are in the archive.
struct BlockSum {
    name: String,
    kind: Kind,
    block: Range<u64>,
    sum: Range<u64>,
}

/// The checksums of an archive.
pub(super) struct BlockSums {
    path: PathBuf,
    archive: Arc<dyn BlockRead>,
    blocks: Vec<BlockSum>,
}

impl BlockSums {
    pub(super) fn new(path: PathBuf, archive: Arc<dyn BlockRead>) -> Self {
        Self { path, archive, blocks: Vec::new() }
    }

    pub(super) fn add(&mut self, name: String, kind: Kind, block: Range<u64>, sum: Range<u64>) {
        self.blocks.push(BlockSum { name, kind, block, sum });
    }

    /// How many blocks have one.
    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    fn check(&self, one: &BlockSum, piece: &mut [u8], progress: &dyn Progress) -> Result<()> {
        let read = |source| Error::Read { file: one.name.clone(), source };
        let mut expected =
            vec![0; usize::try_from((one.sum.end - one.sum.start).min(MAX_DIGITS)).unwrap_or(0)];
        self.archive.read_at(&mut expected, one.sum.start).map_err(read)?;
        let expected = String::from_utf8_lossy(&expected).trim().to_ascii_lowercase();
        let mut sum = Sum::new(one.kind);
        let mut at = one.block.start;
        while at < one.block.end {
            let length = usize::try_from(one.block.end - at).unwrap_or(PIECE).min(PIECE);
            let Some(piece) = piece.get_mut(..length) else { break };
            self.archive.read_at(piece, at).map_err(read)?;
            sum.update(piece);
            at += length as u64;
            progress.advance(length as u64);
        }
        let actual = sum.digits();
        if actual == expected {
            return Ok(());
        }
        let expected = crate::text::excerpt(&expected, 40);
        let source = XvaError::Checksum { name: one.name.clone(), expected, actual };
        Err(Error::Xva { path: self.path.clone(), source })
    }
}

impl Digests for BlockSums {
    /// Checks every block, several at once; names the first that is wrong.
    fn verify(&self, _stored: &dyn Gate, progress: &dyn Progress) -> Result<Vec<VerifiedDigest>> {
        progress.start(self.blocks.iter().map(|one| one.block.end - one.block.start).sum());
        let next = AtomicUsize::new(0);
        let work = || {
            let mut piece = vec![0; PIECE];
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(one) = self.blocks.get(number) else { return Ok(()) };
                if let Err(error) = self.check(one, &mut piece, progress) {
                    next.store(self.blocks.len(), Ordering::Relaxed);
                    return Err((number, error));
                }
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let mut wrong: Vec<(usize, Error)> = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let join = |worker: thread::ScopedJoinHandle<_>| {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            workers.into_iter().filter_map(|worker| join(worker).err()).collect()
        });
        wrong.sort_by_key(|(number, _)| *number);
        wrong.into_iter().next().map_or(Ok(Vec::new()), |(_, error)| Err(error))
    }
}

/// A checksum in the making.
enum Sum {
    Sha1(Box<Sha1>),
    Xxh64(XxHash64),
}

impl Sum {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Sha1 => Self::Sha1(Box::default()),
            Kind::Xxh64 => Self::Xxh64(XxHash64::with_seed(0)),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hash) => hash.update(bytes),
            Self::Xxh64(hash) => hash.write(bytes),
        }
    }

    fn digits(self) -> String {
        match self {
            Self::Sha1(hash) => hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
            Self::Xxh64(hash) => format!("{:016x}", hash.finish()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_the_published_ones() {
        for (kind, text, expected) in [
            (Kind::Xxh64, "", "ef46db3751d8e999"),
            (Kind::Xxh64, "abc", "44bc2cf5ad770999"),
            (Kind::Sha1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ] {
            let mut sum = Sum::new(kind);
            sum.update(text.as_bytes());
            assert_eq!(sum.digits(), expected);
        }
    }
}

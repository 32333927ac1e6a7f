//! The manifest of an OVF package: the digest of every file (DSP0243 2.1.1, clause 5.1).

use super::chunks::{chunk_name, chunked};
use super::{Digests, Error, Result};
use crate::text::excerpt;
use block::BlockRead;
use image::Gate;
use image::copy::Progress;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The largest manifest that is read, in bytes.
const MAX_SIZE: u64 = 8 << 20;
/// How much of a file is read at once, in bytes.
const PIECE: usize = 1 << 20;

/// A digest that was computed and is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedDigest {
    /// The file.
    pub file: String,
    /// The kind of digest.
    pub algorithm: Algorithm,
    /// The digest, in hexadecimal digits.
    pub digest: String,
    /// How many bytes it is of.
    pub bytes: u64,
}

/// The kind of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// SHA-1.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "SHA-1",
            Self::Sha224 => "SHA-224",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        })
    }
}

impl Algorithm {
    fn named(name: &str) -> Option<Self> {
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        Some(match name.to_ascii_uppercase().as_str() {
            "SHA1" => Self::Sha1,
            "SHA224" => Self::Sha224,
            "SHA256" => Self::Sha256,
            "SHA384" => Self::Sha384,
            "SHA512" => Self::Sha512,
            _ => return None,
        })
    }

    /// The length of the digest in bytes.
    fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn digest(self, disk: &dyn BlockRead, progress: &dyn Progress) -> block::Result<String> {
        match self {
            Self::Sha1 => digest::<Sha1>(disk, progress),
            Self::Sha224 => digest::<Sha224>(disk, progress),
            Self::Sha256 => digest::<Sha256>(disk, progress),
            Self::Sha384 => digest::<Sha384>(disk, progress),
            Self::Sha512 => digest::<Sha512>(disk, progress),
        }
    }
}

fn digest<D: Digest>(disk: &dyn BlockRead, progress: &dyn Progress) -> block::Result<String> {
    let mut hash = D::new();
    let mut piece = vec![0; PIECE];
    let mut offset = 0;
    while offset < disk.size() {
        let length = usize::try_from(disk.size() - offset).unwrap_or(PIECE).min(PIECE);
        let Some(piece) = piece.get_mut(..length) else { break };
        disk.read_at(piece, offset)?;
        hash.update(&*piece);
        offset += length as u64;
        progress.advance(length as u64);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The digests that a manifest lists.
pub(super) struct Manifest {
    name: String,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    file: String,
    algorithm: Algorithm,
    digest: String,
}

impl Manifest {
    pub(super) fn read(name: &str, disk: &dyn BlockRead) -> Result<Self> {
        let size = disk.size();
        if size > MAX_SIZE {
            return Err(Error::TooLarge { path: name.into(), size });
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        disk.read_at(&mut bytes, 0).map_err(|source| Error::Read { file: name.to_owned(), source })?;
        Self::parse(name, &String::from_utf8_lossy(&bytes))
    }

    fn parse(name: &str, text: &str) -> Result<Self> {
        let mut seen = BTreeSet::new();
        let mut entries = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_matches(['\u{feff}', ' ', '\t', '\r', '\0']);
            if line.is_empty() {
                continue;
            }
            let entry = parse_line(name, line, index + 1)?;
            if seen.insert(entry.clone()) {
                entries.push(entry);
            }
        }
        Ok(Self { name: name.to_owned(), entries })
    }

    /// Those of these files that have no digest, nor their first chunks.
    pub(super) fn lacking<'a>(&self, files: &[&'a str]) -> Vec<&'a str> {
        let listed: BTreeSet<&str> = self.names().collect();
        let lists = |file: &str| listed.contains(file) || listed.contains(chunk_name(file, 0).as_str());
        files.iter().copied().filter(|file| !lists(file)).collect()
    }

    /// Forgets the digests of all but these files and their chunks.
    pub(super) fn keep(&mut self, files: &[&str]) {
        let files: BTreeSet<&str> = files.iter().copied().collect();
        let is_of_one =
            |name: &str| files.contains(name) || chunked(name).is_some_and(|file| files.contains(file));
        self.entries.retain(|entry| is_of_one(&entry.file));
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.file.as_str())
    }

    fn verify_one(
        &self,
        entry: &Entry,
        disk: &dyn BlockRead,
        progress: &dyn Progress,
    ) -> Result<VerifiedDigest> {
        let file = entry.file.clone();
        let actual = entry
            .algorithm
            .digest(disk, progress)
            .map_err(|source| Error::Read { file: file.clone(), source })?;
        if actual != entry.digest {
            let (manifest, expected) = (self.name.clone(), entry.digest.clone());
            return Err(Error::Digest { file, manifest, algorithm: entry.algorithm, expected, actual });
        }
        Ok(VerifiedDigest { file, algorithm: entry.algorithm, digest: actual, bytes: disk.size() })
    }
}

impl Digests for Manifest {
    /// Checks every digest whose file is there, as many files at once as there are processors.
    fn verify(&self, gate: &dyn Gate, progress: &dyn Progress) -> Result<Vec<VerifiedDigest>> {
        let work: Vec<_> =
            self.entries.iter().filter_map(|entry| Some((entry, gate.open(&entry.file).ok()?))).collect();
        progress.start(work.iter().map(|(_, disk)| disk.size()).fold(0, u64::saturating_add));
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::new());
        let threads = thread::available_parallelism().map_or(1, usize::from).min(work.len());
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some((entry, disk)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let result = self.verify_one(entry, disk.as_ref(), progress);
                        // The others' work is not wanted any more.
                        if result.is_err() {
                            next.store(work.len(), Ordering::Relaxed);
                        }
                        done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((*entry, result));
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let place = |entry: &Entry| self.entries.iter().position(|other| other == entry);
        done.sort_by_key(|(entry, _)| place(entry));
        done.into_iter().map(|(_, result)| result).collect()
    }
}

/// Reads `SHA256(name)= digest`, with spaces wherever somebody put some. A name may hold parentheses.
fn parse_line(manifest: &str, line: &str, number: usize) -> Result<Entry> {
    let malformed = || Error::Manifest { manifest: manifest.to_owned(), line: number };
    let (head, digest) = line.rsplit_once('=').ok_or_else(malformed)?;
    let (algorithm, name) = head.split_once('(').ok_or_else(malformed)?;
    let file = name.trim_end().strip_suffix(')').ok_or_else(malformed)?.trim().to_owned();
    let algorithm = Algorithm::named(algorithm.trim()).ok_or_else(|| Error::Algorithm {
        manifest: manifest.to_owned(),
        line: number,
        algorithm: excerpt(algorithm.trim(), 20),
    })?;
    let digest = digest.trim().to_ascii_lowercase();
    if file.is_empty()
        || digest.len() != 2 * algorithm.length()
        || !digest.bytes().all(|b| b.is_ascii_hexdigit())
    {
        return Err(malformed());
    }
    Ok(Entry { file, algorithm, digest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_products_write_them() {
        let sha1 = "d298200d9044c54b0fde13efaa90e564badc5961";
        for line in [
            format!("SHA1(a (1).ovf)= {sha1}"),
            format!("SHA1 (a (1).ovf) = {}", sha1.to_uppercase()),
            format!("SHA-1(a (1).ovf)={sha1}"),
        ] {
            let entry = parse_line("m", &line, 1).unwrap();
            assert_eq!((entry.file.as_str(), entry.digest.as_str()), ("a (1).ovf", sha1));
        }
        for bad in
            ["", "SHA1(a)", "SHA1(a)= 12", "SHA1()= d298", "a= b", "MD5(a)= d41d8cd98f00b204e9800998ecf8427e"]
        {
            assert!(parse_line("m", bad, 1).is_err(), "{bad}");
        }
    }
}

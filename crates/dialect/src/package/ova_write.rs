//! Writing an OVF package as one tar archive (DSP0243 1.1.1, clauses 5.1 to 5.3): [`write_ova`].
//!
//! The members come in one of the two orders of clause 5.3: the descriptor, the manifest, then the files in the order of
//! the descriptor's references. VMware's own tool writes this order, and a reader that gets the archive as a stream can
//! check each file as it comes. Digests are known only after the files; but not the manifest's length, so that room is
//! left for it and filled in at the end. Every file is read once.
//!
//! Headers are POSIX ustar. A size of 8 GiB and more is written in GNU's base 256, as VMware does, and a name of more than
//! 100 bytes in a pax record.

use image::copy::Progress;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The size of a block of a tar archive, in bytes.
const BLOCK: usize = 512;
/// How much of a file is read at once, in bytes.
const PIECE: usize = 1 << 20;
/// The largest size that eleven octal digits say.
const MAX_OCTAL: u64 = (1 << 33) - 1;
/// The number of hexadecimal digits of a SHA-256 digest.
const DIGITS: usize = 64;

/// A file of the package: a finished disk, or the medium of a drive.
#[derive(Clone, Copy, Debug)]
pub struct OvaFile<'a> {
    /// Its name in the package, as the descriptor references it.
    pub name: &'a str,
    /// Where it is.
    pub path: &'a Path,
}

/// A package to write.
#[derive(Clone, Copy, Debug)]
pub struct Ova<'a> {
    /// The descriptor's name; the manifest is called like it.
    pub descriptor_name: &'a str,
    /// The descriptor.
    pub descriptor: &'a str,
    /// The files, in the order of the descriptor's references.
    pub files: &'a [OvaFile<'a>],
    /// When the members were last changed, in seconds since 1970. The same package of the same files at the same time has
    /// the same bytes.
    pub modified: u64,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenOva {
    /// The length of the archive in bytes.
    pub size: u64,
    /// The manifest: the SHA-256 digest of every other member.
    pub manifest: String,
}

/// Why a package could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OvaError {
    /// A name that no package can have.
    #[error("{name:?} is no name for a file of a package: {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file changed while it was read.
    #[error("{} was {expected} bytes long and has changed since", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Its size in bytes when it was opened.
        expected: u64,
    },
    /// The archive cannot be written.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
}

type Result<T> = std::result::Result<T, OvaError>;

/// Writes the package to `out`, which is empty and stands at its beginning, and tells `progress` of the bytes of files.
///
/// # Errors
/// When two members have one name, a name is none, a file cannot be read or changes meanwhile, or `out` cannot be written.
pub fn write_ova<W: Write + Seek>(out: W, ova: &Ova<'_>, progress: &dyn Progress) -> Result<WrittenOva> {
    let manifest_name = manifest_name(ova.descriptor_name);
    let names = ova.files.iter().map(|file| file.name);
    check_names([ova.descriptor_name, &manifest_name].into_iter().chain(names.clone()))?;
    let mut opened = Vec::new();
    for file in ova.files {
        opened.push(Opened::new(file)?);
    }
    progress.start(opened.iter().map(|file| file.size).fold(0, u64::saturating_add));
    let mut archive = Archive { out, size: 0, modified: ova.modified };
    let descriptor = ova.descriptor.as_bytes();
    archive.header(ova.descriptor_name, length(descriptor))?;
    archive.bytes(descriptor)?;
    archive.pad(length(descriptor))?;

    let room: usize =
        [ova.descriptor_name].into_iter().chain(names).map(|name| line(name, "").len() + DIGITS).sum();
    let room = vec![b'\n'; room];
    archive.header(&manifest_name, length(&room))?;
    let manifest_at = archive.size;
    archive.bytes(&room)?;
    archive.pad(length(&room))?;

    let mut manifest = line(ova.descriptor_name, &hexadecimal(Sha256::digest(descriptor).as_slice()));
    for file in opened {
        manifest.push_str(&line(file.name, &archive.file(file, progress)?));
    }
    archive.bytes(&[0; 2 * BLOCK])?;
    archive.overwrite(manifest_at, manifest.as_bytes())?;
    Ok(WrittenOva { size: archive.size, manifest })
}

/// The manifest of a descriptor: `web.mf` of `web.ovf`.
fn manifest_name(descriptor: &str) -> String {
    format!("{}.mf", descriptor.strip_suffix(".ovf").unwrap_or(descriptor))
}

/// A line of a manifest.
fn line(name: &str, digest: &str) -> String {
    format!("SHA256({name})= {digest}\n")
}

fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        let why = match name {
            "" | "." | ".." => "it is none",
            name if name.contains('/') => "a package has no directories",
            name if name.chars().any(char::is_control) => "the manifest has a line for each",
            name if name.len() > 255 => "it has more than 255 bytes",
            name if !seen.insert(name) => "another member has it",
            _ => continue,
        };
        return Err(OvaError::Name { name: crate::text::excerpt(name, 80), why });
    }
    Ok(())
}

/// A file that is open, with the size that its header will say.
struct Opened<'a> {
    name: &'a str,
    path: &'a Path,
    file: File,
    size: u64,
}

impl<'a> Opened<'a> {
    fn new(file: &OvaFile<'a>) -> Result<Self> {
        let failed = |source| OvaError::Read { path: file.path.to_path_buf(), source };
        let opened = File::open(file.path).map_err(failed)?;
        let size = opened.metadata().map_err(failed)?.len();
        Ok(Self { name: file.name, path: file.path, file: opened, size })
    }
}

/// An archive that grows.
struct Archive<W> {
    out: W,
    size: u64,
    modified: u64,
}

impl<W: Write + Seek> Archive<W> {
    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(OvaError::Write)?;
        self.size += length(bytes);
        Ok(())
    }

    /// Fills the last block of a member.
    fn pad(&mut self, size: u64) -> Result<()> {
        let block = length(&[0; BLOCK]);
        let missing = usize::try_from((block - size % block) % block).unwrap_or(0);
        self.bytes(&vec![0; missing])
    }

    fn header(&mut self, name: &str, size: u64) -> Result<()> {
        if name.len() > 100 {
            let record = pax_record("path", name);
            self.bytes(&header("pax", b'x', length(record.as_bytes()), self.modified))?;
            self.bytes(record.as_bytes())?;
            self.pad(length(record.as_bytes()))?;
        }
        self.bytes(&header(name, b'0', size, self.modified))
    }

    /// Writes a file; gives back its digest.
    fn file(&mut self, mut file: Opened<'_>, progress: &dyn Progress) -> Result<String> {
        let changed = || OvaError::Changed { path: file.path.to_path_buf(), expected: file.size };
        self.header(file.name, file.size)?;
        let mut hash = Sha256::new();
        let mut piece = vec![0; PIECE];
        let mut left = file.size;
        loop {
            let read = match file.file.read(&mut piece) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(OvaError::Read { path: file.path.to_path_buf(), source }),
            };
            let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else { break };
            left = left.checked_sub(length(piece)).ok_or_else(changed)?;
            hash.update(piece);
            self.bytes(piece)?;
            progress.advance(length(piece));
        }
        if left > 0 {
            return Err(changed());
        }
        self.pad(file.size)?;
        Ok(hexadecimal(hash.finalize().as_slice()))
    }

    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let out = &mut self.out;
        out.seek(SeekFrom::Start(offset)).map_err(OvaError::Write)?;
        out.write_all(bytes).map_err(OvaError::Write)?;
        out.seek(SeekFrom::Start(self.size)).map_err(OvaError::Write)?;
        out.flush().map_err(OvaError::Write)
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A header block (POSIX 1003.1-2017, pax, "ustar Interchange Format"). Of a name that is too long, the beginning stands
/// there: a pax record before it has the whole.
pub(super) fn header(name: &str, kind: u8, size: u64, modified: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |offset: usize, bytes: &[u8]| {
        for (to, from) in block.iter_mut().skip(offset).zip(bytes) {
            *to = *from;
        }
    };
    put(0, name.as_bytes().get(..100).unwrap_or(name.as_bytes()));
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, &size_field(size));
    put(136, format!("{:011o}\0", modified.min(MAX_OCTAL)).as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    for (to, from) in block.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").as_bytes()) {
        *to = *from;
    }
    block
}

/// A size in octal digits, or big-endian with the highest bit set.
fn size_field(size: u64) -> [u8; 12] {
    let mut field = [0; 12];
    if size <= MAX_OCTAL {
        for (to, from) in field.iter_mut().zip(format!("{size:011o}").as_bytes()) {
            *to = *from;
        }
        return field;
    }
    let [first, _, _, _, number @ ..] = &mut field;
    *first = 0x80;
    *number = size.to_be_bytes();
    field
}

/// A record of a pax header: its own length, a key and a value.
fn pax_record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut digits = 1;
    loop {
        let record = format!("{}{rest}", rest.len() + digits);
        match record.len() - rest.len() {
            length if length == digits => return record,
            length => digits = length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_any_size() {
        for size in [0, 511, MAX_OCTAL, MAX_OCTAL + 1, 1 << 45, u64::MAX >> 1] {
            let block = header("a.vmdk", b'0', size, 1_700_000_000);
            let read = tar::Header::from_byte_slice(&block);
            assert_eq!(read.size().unwrap(), size);
            assert_eq!((read.mtime().unwrap(), read.mode().unwrap()), (1_700_000_000, 0o644));
            let sum: u32 = block
                .iter()
                .enumerate()
                .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
                .sum();
            assert_eq!(read.cksum().unwrap(), sum);
        }
    }

    #[test]
    fn records_count_themselves() {
        for length in [1, 5, 88, 89, 90, 91, 240, 989, 990, 991] {
            let record = pax_record("path", &"x".repeat(length));
            assert_eq!(record.split(' ').next().unwrap().parse(), Ok(record.len()));
        }
    }

    #[test]
    fn names_are_plain_and_different() {
        let check = |names: &[&str]| check_names(names.iter().copied()).is_ok();
        assert!(check(&["a.ovf", "a.mf", "ü (1).vmdk"]));
        for bad in [&["a", "a"][..], &[""], &[".."], &["a/b"], &["a\nb"], &[&"x".repeat(256)]] {
            assert!(!check(bad), "{bad:?}");
        }
    }
}

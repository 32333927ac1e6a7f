//! Reading secrets from files, which no message repeats.

use anyhow::{Context as _, Result, bail};
use guest::volume::Secret;
use image::Passphrase;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The largest key file that is read, in bytes: as large as cryptsetup takes.
const MAX_KEY: u64 = 8 << 20;
/// The largest file with a passphrase that is read, in bytes.
const MAX_PASSPHRASE: u64 = 64 << 10;

/// The first line of a file, for a guest's encrypted volumes.
///
/// # Errors
/// When the file cannot be read, or is too large.
pub(crate) fn passphrase(path: &Path) -> Result<Secret> {
    first_line(path).map(Secret::passphrase)
}

/// The first line of a file, for an encrypted image, whose passphrase is text.
///
/// # Errors
/// When the file cannot be read, is too large, or its first line is not UTF-8.
pub(crate) fn image_passphrase(path: &Path) -> Result<Passphrase> {
    // The error has the bytes, which no message may repeat.
    match String::from_utf8(first_line(path)?) {
        Ok(line) => Ok(Passphrase::new(line)),
        Err(_) => bail!("the passphrase in {} is not UTF-8", path.display()),
    }
}

/// All of a file.
///
/// # Errors
/// When the file cannot be read, or is too large.
pub(crate) fn key(path: &Path) -> Result<Secret> {
    bytes(path, "the key", MAX_KEY).map(Secret::key)
}

fn first_line(path: &Path) -> Result<Vec<u8>> {
    let bytes = bytes(path, "the passphrase", MAX_PASSPHRASE)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

fn bytes(path: &Path, what: &str, most: u64) -> Result<Vec<u8>> {
    let context = || format!("cannot read {what} in {}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(context)?;
    file.take(most + 1).read_to_end(&mut bytes).with_context(context)?;
    if bytes.len() as u64 > most {
        bail!("{} has more than {most} bytes, and cannot be {what}", path.display());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_the_first_line_and_a_key_is_everything() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, b"open \xff\r\nmore\n").unwrap();
        assert_eq!(passphrase(&file).unwrap().typed(), Some(b"open \xff".as_slice()));
        assert_eq!(key(&file).unwrap().typed(), None);
        let refused = image_passphrase(&file).unwrap_err().to_string();
        assert!(refused.ends_with("is not UTF-8"), "{refused}");
        std::fs::write(&file, vec![b'x'; 1 << 17]).unwrap();
        let refused = passphrase(&file).unwrap_err().to_string();
        assert!(refused.contains("more than 65536 bytes") && !refused.contains("xxx"), "{refused}");
        assert!(key(&file).is_ok());
    }
}

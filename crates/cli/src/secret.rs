//! Reading secrets from files, which no message repeats.

use anyhow::{Context as _, Result, bail};
use guest::volume::Secret;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The largest key file that is read, in bytes: as large as cryptsetup takes.
const MAX_KEY: u64 = 8 << 20;

/// The first line of a file.
pub(crate) fn passphrase(path: &Path) -> Result<Secret> {
    let bytes = bytes(path, "the passphrase")?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(Secret::new(line.strip_suffix(b"\r").unwrap_or(line)))
}

/// All of a file.
pub(crate) fn key(path: &Path) -> Result<Secret> {
    Ok(Secret::new(bytes(path, "the key")?))
}

fn bytes(path: &Path, what: &str) -> Result<Vec<u8>> {
    let context = || format!("cannot read {what} in {}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(context)?;
    file.take(MAX_KEY + 1).read_to_end(&mut bytes).with_context(context)?;
    if bytes.len() as u64 > MAX_KEY {
        bail!("{} is larger than any key file", path.display());
    }
    Ok(bytes)
}

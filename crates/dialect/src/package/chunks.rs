//! Gates of packages: to the members of an OVA, and to files that are stored in pieces.

use super::tar::Index;
use crate::ovf::FileReference;
use block::{BlockRead, Concat, Window};
use image::{Gate, GateError, GateReason};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// The gate to the members of a tar archive, each a window over the archive.
pub(super) struct TarGate {
    archive: Arc<dyn BlockRead>,
    index: Index,
    path: PathBuf,
    /// The directory of the descriptor inside the archive, to which names are relative; empty, or ends in `/`.
    directory: String,
}

impl TarGate {
    pub(super) fn new(archive: Arc<dyn BlockRead>, index: Index, path: PathBuf, descriptor: &str) -> Self {
        let directory =
            descriptor.rfind('/').and_then(|slash| descriptor.get(..=slash)).unwrap_or_default().to_owned();
        Self { archive, index, path, directory }
    }

    /// The member's name that a name in the descriptor means; none when it leads out of the archive.
    fn member(&self, name: &str) -> Option<String> {
        let mut parts = Vec::new();
        for part in self.directory.split('/').chain(name.split('/')) {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop()?;
                }
                part => parts.push(part),
            }
        }
        Some(parts.join("/"))
    }
}

impl Gate for TarGate {
    fn open(&self, name: &str) -> Result<Arc<dyn BlockRead>, GateError> {
        let refuse = |reason| GateError::new(name, reason);
        if name.is_empty() || name.contains('\0') {
            return Err(refuse(GateReason::NotAName));
        }
        if let Some((protocol, _)) = name.split_once("://") {
            return Err(refuse(GateReason::Protocol { protocol: protocol.to_owned() }));
        }
        if name.starts_with('/') {
            return Err(refuse(GateReason::Absolute { root: self.path.clone() }));
        }
        let member =
            self.member(name).ok_or_else(|| refuse(GateReason::Outside { root: self.path.clone() }))?;
        let member = self
            .index
            .find(&member)
            .ok_or_else(|| refuse(GateReason::Missing { root: self.path.clone() }))?;
        let window = Window::new(Arc::clone(&self.archive), member.range.clone())
            .map_err(|error| refuse(GateReason::Unreadable(error)))?;
        Ok(Arc::new(window))
    }

    fn describe(&self, name: &str) -> PathBuf {
        self.path.join(self.member(name).unwrap_or_else(|| name.to_owned()))
    }
}

/// The gate to the files of an OVF package as its References mean them (DSP0243 2.1.1, clause 7.1): a file that is
/// cut into chunks is one, and a name that is written as a URI is found. What is compressed stays so; images are
/// seen through that by whoever opens them.
pub(super) struct ReferenceGate {
    stored: Arc<dyn Gate>,
    /// Names of files in chunks.
    chunked: BTreeSet<String>,
}

/// The most chunks of one file: their numbers have nine digits, but a file system would not like that.
const MAX_CHUNKS: usize = 1 << 16;

impl ReferenceGate {
    pub(super) fn new(stored: Arc<dyn Gate>, files: &[FileReference]) -> Self {
        let chunked =
            files.iter().filter(|file| file.chunk_size.is_some()).map(|file| file.href.clone()).collect();
        Self { stored, chunked }
    }

    /// Opens a file by its name, or by what its name means as a URI: `%20` is a space.
    fn open_stored(&self, name: &str) -> Result<Arc<dyn BlockRead>, GateError> {
        match self.stored.open(name) {
            Err(error) if matches!(error.reason, GateReason::Missing { .. }) => match percent_decoded(name) {
                Some(decoded) => self.stored.open(&decoded).map_err(|_| error),
                None => Err(error),
            },
            other => other,
        }
    }

    /// The chunks `name.000000000`, `name.000000001`, … as one.
    fn open_chunks(&self, name: &str) -> Result<Arc<dyn BlockRead>, GateError> {
        let mut chunks = vec![self.open_stored(&chunk_name(name, 0))?];
        while chunks.len() < MAX_CHUNKS {
            match self.open_stored(&chunk_name(name, chunks.len())) {
                Ok(chunk) => chunks.push(chunk),
                Err(error) if matches!(error.reason, GateReason::Missing { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        let joined =
            Concat::new(chunks).map_err(|error| GateError::new(name, GateReason::Unreadable(error)))?;
        Ok(Arc::new(joined))
    }
}

/// What the chunk of that number of a file is called.
pub(super) fn chunk_name(name: &str, number: usize) -> String {
    format!("{name}.{number:09}")
}

/// The file of which a chunk has this name, if one of a chunk it is.
pub(super) fn chunked(name: &str) -> Option<&str> {
    let (file, number) = name.rsplit_once('.')?;
    (number.len() == 9 && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(file)
}

impl Gate for ReferenceGate {
    fn open(&self, name: &str) -> Result<Arc<dyn BlockRead>, GateError> {
        if self.chunked.contains(name) {
            // Some producers declare a chunk size and then store the file in one piece.
            return match self.open_chunks(name) {
                Err(error) if matches!(error.reason, GateReason::Missing { .. }) => {
                    self.open_stored(name).map_err(|_| error)
                }
                other => other,
            };
        }
        self.open_stored(name)
    }

    fn describe(&self, name: &str) -> PathBuf {
        self.stored.describe(name)
    }
}

/// Undoes percent-encoding (RFC 3986, section 2.1); none when there is nothing to undo or the result is no text.
fn percent_decoded(name: &str) -> Option<String> {
    let mut pieces = name.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    let before = bytes.len();
    for piece in pieces {
        let digits = piece.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(piece.get(2..)?.as_bytes());
    }
    (before < name.len()).then(|| String::from_utf8(bytes).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_decoded() {
        assert_eq!(percent_decoded("a%20b%2Fc.vmdk").as_deref(), Some("a b/c.vmdk"));
        assert_eq!(percent_decoded("plain"), None);
        assert_eq!(percent_decoded("50%"), None);
        assert_eq!(percent_decoded("a%+1"), None);
    }
}

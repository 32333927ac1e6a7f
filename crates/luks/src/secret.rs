//! What unlocks a volume: [`Secret`].

use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A passphrase, or the contents of a key file. It is not printed, and wiped when the last copy is gone.
#[derive(Clone)]
pub struct Secret {
    bytes: Arc<Zeroizing<Vec<u8>>>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Passphrase,
    Key,
}

impl Secret {
    /// What somebody types.
    pub fn passphrase(passphrase: impl Into<Vec<u8>>) -> Self {
        Self { bytes: Arc::new(Zeroizing::new(passphrase.into())), kind: Kind::Passphrase }
    }

    /// The contents of a key file, which nobody types.
    pub fn key(contents: impl Into<Vec<u8>>) -> Self {
        Self { bytes: Arc::new(Zeroizing::new(contents.into())), kind: Kind::Key }
    }

    /// A passphrase, to be typed where one is asked for; `None` for a key file's contents. No log, error or evidence may
    /// have it.
    pub fn typed(&self) -> Option<&[u8]> {
        (self.kind == Kind::Passphrase).then(|| self.as_bytes())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_passphrase_is_typed_and_neither_is_printed() {
        let (passphrase, key) = (Secret::passphrase("open sesame"), Secret::key("open sesame"));
        assert_eq!(passphrase.typed(), Some(b"open sesame".as_slice()));
        assert_eq!(key.typed(), None);
        assert_eq!(format!("{passphrase:?} {key:?}"), "Secret(…) Secret(…)");
    }
}

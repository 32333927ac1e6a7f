//! The keys with which evidence is signed: Ed25519 (RFC 8032), in files as OpenSSL writes them (PKCS#8, RFC 5958; PEM).

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, KeypairBytes};
use ed25519_dalek::{SigningKey, VerifyingKey};
use rustix::rand::{GetRandomFlags, getrandom};
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// No file with a key is larger, in bytes.
const LARGEST: u64 = 16 << 10;

/// A private key.
#[derive(Clone)]
pub struct Key(SigningKey);

/// A public key: 64 hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is no place for the user's own key.
    #[error("there is no place for the key that signs evidence; set XDG_DATA_HOME, or name a key's file")]
    NoHome,
    /// The operating system refused.
    #[error("cannot {operation} the key {}", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// Others may read the key.
    #[error("others may read the key {}; run chmod 600 on it, and make a new one if somebody has read it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no key of this kind.
    #[error("{} holds no Ed25519 {kind} key as PEM; openssl genpkey -algorithm ed25519 makes one", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// `private`, `public`.
        kind: &'static str,
    },
}

impl Key {
    /// The user's own key, which is made at its first use: `$XDG_DATA_HOME/anyvisor/evidence-key.pem`, by default below
    /// `~/.local/share`.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn own() -> Result<Self, KeyError> {
        let path = own_path().ok_or(KeyError::NoHome)?;
        Self::read_or_make(&path)
    }

    /// The user's own key, if it was made already and can be read.
    pub fn own_if_any() -> Option<Self> {
        own_path().and_then(|path| Self::read(&path).ok())
    }

    /// The key at `path`, which is made when there is none: for its owner alone.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read_or_make(path: &Path) -> Result<Self, KeyError> {
        match Self::read(path) {
            Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Self::make(path)?;
                // Another process may have been faster: its key is the one.
                Self::read(path)
            }
            read => read,
        }
    }

    /// The key at `path`.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let file = File::open(path).map_err(failed("open", path))?;
        let mode = file.metadata().map_err(failed("open", path))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeyError::Open { path: path.to_path_buf() });
        }
        let text = read_text(file, path)?;
        let key = SigningKey::from_pkcs8_pem(&text);
        key.map(Self).map_err(|_| KeyError::NotAKey { path: path.to_path_buf(), kind: "private" })
    }

    /// A key of those bytes, which have to be random.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// What others know the key by.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub(super) fn signing(&self) -> &SigningKey {
        &self.0
    }

    /// Makes a key at `path`, unless another process does so at the same time.
    fn make(path: &Path) -> Result<(), KeyError> {
        let directory = path.parent().ok_or(KeyError::NoHome)?;
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed("make a directory for", path))?;
        let mut seed = [0; 32];
        fill_random(&mut seed).map_err(failed("make", path))?;
        // Without the public key: OpenSSL before 3.2 does not read the form that holds both.
        let pair = KeypairBytes { secret_key: seed, public_key: None };
        let pem =
            ed25519_dalek::pkcs8::EncodePrivateKey::to_pkcs8_pem(&pair, LineEnding::LF).map_err(|error| {
                KeyError::Io { operation: "make", path: path.to_path_buf(), source: io::Error::other(error) }
            })?;
        let growing = directory.join(format!(".evidence-key.{}", std::process::id()));
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&growing)?;
            file.write_all(pem.as_bytes())?;
            file.sync_all()?;
            // A link is made only where nothing is: no key is ever replaced.
            match fs::hard_link(&growing, path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                linked => linked,
            }
        };
        let written = write().map_err(failed("write", path));
        let _ = fs::remove_file(&growing);
        written
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key(of {})", self.public())
    }
}

impl PublicKey {
    /// The public key that `text` means: its digits, or a file as OpenSSL writes it.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn find(text: &str) -> Result<Self, KeyError> {
        if let Ok(key) = text.parse() {
            return Ok(key);
        }
        let path = Path::new(text);
        let pem = read_text(File::open(path).map_err(failed("open", path))?, path)?;
        let key = VerifyingKey::from_public_key_pem(&pem);
        key.map(Self).map_err(|_| KeyError::NotAKey { path: path.to_path_buf(), kind: "public" })
    }

    pub(super) fn verifying(&self) -> &VerifyingKey {
        &self.0
    }
}

impl FromStr for PublicKey {
    type Err = NotDigits;

    fn from_str(text: &str) -> Result<Self, NotDigits> {
        let bytes = super::bytes_of::<32>(text).ok_or(NotDigits)?;
        VerifyingKey::from_bytes(&bytes).map(Self).map_err(|_| NotDigits)
    }
}

/// A text is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not the 64 hexadecimal digits of an Ed25519 public key")]
pub struct NotDigits;

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::digits_of(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

fn own_path() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base =
        absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")))?;
    Some(base.join("anyvisor/evidence-key.pem"))
}

fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let filled = getrandom(&mut *rest, GetRandomFlags::empty())?;
        rest = rest.get_mut(filled..).unwrap_or_default();
    }
    Ok(())
}

fn read_text(file: File, path: &Path) -> Result<String, KeyError> {
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).map_err(failed("read", path))?;
    Ok(text)
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_path_buf();
    move |source| KeyError::Io { operation, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data/anyvisor/key.pem");
        let made = Key::read_or_make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Key::read_or_make(&path).unwrap().public(), made.public());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let other = Key::read_or_make(&directory.path().join("other.pem")).unwrap();
        assert_ne!(other.public(), made.public());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Key::read(&path), Err(KeyError::Open { .. })));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        fs::write(&path, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(Key::read(&path), Err(KeyError::NotAKey { kind: "private", .. })));
        assert!(matches!(
            PublicKey::find(path.to_str().unwrap()),
            Err(KeyError::NotAKey { kind: "public", .. })
        ));
        assert!(
            "00".repeat(31).parse::<PublicKey>().is_err() && "é".repeat(32).parse::<PublicKey>().is_err()
        );
    }

    /// RFC 8410, section 10.3, the example of a private key, and the public key of its section 10.1.
    #[test]
    fn keys_are_those_of_openssl() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        let private = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        fs::write(&path, private).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let public = directory.path().join("public.pem");
        let pem = "-----BEGIN PUBLIC KEY-----\n\
            MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        fs::write(&public, pem).unwrap();
        let key = Key::read(&path).unwrap();
        assert_eq!(PublicKey::find(public.to_str().unwrap()).unwrap(), key.public());
        assert_eq!(key.public().to_string().parse::<PublicKey>().unwrap(), key.public());
    }
}

//! One row's work: convert, rehearse, keep the evidence.

use crate::process;
use crate::row::Row;
use anyhow::{Context as _, Result, bail};
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The program's exit codes that are answers: it booted, it did not.
const ANSWERS: [i32; 2] = [0, 4];
/// How long a guest may take to come up, in seconds: emulated, two at a time, on a busy host.
const TIMEOUT: &str = "1200";
/// How long a conversion or a rehearsal may take, far beyond what either needs: one that hangs must not hold the others.
const LIMIT: Duration = Duration::from_secs(40 * 60);

/// What a row's work gave.
pub(crate) struct Done {
    /// The evidence's document.
    pub(crate) document: Vec<u8>,
    /// Whether the guest came up.
    pub(crate) booted: bool,
    /// How long all took, in seconds.
    pub(crate) seconds: u64,
    /// How long the conversion took, in seconds.
    pub(crate) conversion_seconds: Option<u64>,
}

/// The program that is certified, and where it may work.
pub(crate) struct Workshop {
    /// The program `anyvisor`.
    pub(crate) anyvisor: PathBuf,
    /// A directory for converted guests.
    pub(crate) scratch: PathBuf,
}

impl Workshop {
    /// Does a row's work; what it converted is removed again.
    pub(crate) fn work(&self, row: &Row) -> Result<Done> {
        let source = lab::guest(row.guest)?.source();
        let start = Instant::now();
        let directory = tempfile::Builder::new()
            .prefix("row-")
            .tempdir_in(&self.scratch)
            .with_context(|| format!("cannot create a directory in {}", self.scratch.display()))?;
        let secret = Secret::of(row.guest, directory.path())?;
        let (subject, conversion_seconds) = match row.control {
            true => (source, None),
            false => {
                let output = directory.path().join("converted");
                self.convert(row, &source, &output, &secret)?;
                (output, Some(start.elapsed().as_secs()))
            }
        };
        let evidence = directory.path().join("evidence.json");
        let booted = self.rehearse(row, &subject, &evidence, &secret)?;
        let document =
            std::fs::read(&evidence).with_context(|| format!("cannot read {}", evidence.display()))?;
        Ok(Done { document, booted, seconds: start.elapsed().as_secs(), conversion_seconds })
    }

    fn convert(&self, row: &Row, source: &Path, output: &Path, secret: &Secret) -> Result<()> {
        let mut command = Command::new(&self.anyvisor);
        command.arg("convert").arg(source).args(["--to", &row.target.id, "--output"]).arg(output);
        command.args(["--map-network", "*=network:default"]).args(secret.arguments());
        let ran = process::run(&mut command, LIMIT)?;
        if !ran.status.success() {
            bail!("the conversion failed: {}", ran.talk);
        }
        Ok(())
    }

    fn rehearse(&self, row: &Row, subject: &Path, evidence: &Path, secret: &Secret) -> Result<bool> {
        let mut command = Command::new(&self.anyvisor);
        command.arg("rehearse").arg(subject).args(["--on", &row.target.id, "--timeout", TIMEOUT]);
        command.arg("--checksum").arg("--evidence").arg(evidence).args(secret.arguments());
        let ran = process::run(&mut command, LIMIT)?;
        match ran.status.code() {
            Some(code) if ANSWERS.contains(&code) => Ok(code == 0),
            _ => bail!("the rehearsal was not held: {}", ran.talk),
        }
    }
}

/// The file with what unlocks a guest's volumes, where it has encrypted ones.
struct Secret(Option<PathBuf>);

impl Secret {
    /// Writes the passphrase of a guest into a file in `directory` that nobody else can read.
    fn of(guest: &lab::Recipe, directory: &Path) -> Result<Self> {
        let Some(passphrase) = guest.passphrase() else { return Ok(Self(None)) };
        let path = directory.join("passphrase");
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(passphrase.as_bytes())
        };
        write().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(Some(path)))
    }

    /// As the program takes it.
    fn arguments(&self) -> impl Iterator<Item = &OsStr> {
        self.0.iter().flat_map(|path| [OsStr::new("--passphrase-file"), path.as_os_str()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_passphrase_goes_by_a_file_that_nobody_else_can_read() {
        let directory = tempfile::tempdir().unwrap();
        let guest = lab::Recipe::named("debian12-luks-lvm").unwrap();
        let secret = Secret::of(guest, directory.path()).unwrap();
        let file = directory.path().join("passphrase");
        let arguments: Vec<&OsStr> = secret.arguments().collect();
        assert_eq!(arguments, [OsStr::new("--passphrase-file"), file.as_os_str()]);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&file).ok(), guest.passphrase());
        let plain = Secret::of(lab::Recipe::named("debian12-kvm").unwrap(), directory.path()).unwrap();
        assert_eq!(plain.arguments().count(), 0);
    }
}

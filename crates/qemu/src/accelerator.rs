//! What runs a guest's instructions: [`Accelerator`], and [`choose`], which finds out what works.
//!
//! That `/dev/kvm` opens says little: nested, filtered or confined KVM creates machines and then cannot run a
//! stock kernel. So a kernel is really started once, until its first line, and the verdict is kept in the user's
//! cache, by host kernel, QEMU and guest kernel.

use crate::binary::Binary;
use crate::console::Waited;
use crate::error::{Error, Result};
use crate::process::Process;
use crate::vm::{Boot, Port, Vm};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::OpenOptions;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What overrides the choice: `kvm` or `tcg`.
const OVERRIDE: &str = "ANYVISOR_ACCEL";
/// How long a kernel may take to its first line. KVM takes a tenth of a second.
const PROBE: Duration = Duration::from_secs(5);
/// How long a "no" is believed: the host's configuration may change.
const DOUBT: Duration = Duration::from_secs(24 * 3600);

/// What runs a guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accelerator {
    /// The processor, through Linux's KVM.
    Kvm,
    /// QEMU's translator: everywhere, some thirty times slower.
    Tcg,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "KVM",
            Self::Tcg => "TCG",
        })
    }
}

/// A chosen accelerator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which one.
    pub accelerator: Accelerator,
    /// Why, for people.
    pub reason: String,
}

/// Chooses KVM when it runs `kernel` (a stock Linux kernel image) on this host, else TCG.
///
/// # Errors
/// [`Error::Override`] when `ANYVISOR_ACCEL` is neither `kvm` nor `tcg`.
pub fn choose(binary: &Binary, kernel: &Path) -> Result<Choice> {
    match std::env::var(OVERRIDE).unwrap_or_default().as_str() {
        "kvm" => return Ok(kvm(format!("{OVERRIDE} says so"))),
        "tcg" => return Ok(tcg(format!("{OVERRIDE} says so"))),
        "" => {}
        value => return Err(Error::Override { value: value.to_string() }),
    }
    if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        return Ok(tcg(unusable(&error)));
    }
    let cache = Cache::of(binary, kernel);
    if let Some(verdict) = cache.as_ref().and_then(Cache::read) {
        return Ok(verdict.into_choice());
    }
    let verdict = Verdict::of_probe(binary, kernel, cache.as_ref().map_or("", |cache| &cache.key));
    if let Some(cache) = cache {
        cache.write(&verdict);
    }
    Ok(verdict.into_choice())
}

fn kvm(reason: String) -> Choice {
    Choice { accelerator: Accelerator::Kvm, reason }
}

fn tcg(reason: String) -> Choice {
    Choice { accelerator: Accelerator::Tcg, reason }
}

fn unusable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            "/dev/kvm is not there: virtualization is off in the firmware, or this is a virtual machine without it"
                .to_string()
        }
        std::io::ErrorKind::PermissionDenied => {
            "/dev/kvm may not be opened: `usermod -aG kvm USER` and a new login allow it".to_string()
        }
        _ => format!("/dev/kvm cannot be opened: {error}"),
    }
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Verdict {
    key: String,
    runs: bool,
    reason: String,
}

impl Verdict {
    fn of_probe(binary: &Binary, kernel: &Path, key: &str) -> Self {
        let (runs, reason) = match probe(binary, kernel) {
            Ok(Waited::Found(_)) => (true, "a kernel ran on it".to_string()),
            Ok(Waited::Ended) => {
                (false, "KVM cannot run a stock kernel here: QEMU gave up on it".to_string())
            }
            Ok(Waited::TimedOut) => {
                (false, "KVM cannot run a stock kernel here: it never printed a line".to_string())
            }
            Err(error) => (false, format!("KVM cannot run a stock kernel here: {error}")),
        };
        Self { key: key.to_string(), runs, reason }
    }

    fn into_choice(self) -> Choice {
        if self.runs { kvm(self.reason) } else { tcg(self.reason) }
    }
}

fn probe(binary: &Binary, kernel: &Path) -> Result<Waited> {
    let mut vm = Vm::new("q35", Accelerator::Kvm);
    vm.memory_mib = 128;
    vm.boot = Boot::Kernel {
        kernel: kernel.to_path_buf(),
        initrd: None,
        command_line: "console=ttyS0 earlyprintk=serial panic=-1".to_string(),
    };
    vm.ports.push(Port::console("console"));
    let process = Process::start(binary, &vm)?;
    Ok(process
        .console("console")
        .map_or(Waited::Ended, |console| console.wait_for(&["Linux version"], PROBE)))
}

/// Where a verdict is kept, and for what it holds.
struct Cache {
    file: PathBuf,
    key: String,
}

impl Cache {
    fn of(binary: &Binary, kernel: &Path) -> Option<Self> {
        let directory = cache_directory()?;
        let host = rustix::system::uname();
        let metadata = std::fs::metadata(kernel).ok()?;
        let key = format!(
            "host {} {}; QEMU {}; kernel {} of {} bytes, {:?}",
            host.release().to_string_lossy(),
            host.version().to_string_lossy(),
            binary.version(),
            kernel.display(),
            metadata.len(),
            metadata.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?,
        );
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        Some(Self { file: directory.join(format!("kvm-{:016x}.json", hasher.finish())), key })
    }

    fn read(&self) -> Option<Verdict> {
        let age = std::fs::metadata(&self.file).ok()?.modified().ok()?.elapsed().unwrap_or_default();
        let verdict: Verdict = serde_json::from_slice(&std::fs::read(&self.file).ok()?).ok()?;
        (verdict.key == self.key && (verdict.runs || age < DOUBT)).then_some(verdict)
    }

    /// Keeps a verdict. A cache that cannot be written costs the next run a few seconds, nothing else.
    fn write(&self, verdict: &Verdict) {
        let Some(directory) = self.file.parent() else { return };
        let written = std::fs::create_dir_all(directory)
            .and_then(|()| tempfile::NamedTempFile::new_in(directory))
            .and_then(|file| {
                serde_json::to_writer(&file, verdict)?;
                file.persist(&self.file).map_err(|error| error.error)
            });
        if let Err(error) = written {
            tracing::debug!(file = %self.file.display(), %error, "cannot keep the verdict on KVM");
        }
    }
}

/// `$XDG_CACHE_HOME/anyvisor`, or `~/.cache/anyvisor`.
fn cache_directory() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("anyvisor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_believed_only_for_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache { file: directory.path().join("a/kvm.json"), key: "one".into() };
        assert_eq!(cache.read(), None);
        let verdict = Verdict { key: "one".into(), runs: false, reason: "no".into() };
        cache.write(&verdict);
        assert_eq!(cache.read(), Some(verdict));
        assert_eq!(Cache { key: "other".into(), ..cache }.read(), None);
    }

    #[test]
    fn a_file_that_is_no_kernel_is_a_no_without_a_hang() {
        let binary = Binary::find().expect("apt install qemu-system-x86");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0; 4096]).unwrap();
        assert!(!Verdict::of_probe(&binary, file.path(), "").runs);
    }

    #[test]
    fn says_what_to_do_about_kvm() {
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        assert!(unusable(&denied).contains("usermod"));
    }
}

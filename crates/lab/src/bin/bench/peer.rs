//! virt-v2v, the peer that is measured beside Anyvisor: installed here when it is not there, and set up so that its
//! appliance starts on this machine.

use crate::say;
use anyhow::{Context as _, Result, bail, ensure};
use qemu::Accelerator;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// virt-v2v, ready to run.
pub(crate) struct Peer {
    /// Its version, as it prints it: `virt-v2v 2.2.0`.
    pub(crate) version: String,
    environment: Vec<(&'static str, String)>,
}

impl Peer {
    /// Installs what is missing, gives libguestfs a kernel where the machine has none of its own, and lets it build
    /// its appliance, so that this is not measured.
    pub(crate) fn prepare(cache: &Path, accelerator: Accelerator) -> Result<Self> {
        install()?;
        let mut environment = vec![("LIBGUESTFS_BACKEND", "direct".to_owned())];
        if accelerator == Accelerator::Tcg {
            environment.push(("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg".to_owned()));
        }
        if !host_has_kernel() {
            let (kernel, modules) = unpacked_kernel(cache)?;
            environment.push(("SUPERMIN_KERNEL", kernel.display().to_string()));
            environment.push(("SUPERMIN_MODULES", modules.display().to_string()));
        }
        let version = output(Command::new("virt-v2v").arg("--version"))?.trim().to_owned();
        let peer = Self { version, environment };
        say("letting libguestfs build its appliance, which is not measured");
        output(peer.with_environment(&mut Command::new("libguestfs-test-tool")))?;
        Ok(peer)
    }

    /// The command that converts `ova` into `directory`.
    pub(crate) fn convert(&self, ova: &Path, directory: &Path) -> Command {
        let mut command = Command::new("virt-v2v");
        command.args(["-i", "ova"]).arg(ova).args(["-o", "local", "-of", "qcow2", "-os"]).arg(directory);
        self.with_environment(&mut command);
        command
    }

    fn with_environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(self.environment.iter().map(|(name, value)| (name, value)))
    }
}

const PACKAGES: [&str; 2] = ["virt-v2v", "libguestfs-tools"];

/// Installs virt-v2v with apt, unless that would remove or downgrade anything.
fn install() -> Result<()> {
    if Command::new("virt-v2v").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    say("installing virt-v2v and libguestfs-tools");
    let arguments = ["-q", "-y", "--no-remove", "--no-install-recommends", "install"];
    let simulated = output(apt_get(false).arg("-s").args(arguments).args(PACKAGES))?;
    let removed: Vec<&str> = simulated.lines().filter(|line| line.starts_with("Remv ")).collect();
    ensure!(
        removed.is_empty() && !simulated.contains("DOWNGRADED"),
        "apt would remove or downgrade packages to install virt-v2v: {}",
        removed.join("; ")
    );
    output(apt_get(true).args(arguments).args(PACKAGES)).map(drop)
}

fn apt_get(privileged: bool) -> Command {
    let mut command = if privileged && !rustix::process::geteuid().is_root() {
        let mut command = Command::new("sudo");
        command.args(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        command
    } else {
        Command::new("apt-get")
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Whether libguestfs finds a kernel that it may read, and its modules, by itself.
fn host_has_kernel() -> bool {
    let names = |directory: &str| -> Vec<String> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    names("/boot").iter().filter_map(|name| name.strip_prefix("vmlinuz-")).any(|version| {
        Path::new("/lib/modules").join(version).join("modules.dep").is_file()
            && std::fs::File::open(format!("/boot/vmlinuz-{version}")).is_ok()
    })
}

/// Debian's kernel, unpacked below `cache` and not installed; and its modules.
fn unpacked_kernel(cache: &Path) -> Result<(PathBuf, PathBuf)> {
    ensure_modules_directory()?;
    let root = cache.join("peer-kernel");
    if let Some(found) = kernel_below(&root) {
        return Ok(found);
    }
    say("fetching a kernel for libguestfs");
    std::fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
    let depends = output(Command::new("apt-cache").args(["depends", "linux-image-amd64"]))?;
    let package = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .context("apt does not know which kernel linux-image-amd64 stands for")?;
    output(Command::new("apt-get").args(["-q", "download", package]).current_dir(&root))?;
    let archive = first(&root, "linux-image-", ".deb").context("apt-get downloaded no kernel")?;
    output(Command::new("dpkg").arg("-x").arg(&archive).arg(&root))?;
    let modules =
        first(&root.join("lib/modules"), "", "").context("the kernel's package holds no modules")?;
    let version = modules.file_name().unwrap_or_default();
    output(Command::new("/sbin/depmod").arg("-b").arg(&root).arg(version))?;
    kernel_below(&root).context("the kernel's package holds no kernel")
}

fn kernel_below(root: &Path) -> Option<(PathBuf, PathBuf)> {
    let kernel = first(&root.join("boot"), "vmlinuz-", "")?;
    let modules = first(&root.join("lib/modules"), "", "")?;
    modules.join("modules.dep").is_file().then_some((kernel, modules))
}

/// supermin wants the directory to exist, also when it is told to look elsewhere.
fn ensure_modules_directory() -> Result<()> {
    if Path::new("/lib/modules").is_dir() {
        return Ok(());
    }
    if rustix::process::geteuid().is_root() {
        return std::fs::create_dir("/lib/modules").context("cannot create /lib/modules");
    }
    output(Command::new("sudo").args(["mkdir", "/lib/modules"])).map(drop)
}

/// The first file of a directory, by name, whose name begins and ends so.
fn first(directory: &Path, prefix: &str, suffix: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory).ok()?.flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let name = names.filter(|name| name.starts_with(prefix) && name.ends_with(suffix)).min()?;
    Some(directory.join(name))
}

/// Runs a command that is not measured; its standard output.
fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

//! `bench convert`: one guest, from OVA to qcow2, by Anyvisor and by virt-v2v.

use crate::measure::{Measured, measure};
use crate::peer::Peer;
use crate::report::{Conversion, Tool};
use crate::say;
use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Measures both; virt-v2v not at all when it is to run zero times.
pub(crate) fn run(runs: u32, peer_runs: u32) -> Result<Conversion> {
    let anyvisor = build()?;
    let guest = lab::guest(&lab::DEBIAN12_BIOS)?;
    let binary = qemu::Binary::find()?;
    let kernel = appliance::kernel::locate()?;
    let choice = qemu::accelerator::choose(&binary, &kernel.image)?;
    // Beside the guest: on the filesystem that users' images would be on, not in a temporary one in memory.
    let cache = lab::cache_directory()?;
    let scratch = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&cache)
        .with_context(|| format!("cannot create a directory in {}", cache.display()))?;

    say("a first conversion, which is not measured: it warms what both find warm");
    let convert = |output: &Path| {
        let mut command = Command::new(&anyvisor);
        command.arg("convert").arg(guest.source()).args(["--to", "kvm", "--output"]).arg(output);
        command
    };
    one(&convert, scratch.path(), "warm")?;
    let mut ours = several("anyvisor", runs, &convert, scratch.path())?;
    let mut peer = None;
    if peer_runs > 0 {
        let virt_v2v = Peer::prepare(&cache, choice.accelerator)?;
        let theirs = |output: &Path| virt_v2v.convert(&guest.source(), output);
        let theirs = several("virt-v2v", peer_runs, &theirs, scratch.path())?;
        peer = Some(Tool { version: virt_v2v.version.clone(), runs: theirs });
        // Again behind it: what else the host does changes over minutes, and is to weigh on both.
        ours.extend(several("anyvisor", runs, &convert, scratch.path())?);
    }
    let size = std::fs::metadata(guest.source())
        .with_context(|| format!("cannot read {}", guest.source().display()))?
        .len();
    Ok(Conversion {
        guest: lab::DEBIAN12_BIOS.name.to_owned(),
        guest_bytes: size,
        disk_bytes: lab::DEBIAN12_BIOS.disk_size(),
        accelerator: choice.accelerator,
        qemu: binary.version().to_owned(),
        cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get()),
        anyvisor: Tool { version: version(&anyvisor)?, runs: ours },
        virt_v2v: peer,
    })
}

/// Builds the release binary, which lies beside this program.
pub(crate) fn build() -> Result<PathBuf> {
    say("building anyvisor");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(["build", "--quiet", "--release", "-p", "anyvisor"]).status();
    ensure!(status.context("cannot run cargo")?.success(), "cargo could not build anyvisor");
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let target =
        program.parent().and_then(Path::parent).context("this program does not lie in a target directory")?;
    Ok(target.join("release/anyvisor"))
}
/// The first line of what a program prints as its version.
pub(crate) fn version(anyvisor: &Path) -> Result<String> {
    let output = Command::new(anyvisor).arg("--version").output().context("cannot run anyvisor")?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().trim().to_owned())
}

fn several(
    name: &str,
    runs: u32,
    convert: &dyn Fn(&Path) -> Command,
    scratch: &Path,
) -> Result<Vec<Measured>> {
    (1..=runs)
        .map(|run| {
            let measured = one(convert, scratch, name)?;
            say(&format!("{name}, run {run} of {runs}: {:.1} s", measured.wall_seconds));
            Ok(measured)
        })
        .collect()
}

/// One conversion into a fresh directory, which is removed again.
fn one(convert: &dyn Fn(&Path) -> Command, scratch: &Path, name: &str) -> Result<Measured> {
    let output = tempfile::tempdir_in(scratch).context("cannot create a directory for the result")?;
    measure(&mut convert(output.path()), &scratch.join(format!("{name}.log")))
}

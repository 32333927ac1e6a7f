//! The rows on a filesystem that clones: a disk with 20 GiB of data, on an XFS or Btrfs in a file, mounted by a loop
//! device. Needs root.

use super::Bench;
use super::pair::Kind;
use super::report::Cloned;
use super::timed::time;
use crate::say;
use anyhow::{Context as _, Result, ensure};
use rustix::fs::copy_file_range;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How much of the disk holds data, in bytes.
const DATA: u64 = 20 << 30;
/// How much of that is stored once; the rest shares it.
const STORED: u64 = 1 << 30;
/// The size of the filesystem, of whose file only what is used is stored.
const FILESYSTEM: u64 = 40 << 30;

/// Converts from and to raw, and between neighbours of the list.
pub(super) fn run(bench: &Bench, filesystem: &str) -> Result<Vec<Cloned>> {
    if !bench.wants(filesystem) {
        return Ok(Vec::new());
    }
    let mounted = Mounted::new(bench, filesystem)?;
    let raw = mounted.directory.join("disk.raw");
    make_disk(&raw)?;
    let mut rows = Vec::new();
    let mut previous = raw.clone();
    let mut previous_kind = Kind::Raw;
    for to in Kind::PLAIN.into_iter().filter(|kind| *kind != Kind::Raw) {
        let target = mounted.directory.join(to.file("disk"));
        rows.push(row(bench, filesystem, (Kind::Raw, &raw), (to, &target))?);
        let back = mounted.directory.join("back.raw");
        rows.push(row(bench, filesystem, (to, &target), (Kind::Raw, &back))?);
        if previous_kind != Kind::Raw {
            let across = mounted.directory.join(to.file("across"));
            rows.push(row(bench, filesystem, (previous_kind, &previous), (to, &across))?);
        }
        if previous != raw {
            fs::remove_file(&previous).context("cannot remove an image")?;
        }
        (previous, previous_kind) = (target, to);
    }
    Ok(rows)
}

fn row(bench: &Bench, filesystem: &str, from: (Kind, &Path), to: (Kind, &Path)) -> Result<Cloned> {
    let mut seconds = Vec::new();
    let mut peak = 0;
    let mut shared = 0;
    for _ in 0..bench.options.runs.min(3) {
        let _ = fs::remove_file(to.1);
        sync(from.1)?;
        let free = available(to.1)?;
        let timed = time(&mut bench.convert(from.1, to.1, to.0.ours()))?;
        sync(to.1)?;
        shared = DATA.saturating_sub(free.saturating_sub(available(to.1)?));
        seconds.push(timed.wall_seconds);
        peak = peak.max(timed.peak_resident);
    }
    seconds.sort_by(f64::total_cmp);
    let seconds = seconds.get(seconds.len().saturating_sub(1) / 2).copied().unwrap_or(0.0);
    let name = format!("{filesystem}: {} -> {}", from.0.name(), to.0.name());
    if to.0 == Kind::Raw || to.1.file_stem().is_some_and(|stem| stem == "across") {
        fs::remove_file(to.1).context("cannot remove an image")?;
    }
    let row = Cloned { name, seconds, peak_resident: peak, data_bytes: DATA, shared_bytes: shared };
    say(&row.to_string());
    Ok(row)
}

fn sync(path: &Path) -> Result<()> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    rustix::fs::syncfs(&file).context("cannot flush the filesystem")
}

fn available(path: &Path) -> Result<u64> {
    let directory = path.parent().unwrap_or(path);
    let statistics = rustix::fs::statvfs(directory).context("cannot ask for room")?;
    Ok(statistics.f_bfree * statistics.f_frsize)
}

/// A raw disk with a gibibyte of data, again and again.
fn make_disk(path: &Path) -> Result<()> {
    let file = File::options().read(true).write(true).create_new(true).open(path);
    let file = file.with_context(|| format!("cannot create {}", path.display()))?;
    file.set_len(2 * DATA).context("cannot make the disk")?;
    let mut block = vec![0_u8; 1 << 20];
    let mut state = 1_u64;
    for offset in (0..STORED).step_by(block.len()) {
        for word in block.as_chunks_mut::<8>().0 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *word = state.to_le_bytes();
        }
        file.write_all_at(&block, offset).context("cannot fill the disk")?;
    }
    let mut to = STORED;
    while to < DATA {
        let mut from = 0;
        let left = usize::try_from(STORED).unwrap_or(usize::MAX);
        let copied = copy_file_range(&file, Some(&mut from), &file, Some(&mut to), left);
        ensure!(copied.context("cannot clone")? as u64 == STORED, "only a part was cloned");
    }
    Ok(())
}

/// A filesystem in a file, unmounted when dropped.
struct Mounted {
    directory: PathBuf,
    image: PathBuf,
}

impl Mounted {
    fn new(bench: &Bench, filesystem: &str) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "only root can mount");
        let image = bench.file(&format!("filesystem.{filesystem}"));
        let directory = bench.file(filesystem);
        fs::create_dir(&directory).context("cannot create a directory")?;
        File::create(&image).and_then(|file| file.set_len(FILESYSTEM)).context("cannot make a file")?;
        let mounted = Self { directory, image };
        command(Command::new(format!("/sbin/mkfs.{filesystem}")).arg("-q").arg(&mounted.image))?;
        command(Command::new("mount").args(["-o", "loop"]).args([&mounted.image, &mounted.directory]))?;
        Ok(mounted)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // When it was never mounted, this fails and there is nothing to do.
        let _ = Command::new("umount").arg("-q").arg(&self.directory).status();
        let _ = fs::remove_file(&self.image);
    }
}

fn command(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} ended with {}: {}", output.status, text.trim());
    Ok(())
}

//! The guest's disk, made without a loop device: filesystem and swap space are written in place at their offsets, GRUB
//! is embedded between the boot record and the first partition.

use crate::error::Context as _;
use crate::recipe::MIB;
use crate::tool::{command, run, say};
use crate::tree::unpack;
use crate::{LabError, Recipe, Result};
use mbrman::{BOOT_ACTIVE, CHS, MBR, MBRPartitionEntry};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

/// Bytes in a sector.
const SECTOR: usize = 512;
/// The first sector of the first partition: 1 MiB, as every partitioner has aligned since 2010.
const FIRST_SECTOR: u32 = (MIB / SECTOR as u64) as u32;
/// The types of partitions in a boot record: Linux, and Linux swap.
const TYPE_LINUX: u8 = 0x83;
const TYPE_SWAP: u8 = 0x82;

/// Writes the recipe's disk to `raw`, a sparse file; `tar` is its tree of files and `scratch` an empty directory.
pub(crate) fn assemble(recipe: &Recipe, tar: &Path, scratch: &Path, raw: &Path) -> Result<()> {
    say(format_args!("writing the disk of {}", recipe.name));
    let start = Instant::now();
    let tree = scratch.join("tree");
    fs::create_dir(&tree).context("create", &tree)?;
    let disk = File::options().read(true).write(true).create_new(true).open(raw).context("create", raw)?;
    disk.set_len(recipe.disk_size()).context("resize", raw)?;

    let device = format!("{}?offset={MIB}", raw.display());
    root_filesystem(recipe, tar, &tree, raw)?;
    leave_deleted_data(recipe, scratch, &device)?;
    run(command("e2fsck").args(["-fn", &device]))?;
    swap_space(recipe, scratch, &disk, raw)?;
    partition_table(recipe, &disk, raw)?;
    embed_grub(&tree.join("boot/grub/i386-pc"), &disk, raw)?;
    fs::remove_dir_all(&tree).context("remove", &tree)?;
    say(format_args!("wrote the disk of {} in {} s", recipe.name, start.elapsed().as_secs()));
    Ok(())
}

fn root_filesystem(recipe: &Recipe, tar: &Path, tree: &Path, raw: &Path) -> Result<()> {
    let offset = format!("offset={MIB},hash_seed={},nodiscard", recipe.root_uuid);
    let size = format!("{}M", recipe.root_mib);
    // GRUB 2.06 cannot read what metadata_csum_seed marks, and newer releases turn it on.
    let features = "^metadata_csum_seed,^orphan_file";
    let arguments: Vec<String> =
        ["-q", "-F", "-t", "ext4", "-O", features, "-U", recipe.root_uuid, "-E", &offset, "-d"]
            .map(str::to_owned)
            .into_iter()
            .chain([tree.display().to_string(), raw.display().to_string(), size])
            .collect();
    let then = format!("E2FSPROGS_FAKE_TIME={} mke2fs \"$@\"", recipe.epoch);
    unpack(tar, tree, &then, &arguments)
}

/// Fills free space with the remains of a deleted file, as on any disk that has lived.
fn leave_deleted_data(recipe: &Recipe, scratch: &Path, device: &str) -> Result<()> {
    let (remains, script) = (scratch.join("remains"), scratch.join("debugfs"));
    let mut file = File::create(&remains).context("create", &remains)?;
    for block in noise().take(recipe.deleted_mib as usize) {
        file.write_all(&block).context("write", &remains)?;
    }
    let commands = format!("write {} /remains\nrm /remains\n", remains.display());
    fs::write(&script, commands).context("write", &script)?;
    run(command("debugfs")
        .env("E2FSPROGS_FAKE_TIME", recipe.epoch.to_string())
        .args(["-w", "-f"])
        .arg(&script)
        .arg(device))?;
    fs::remove_file(&remains).context("remove", &remains)
}

/// Endless blocks of 1 MiB that do not compress and are the same every time (xorshift64*, Vigna 2016).
fn noise() -> impl Iterator<Item = Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        let mut block = Vec::with_capacity(MIB as usize);
        while block.len() < MIB as usize {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            block.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
        }
        block
    })
}

fn swap_space(recipe: &Recipe, scratch: &Path, disk: &File, raw: &Path) -> Result<()> {
    let swap = scratch.join("swap");
    let file = File::create(&swap).context("create", &swap)?;
    file.set_len(u64::from(recipe.swap_mib) * MIB).context("resize", &swap)?;
    run(command("mkswap").args(["-U", recipe.swap_uuid]).arg(&swap))?;
    // All that mkswap writes is the first page.
    let mut header = [0; 4096];
    File::open(&swap).and_then(|file| file.read_exact_at(&mut header, 0)).context("read", &swap)?;
    disk.write_all_at(&header, (1 + u64::from(recipe.root_mib)) * MIB).context("write", raw)?;
    fs::remove_file(&swap).context("remove", &swap)
}

fn partition_table(recipe: &Recipe, disk: &File, raw: &Path) -> Result<()> {
    let failed = |source| LabError::PartitionTable { path: raw.to_owned(), source };
    let sectors = |mib: u32| mib * FIRST_SECTOR;
    let partition = |boot, sys, starting_lba, sectors| MBRPartitionEntry {
        boot,
        first_chs: CHS::empty(),
        sys,
        last_chs: CHS::empty(),
        starting_lba,
        sectors,
    };
    let mut handle = disk.try_clone().context("open", raw)?;
    let mut table = MBR::new_from(&mut handle, SECTOR as u32, recipe.disk_signature).map_err(failed)?;
    let swap_start = FIRST_SECTOR + sectors(recipe.root_mib);
    table[1] = partition(BOOT_ACTIVE, TYPE_LINUX, FIRST_SECTOR, sectors(recipe.root_mib));
    table[2] = partition(0, TYPE_SWAP, swap_start, sectors(recipe.swap_mib));
    table.write_into(&mut handle).map_err(failed)
}

/// Puts GRUB where `grub-install` does: the boot code into the boot record, the core image into the sectors after it.
///
/// `grub-mkimage` leaves a core image whose first sector loads the rest from sector 2 on, which is right for a core
/// image that stands at sector 1; and the boot code looks for it at sector 1 (GRUB manual, "Images").
fn embed_grub(directory: &Path, disk: &File, raw: &Path) -> Result<()> {
    let (boot_path, core_path) = (directory.join("boot.img"), directory.join("core.img"));
    let boot = fs::read(&boot_path).context("read", &boot_path)?;
    let core = fs::read(&core_path).context("read", &core_path)?;
    let code =
        boot_code(&boot).ok_or_else(|| LabError::BootImage { path: boot_path.clone(), size: boot.len() })?;
    if core.len() > (FIRST_SECTOR as usize - 1) * SECTOR {
        return Err(LabError::BootImage { path: core_path, size: core.len() });
    }
    disk.write_all_at(&code, 0).context("write", raw)?;
    disk.write_all_at(&core, SECTOR as u64).context("write", raw)
}

/// The 440 bytes of a boot record that are code, from `boot.img`. Its drive check is turned off, as `grub-install` does
/// for a hard disk, because some firmware passes a wrong drive number (`grub-core/boot/i386/pc/boot.S`).
fn boot_code(image: &[u8]) -> Option<[u8; 440]> {
    const DRIVE_CHECK: std::ops::Range<usize> = 0x66..0x68;
    const NOPS: [u8; 2] = [0x90, 0x90];
    if image.len() != SECTOR {
        return None;
    }
    let mut code: [u8; 440] = image.get(..440)?.try_into().ok()?;
    code.get_mut(DRIVE_CHECK)?.copy_from_slice(&NOPS);
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_repeats_from_run_to_run_and_not_within_one() {
        let first: Vec<_> = noise().take(2).collect();
        assert_eq!(first, noise().take(2).collect::<Vec<_>>());
        assert_ne!(first[0], first[1]);
    }

    #[test]
    fn boot_code_is_440_bytes_without_the_drive_check() {
        let mut image = [0xcc; 512];
        image[0x66..0x68].copy_from_slice(&[0xeb, 0x05]);
        let code = boot_code(&image).unwrap();
        assert_eq!(code[0x65..0x69], [0xcc, 0x90, 0x90, 0xcc]);
        assert_eq!(boot_code(&image[..511]), None);
    }

    #[test]
    fn partitions_are_where_the_recipe_says() {
        let recipe = &crate::DEBIAN12_BIOS;
        let directory = tempfile::tempdir().unwrap();
        let raw = directory.path().join("disk.raw");
        let disk = File::options().read(true).write(true).create_new(true).open(&raw).unwrap();
        disk.set_len(recipe.disk_size()).unwrap();
        partition_table(recipe, &disk, &raw).unwrap();
        let listed = run(command("sfdisk").arg("--json").arg(&raw)).unwrap();
        let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
        let table = &listed["partitiontable"];
        assert_eq!(table["id"], "0x120db01a");
        let starts: Vec<_> = (0..2).map(|index| table["partitions"][index]["start"].clone()).collect();
        assert_eq!(starts, [2048, 2304 * 2048]);
        assert_eq!(table["partitions"][0]["bootable"], true);
        assert_eq!(table["partitions"][1]["type"], "82");
    }
}

//! The guest's disk, made without a loop device: filesystems and swap space are written in place at their offsets, GRUB
//! is embedded between the boot record and the first partition.

mod grub;
mod layout;

use crate::error::Context as _;
use crate::recipe::{Boot, MIB};
use crate::tool::{command, run, say};
use crate::tree::unpack;
use crate::{Recipe, Result};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

/// Bytes in a sector.
const SECTOR: usize = 512;

/// Makes the filesystems, in the session that unpacked the tree: "$1" is the tree, "$2" the disk, "$3" the size of the
/// system partition in KiB or 0, "$4" the serial number of its filesystem, and the rest goes to mke2fs.
const FILESYSTEMS: &str = r#"
tree=$1 disk=$2
if [ "$3" != 0 ]; then
    system=$disk@@1M
    mformat -i "$system" -F -h 255 -s 63 -T $(($3 * 2)) -N "$4" ::
    mcopy -i "$system" -s -Q -m "$tree"/boot/efi/* ::
    rm -r "$tree"/boot/efi/*
fi
shift 4
mke2fs -q -F -t ext4 -d "$tree" "$@"
"#;

/// Writes the recipe's disk to `raw`, a sparse file; `tar` is its tree of files and `scratch` an empty directory.
pub(crate) fn assemble(recipe: &Recipe, tar: &Path, scratch: &Path, raw: &Path) -> Result<()> {
    say(format_args!("writing the disk of {}", recipe.name));
    let start = Instant::now();
    let tree = scratch.join("tree");
    fs::create_dir(&tree).context("create", &tree)?;
    let disk = File::create_new(raw).context("create", raw)?;
    disk.set_len(recipe.disk_size()).context("resize", raw)?;

    layout::write(recipe, raw)?;
    filesystems(recipe, tar, &tree, raw)?;
    let root = format!("{}?offset={}", raw.display(), u64::from(recipe.root_start_mib()) * MIB);
    leave_deleted_data(recipe, scratch, &root)?;
    run(command("e2fsck").args(["-fn", &root]))?;
    swap_space(recipe, scratch, &disk, raw)?;
    if recipe.boot == Boot::Bios {
        grub::embed(&tree.join("boot/grub/i386-pc"), &disk, raw)?;
    }
    fs::remove_dir_all(&tree).context("remove", &tree)?;
    say(format_args!("wrote the disk of {} in {} s", recipe.name, start.elapsed().as_secs()));
    Ok(())
}

fn filesystems(recipe: &Recipe, tar: &Path, tree: &Path, raw: &Path) -> Result<()> {
    let (system_kib, system_id) = match recipe.boot {
        Boot::Bios => (0, ""),
        Boot::Efi { system_mib, system_id, .. } => (system_mib * 1024, system_id),
    };
    let offset = u64::from(recipe.root_start_mib()) * MIB;
    let extended = format!("offset={offset},hash_seed={},nodiscard", recipe.root_uuid);
    let (tree_name, disk) = (tree.display().to_string(), raw.display().to_string());
    let (system_kib, size) = (system_kib.to_string(), format!("{}M", recipe.root_mib));
    // GRUB 2.06 cannot read what metadata_csum_seed marks, and newer releases of e2fsprogs turn it on.
    let features = "^metadata_csum_seed,^orphan_file";
    let arguments = [
        tree_name.as_str(),
        &disk,
        &system_kib,
        system_id,
        "-O",
        features,
        "-U",
        recipe.root_uuid,
        "-E",
        &extended,
        &disk,
        &size,
    ];
    unpack(recipe, tar, tree, FILESYSTEMS, &arguments)
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
    disk.write_all_at(&header, u64::from(recipe.swap_start_mib()) * MIB).context("write", raw)?;
    fs::remove_file(&swap).context("remove", &swap)
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
}

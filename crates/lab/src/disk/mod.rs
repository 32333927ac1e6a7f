//! The guest's disk, made without a loop device: filesystems and swap space are written in place at their offsets, GRUB
//! is embedded between the boot record and the first partition. What only a kernel can make is made in a machine.

mod grub;
mod install;
mod layout;

use crate::axes::{Firmware, Layout};
use crate::error::Context as _;
use crate::recipe::{EPOCH, MIB};
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

/// Makes the system partition of UEFI, in the session that unpacked the tree: "$1" is the tree, "$2" the disk, "$3" the size
/// of the partition in KiB or 0, "$4" the serial number of its filesystem.
const SYSTEM_PARTITION: &str = r#"
if [ "$3" != 0 ]; then
    system=$2@@1M
    mformat -i "$system" -F -h 255 -s 63 -T $(($3 * 2)) -N "$4" ::
    mcopy -i "$system" -s -Q -m "$1"/boot/efi/* ::
    rm -r "$1"/boot/efi/*
fi
"#;

/// Makes the root filesystem, in the same session: "$1" is the tree, and the rest goes to mke2fs.
const ROOT: &str = r#"
tree=$1
rm -rf "$tree/lab"
shift
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

    let (tree_name, raw_name) = (tree.display().to_string(), raw.display().to_string());
    let (system_kib, system_id) = ((recipe.system_mib() * 1024).to_string(), recipe.system_id());
    let arguments = [tree_name.as_str(), &raw_name, &system_kib, &system_id];
    if recipe.layout == Layout::Ext4 {
        root(recipe, tar, &tree, raw, &arguments)?;
        let root = format!("{}?offset={}", raw.display(), u64::from(recipe.root_start_mib()) * MIB);
        leave_deleted_data(recipe, scratch, &root)?;
        run(command("e2fsck").args(["-fn", &root]))?;
        if recipe.firmware == Firmware::Bios {
            grub::embed(&tree.join("boot/grub/i386-pc"), &disk, raw)?;
        }
        fs::remove_dir_all(&tree).context("remove", &tree)?;
    } else {
        install::install(recipe, tar, scratch, raw, (SYSTEM_PARTITION, &arguments))?;
    }
    if recipe.layout.has_swap_partition() {
        swap_space(recipe, scratch, &disk, raw)?;
    }
    say(format_args!("wrote the disk of {} in {} s", recipe.name, start.elapsed().as_secs()));
    Ok(())
}

/// Unpacks the tree and makes a filesystem of it in its partition.
fn root(recipe: &Recipe, tar: &Path, tree: &Path, raw: &Path, before: &[&str]) -> Result<()> {
    let (uuid, offset) = (recipe.root_uuid(), u64::from(recipe.root_start_mib()) * MIB);
    let extended = format!("offset={offset},hash_seed={uuid},nodiscard");
    let (tree_name, disk) = (tree.display().to_string(), raw.display().to_string());
    let size = format!("{}M", recipe.root_mib());
    // GRUB 2.06 cannot read what metadata_csum_seed marks, and newer releases of e2fsprogs turn it on.
    let features = "^metadata_csum_seed,^orphan_file";
    let mut arguments = before.to_vec();
    arguments.extend([tree_name.as_str(), "-O", features, "-U", &uuid, "-E", &extended, &disk, &size]);
    let then = format!("{SYSTEM_PARTITION}\nshift {}\n{ROOT}", before.len());
    unpack(recipe, tar, tree, &then, &arguments)
}

/// Fills free space with the remains of a deleted file, as on any disk that has lived.
fn leave_deleted_data(recipe: &Recipe, scratch: &Path, device: &str) -> Result<()> {
    if recipe.deleted_mib == 0 {
        return Ok(());
    }
    let (remains, script) = (scratch.join("remains"), scratch.join("debugfs"));
    let mut file = File::create(&remains).context("create", &remains)?;
    for block in noise().take(recipe.deleted_mib as usize) {
        file.write_all(&block).context("write", &remains)?;
    }
    let commands = format!("write {} /remains\nrm /remains\n", remains.display());
    fs::write(&script, commands).context("write", &script)?;
    run(command("debugfs")
        .env("E2FSPROGS_FAKE_TIME", EPOCH.to_string())
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
    file.set_len(u64::from(recipe.swap_mib()) * MIB).context("resize", &swap)?;
    run(command("mkswap").args(["-U", &recipe.swap_uuid()]).arg(&swap))?;
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

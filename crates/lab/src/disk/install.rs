//! The machine that installs a guest whose disk needs a kernel to be made: LVM, LUKS, btrfs, XFS. It is the guest's own
//! release, with the guest's own tools, on the hardware of the hypervisor that the guest comes from: so a host-only
//! initramfs is made where it will run.

use crate::error::Context as _;
use crate::recipe::MIB;
use crate::script;
use crate::tool::say;
use crate::tree::unpack;
use crate::{LabError, Recipe, Result};
use profile::FirmwareKind;
use qemu::{Backend, Binary, Boot, Console, Disk, Nic, Port, Process, Vm, Waited};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an installation may take: far beyond what emulation needs on a busy host.
const LIMIT: Duration = Duration::from_secs(45 * 60);
/// How much of the console an error carries, in bytes.
const CONSOLE_KEPT: usize = 4096;
/// The kernel's command line: the init is the script that stands in the tree.
const COMMAND_LINE: &str = "root=LABEL=lab-tree ro init=/lab/install.sh console=ttyS0 quiet net.ifnames=0";
/// The size of the filesystem that carries the tree, in MiB; nothing is written to it.
const CARRIER_MIB: u64 = 2560;
/// What the machine says last, and what it says when it cannot go on.
const ENDINGS: [&str; 2] = ["lab: installed", "lab: failed"];

/// Makes the filesystem that carries the tree: "$1" is the tree, "$2" the system partition's image or nothing, and the
/// rest goes to mke2fs. The kernel and the initramfs of the machine are taken out before.
const CARRIER: &str = r#"
tree=$1
mv "$tree/lab/vmlinuz" "$tree/lab/initrd" "$2"
mkdir "$tree/lab/inside"
cp "$2/install.sh" "$tree/lab"
cp "$2/initramfs.sh" "$2/clean.sh" "$tree/lab/inside"
shift 2
mke2fs -q -F -t ext4 -L lab-tree -d "$tree" "$@"
"#;

/// Installs the tree of `tar`, which is unpacked to `tree`, to the partitioned disk `raw`. `before` is a script that runs
/// with `arguments` when the tree is unpacked.
pub(super) fn install(
    recipe: &Recipe,
    tar: &Path,
    scratch: &Path,
    raw: &Path,
    before: (&str, &[&str]),
) -> Result<()> {
    let (carrier, parts) = (scratch.join("carrier.raw"), scratch.join("parts"));
    fs::create_dir(&parts).context("create", &parts)?;
    write_scripts(recipe, &parts)?;
    File::create_new(&carrier)
        .and_then(|file| file.set_len(CARRIER_MIB * MIB))
        .context("create", &carrier)?;
    let tree = scratch.join("tree");
    let (first, first_arguments) = before;
    let count = first_arguments.len();
    let then = format!("({first}\n)\nshift {count}\n{CARRIER}");
    let (tree_name, parts_name) = (tree.display().to_string(), parts.display().to_string());
    let carrier_name = carrier.display().to_string();
    let mut arguments = first_arguments.to_vec();
    arguments.extend([
        tree_name.as_str(),
        &parts_name,
        "-O",
        "^metadata_csum_seed,^orphan_file",
        &carrier_name,
    ]);
    unpack(recipe, tar, &tree, &then, &arguments)?;
    fs::remove_dir_all(&tree).context("remove", &tree)?;
    run_machine(recipe, &parts, &carrier, raw)?;
    fs::remove_file(&carrier).context("remove", &carrier)
}

fn write_scripts(recipe: &Recipe, parts: &Path) -> Result<()> {
    let mut install = String::from("#!/bin/sh\n");
    for (name, value) in recipe.environment() {
        // Nothing in a recipe holds a quote: it is written here, not read from anywhere.
        install.push_str(&format!("export {name}='{value}'\n"));
    }
    install.push_str(script::INSTALL);
    let files =
        [("install.sh", install.as_str()), ("initramfs.sh", script::INITRAMFS), ("clean.sh", script::CLEAN)];
    for (name, text) in files {
        let path = parts.join(name);
        fs::write(&path, text).context("write", &path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).context("protect", &path)?;
    }
    Ok(())
}

fn run_machine(recipe: &Recipe, parts: &Path, carrier: &Path, raw: &Path) -> Result<()> {
    say(format_args!("installing {} in a machine of its origin's (minutes under emulation)", recipe.name));
    let machine = |source| LabError::Machine { name: recipe.name, source: Box::new(source) };
    let binary = Binary::find().map_err(machine)?;
    let vm = vm(recipe, &binary, parts, carrier, raw).map_err(machine)?;
    let process = Process::start(&binary, &vm).map_err(machine)?;
    let failed = |tail| LabError::Install { name: recipe.name, console: tail };
    let console = process.console("console").ok_or_else(|| failed(String::new()))?;
    let waited = console.wait_for(&ENDINGS, LIMIT);
    if waited != Waited::Found(0) {
        return Err(failed(last_words(console)));
    }
    process.quit(Duration::from_secs(30)).map_err(machine)
}

fn last_words(console: &Console) -> String {
    console
        .tail(CONSOLE_KEPT)
        .chars()
        .filter(|character| *character == '\n' || !character.is_control())
        .collect()
}

fn vm(recipe: &Recipe, binary: &Binary, parts: &Path, carrier: &Path, raw: &Path) -> qemu::Result<Vm> {
    let facts = recipe.origin.facts();
    let kernel = parts.join("vmlinuz");
    let choice = qemu::accelerator::choose(binary, &kernel)?;
    let mut vm = Vm::new("pc", choice.accelerator);
    vm.memory_mib = 1024;
    vm.cpus = 2;
    vm.boot =
        Boot::Kernel { kernel, initrd: Some(parts.join("initrd")), command_line: COMMAND_LINE.to_owned() };
    let disk = |file: PathBuf, serial: &str| -> qemu::Result<Disk> {
        let hardware = profile::find(facts.profile).and_then(|profile| profile.disk_hardware(facts.bus));
        let mut disk = match hardware {
            // Its kernel is started without a firmware.
            Some(hardware) => Disk::on(hardware, FirmwareKind::Bios, Backend::raw(file))?,
            None => Disk::new("ide-hd", Backend::raw(file)),
        };
        disk.serial = Some(serial.to_owned());
        Ok(disk)
    };
    vm.disks = vec![disk(raw.to_path_buf(), "lab-guest")?, disk(carrier.to_path_buf(), "lab-tree")?];
    let card = profile::find(facts.profile).and_then(|profile| profile.nic_hardware(&facts.nic));
    if let Some(card) = card {
        vm.nics.push(Nic::on(card, None)?);
    }
    vm.ports.push(Port::console("console"));
    Ok(vm)
}

//! The partition table, written by `sfdisk` from a script: a boot record for BIOS, a GUID partition table for UEFI.

use crate::axes::{Firmware, Layout};
use crate::identity;
use crate::tool::{command, run_with_input};
use crate::{Recipe, Result};
use std::fmt::Write as _;
use std::path::Path;

/// A partition: how `sfdisk` calls its type, and its size.
struct Partition {
    kind: &'static str,
    mib: u32,
    bootable: bool,
}

/// Writes the table to the disk, whose other contents stay.
pub(super) fn write(recipe: &Recipe, raw: &Path) -> Result<()> {
    run_with_input(
        command("sfdisk").args(["--quiet", "--wipe=never", "--no-reread"]).arg(raw),
        &script(recipe),
    )?;
    Ok(())
}

/// The partitions, one behind the other from 1 MiB on.
fn partitions(recipe: &Recipe) -> Vec<Partition> {
    // A boot record has no type of its own for LUKS; the names below are those that both kinds of table know.
    let root = if recipe.layout == Layout::LvmXfs { "lvm" } else { "linux" };
    let own_boot = recipe.layout.has_boot();
    let all = [
        Partition { kind: "uefi", mib: recipe.system_mib(), bootable: false },
        Partition { kind: "linux", mib: recipe.boot_mib(), bootable: own_boot },
        Partition { kind: root, mib: recipe.root_mib(), bootable: !own_boot },
        Partition { kind: "swap", mib: recipe.swap_mib(), bootable: false },
    ];
    all.into_iter().filter(|partition| partition.mib > 0).collect()
}

/// The input of `sfdisk`. Sizes in MiB, and every start said: nothing is left to its defaults.
fn script(recipe: &Recipe) -> String {
    let gpt = recipe.firmware == Firmware::Uefi;
    let identifier = match recipe.firmware {
        Firmware::Bios => format!("0x{}", identity::serial(recipe.name, "disk")),
        Firmware::Uefi => identity::uuid(recipe.name, "disk"),
    };
    let mut script = format!("label: {}\nlabel-id: {identifier}\n", if gpt { "gpt" } else { "dos" });
    let mut start = 1;
    for (index, partition) in partitions(recipe).iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(script, "start={start}MiB, size={}MiB, type={}", partition.mib, partition.kind);
        if gpt {
            let uuid = identity::uuid(recipe.name, &format!("partition {}", index + 1));
            let _ = write!(script, ", uuid={uuid}");
        } else if partition.bootable {
            script.push_str(", bootable");
        }
        script.push('\n');
        start += partition.mib;
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::run;
    use crate::{DEBIAN12_BIOS, DEBIAN12_EFI};
    use serde_json::Value;

    fn written(recipe: &Recipe) -> Value {
        let directory = tempfile::tempdir().unwrap();
        let raw = directory.path().join("disk.raw");
        std::fs::File::create(&raw).unwrap().set_len(recipe.disk_size()).unwrap();
        write(recipe, &raw).unwrap();
        let listed = run(command("sfdisk").arg("--json").arg(&raw)).unwrap();
        serde_json::from_slice::<Value>(&listed).unwrap()["partitiontable"].clone()
    }

    fn column(table: &Value, name: &str) -> Vec<String> {
        let partitions = table["partitions"].as_array().unwrap().iter();
        partitions.map(|partition| partition[name].to_string().replace('"', "")).collect()
    }

    #[test]
    fn a_bios_guest_has_a_boot_record() {
        let table = written(&DEBIAN12_BIOS);
        assert_eq!(table["label"], "dos");
        assert_eq!(column(&table, "start"), ["2048", &(2303 * 2048).to_string()]);
        assert_eq!(column(&table, "type"), ["83", "82"]);
        assert_eq!(column(&table, "bootable"), ["true", "null"]);
    }

    #[test]
    fn an_efi_guest_has_a_guid_table() {
        let table = written(&DEBIAN12_EFI);
        assert_eq!(table["label"], "gpt");
        assert_eq!(column(&table, "start"), ["2048", "133120", &(2367 * 2048).to_string()]);
        let uuids = column(&table, "uuid");
        assert_eq!(uuids.len(), 3);
        assert_eq!(uuids[0].to_lowercase(), identity::uuid("debian12-efi", "partition 1"));
    }

    #[test]
    fn volumes_stand_behind_a_partition_for_boot() {
        let recipe = Recipe::named("debian12-lvm-xfs-dracut").unwrap();
        let table = written(recipe);
        assert_eq!(column(&table, "type"), ["83", "8e"]);
        assert_eq!(column(&table, "bootable"), ["true", "null"]);
        assert_eq!(column(&table, "start")[1], (u64::from(recipe.root_start_mib()) * 2048).to_string());
    }
}

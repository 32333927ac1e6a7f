//! The partition table, written by `sfdisk` from a script: a boot record for BIOS, a GUID partition table for UEFI.

use crate::recipe::Boot;
use crate::tool::{command, run_with_input};
use crate::{Recipe, Result};
use std::fmt::Write as _;
use std::path::Path;

/// Writes the table to the disk, whose other contents stay.
pub(super) fn write(recipe: &Recipe, raw: &Path) -> Result<()> {
    run_with_input(
        command("sfdisk").args(["--quiet", "--wipe=never", "--no-reread"]).arg(raw),
        &script(recipe),
    )?;
    Ok(())
}

/// The input of `sfdisk`. Sizes in MiB, and every start said: nothing is left to its defaults.
fn script(recipe: &Recipe) -> String {
    let (root, swap) = (recipe.root_start_mib(), recipe.swap_start_mib());
    let mut script = String::new();
    // Writing to a String cannot fail.
    let _ = match recipe.boot {
        Boot::Bios => writeln!(
            script,
            "label: dos\nlabel-id: 0x{}\n\
             start={root}MiB, size={}MiB, type=83, bootable\n\
             start={swap}MiB, size={}MiB, type=82",
            recipe.disk_id, recipe.root_mib, recipe.swap_mib
        ),
        Boot::Efi { system_mib, partition_ids: [first, second, third], .. } => writeln!(
            script,
            "label: gpt\nlabel-id: {}\n\
             start=1MiB, size={system_mib}MiB, type=uefi, uuid={first}\n\
             start={root}MiB, size={}MiB, type=linux, uuid={second}\n\
             start={swap}MiB, size={}MiB, type=swap, uuid={third}",
            recipe.disk_id, recipe.root_mib, recipe.swap_mib
        ),
    };
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
        assert_eq!((&table["label"], &table["id"]), (&"dos".into(), &"0x1ab00d12".into()));
        assert_eq!(column(&table, "start"), ["2048", &(2303 * 2048).to_string()]);
        assert_eq!(column(&table, "type"), ["83", "82"]);
        assert_eq!(column(&table, "bootable"), ["true", "null"]);
    }

    #[test]
    fn an_efi_guest_has_a_guid_table() {
        let table = written(&DEBIAN12_EFI);
        assert_eq!(table["label"], "gpt");
        assert_eq!(column(&table, "start"), ["2048", "133120", &(2367 * 2048).to_string()]);
        assert_eq!(
            column(&table, "uuid").first().map(String::as_str),
            Some("1AB00D12-0001-4C52-9A37-1F2E3D4C5B6A")
        );
    }
}

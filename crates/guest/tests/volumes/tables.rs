//! Partition tables that sfdisk and sgdisk wrote.

use crate::{image, run, scan_files};
use guest::volume::{Origin, Volume};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

/// Number, start sector, sectors, UUID and type of every partition, as sfdisk sees them.
fn sfdisk(path: &Path) -> Vec<(u32, u64, Option<String>)> {
    let json: serde_json::Value =
        serde_json::from_str(&run("sfdisk", &["--json", path.to_str().unwrap()], "")).unwrap();
    let table = &json["partitiontable"];
    let extended = ["5", "f", "85"];
    let mut found = Vec::new();
    for partition in table["partitions"].as_array().unwrap() {
        if extended.contains(&partition["type"].as_str().unwrap()) {
            continue;
        }
        let node = partition["node"].as_str().unwrap();
        let number: u32 = node.strip_prefix(path.to_str().unwrap()).unwrap().parse().unwrap();
        let uuid = match partition["uuid"].as_str() {
            Some(uuid) => uuid.to_lowercase(),
            None => format!("{}-{number:02x}", table["id"].as_str().unwrap().trim_start_matches("0x")),
        };
        found.push((number, partition["size"].as_u64().unwrap() * 512, Some(uuid)));
    }
    found
}

fn ours(volumes: &[Volume]) -> Vec<(u32, u64, Option<String>)> {
    volumes
        .iter()
        .map(|volume| match &volume.origin {
            Origin::Partition { number, uuid, .. } => (*number, volume.device.size(), uuid.clone()),
            other => panic!("{other:?} is no partition"),
        })
        .collect()
}

#[test]
fn mbr_with_logical_partitions() {
    let directory = tempfile::tempdir().unwrap();
    let path = image(directory.path(), "disk", 64 << 20);
    let script =
        "label: dos\nlabel-id: 0xdeadbeef\n2048,8192,83\n,8192,82\n,,5\n,4096,83\n,4096,83\n,8192,8e\n";
    run("sfdisk", &["-q", path.to_str().unwrap()], script);
    let volumes = scan_files(&[&path]);
    assert_eq!(ours(&volumes), sfdisk(&path));
    assert_eq!(volumes.len(), 5);
    assert_eq!(volumes[4].name, "disk1 partition 7");
}

#[test]
fn gpt_with_names() {
    let directory = tempfile::tempdir().unwrap();
    let path = image(directory.path(), "disk", 64 << 20);
    let text = path.to_str().unwrap();
    run("sgdisk", &["-n1:2048:+8M", "-c1:EFI system", "-t1:ef00", "-n5:0:+8M", "-c5:root", text], "");
    let volumes = scan_files(&[&path]);
    assert_eq!(ours(&volumes), sfdisk(&path));
    let Origin::Partition { label, kind, .. } = &volumes[0].origin else { panic!() };
    assert_eq!(label.as_deref(), Some("EFI system"));
    assert_eq!(kind, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
}

fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn gpt_from_its_backup() {
    let directory = tempfile::tempdir().unwrap();
    let path = image(directory.path(), "disk", 32 << 20);
    run("sgdisk", &["-n1:2048:+8M", "-c1:root", path.to_str().unwrap()], "");
    let sound = ours(&scan_files(&[&path]));
    // A damaged header, then a damaged array of entries.
    overwrite(&path, 512 + 60, &[0xFF; 4]);
    assert_eq!(ours(&scan_files(&[&path])), sound);
    overwrite(&path, 1024 + 40, &[0xFF; 4]);
    assert_eq!(ours(&scan_files(&[&path])), sound);
    // With the backup gone as well, nothing but the protective entry is left.
    overwrite(&path, (32 << 20) - 512, &[0; 512]);
    assert_eq!(ours(&scan_files(&[&path])), [(1, (32 << 20) - 512, None)]);
}

#[test]
fn gpt_wins_over_a_hybrid_mbr() {
    let directory = tempfile::tempdir().unwrap();
    let path = image(directory.path(), "disk", 32 << 20);
    run("sgdisk", &["-n1:2048:+4M", "-n2:0:+4M", "-n3:0:+4M", "-h1:2", path.to_str().unwrap()], "");
    assert_eq!(scan_files(&[&path]).len(), 3);
}

#[test]
fn a_filesystem_without_a_table_is_one_volume() {
    let directory = tempfile::tempdir().unwrap();
    let path = image(directory.path(), "disk", 40 << 20);
    run("mkfs.vfat", &["-F", "32", "-n", "DATA", path.to_str().unwrap()], "");
    let volumes = scan_files(&[&path]);
    assert_eq!(volumes.len(), 1);
    assert_eq!(volumes[0].origin, Origin::Disk { disk: 0 });
    assert_eq!(volumes[0].content.as_ref().unwrap().kind, "vfat");
}

#[test]
fn a_chain_of_extended_records_that_loops_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = image(directory.path(), "disk", 8 << 20);
    run("sfdisk", &["-q", path.to_str().unwrap()], "label: dos\n2048,,5\n,2048,83\n");
    // The record's second entry points back at the record itself.
    let mut link = [0u8; 16];
    link[4] = 5;
    link[12] = 1;
    overwrite(&path, 2048 * 512 + 462, &link);
    let volumes = scan_files(&[&path]);
    assert_eq!(volumes.len(), 100);
}

#[test]
fn a_partition_beyond_the_end_is_cut_or_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = image(directory.path(), "disk", 32 << 20);
    run("sfdisk", &["-q", path.to_str().unwrap()], "label: dos\n2048,8192,83\n,8192,83\n,8192,83\n");
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len((2048 + 8192 + 100) * 512).unwrap();
    let sizes: Vec<_> = ours(&scan_files(&[&path])).into_iter().map(|(_, size, _)| size).collect();
    assert_eq!(sizes, [8192 * 512, 100 * 512]);
}

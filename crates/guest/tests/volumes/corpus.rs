//! Real artefacts, when the corpus lies beside the checkout.

use crate::{blkid, open, scan_files};
use guest::volume::{Origin, probe};
use std::io::Read;
use std::path::{Path, PathBuf};

fn corpus() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/fs");
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: no corpus at {}", path.display());
    None
}

fn unpack(from: &Path, directory: &Path) -> PathBuf {
    let mut bytes = Vec::new();
    liblzma::read::XzDecoder::new_multi_decoder(std::fs::File::open(from).unwrap())
        .read_to_end(&mut bytes)
        .unwrap();
    let path = directory.join(from.file_stem().unwrap());
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn filesystems_agree_with_blkid() {
    let Some(corpus) = corpus() else { return };
    let directory = tempfile::tempdir().unwrap();
    for name in ["ext4", "fat12", "ntfs", "xfs"] {
        let path = unpack(&corpus.join(format!("{name}.raw.xz")), directory.path());
        let [volume] = &scan_files(&[&path])[..] else { panic!("{name}: not one volume") };
        let content = volume.content.clone().unwrap();
        assert_eq!((Some(content.kind), content.uuid, content.label), blkid(&path), "{name}");
    }
}

#[test]
fn tables_and_logical_volumes() {
    let Some(corpus) = corpus() else { return };
    let directory = tempfile::tempdir().unwrap();
    for (name, expected) in [
        ("gpt", &["disk1 partition 1", "disk1 partition 2"][..]),
        ("mbr", &["disk1 partition 1", "disk1 partition 5"]),
        (
            "lvm",
            &["disk1", "test_volume_group/test_logical_volume1", "test_volume_group/test_logical_volume2"],
        ),
    ] {
        let path = unpack(&corpus.join(format!("{name}.raw.xz")), directory.path());
        let volumes = scan_files(&[&path]);
        assert_eq!(volumes.iter().map(|volume| volume.name.as_str()).collect::<Vec<_>>(), expected);
        for volume in volumes.iter().filter(|volume| !matches!(volume.origin, Origin::Disk { .. })) {
            // Each is carved out and shown to blkid.
            let mut bytes = vec![0; volume.device.size() as usize];
            volume.device.read_at(&mut bytes, 0).unwrap();
            let piece = directory.path().join("piece");
            std::fs::write(&piece, bytes).unwrap();
            let content = volume.content.clone();
            let ours = content.map(|c| (Some(c.kind), c.uuid, c.label)).unwrap_or_default();
            assert_eq!(ours, blkid(&piece), "{}", volume.name);
        }
    }
}

/// Kinds of which we say as much as blkid does.
const KNOWN: &[&str] = &[
    "ext2",
    "ext3",
    "ext4",
    "xfs",
    "btrfs",
    "vfat",
    "ntfs",
    "swap",
    "iso9660",
    "crypto_LUKS",
    "linux_raid_member",
    "BitLocker",
];

#[test]
fn agrees_with_the_expectations_of_util_linux() {
    let Some(corpus) = corpus() else { return };
    let directory = tempfile::tempdir().unwrap();
    let archive = corpus.join("util-linux-blkid.open.tar.xz");
    crate::run("tar", &["-xJf", archive.to_str().unwrap(), "-C", directory.path().to_str().unwrap()], "");
    let mut compared = 0;
    for entry in std::fs::read_dir(directory.path().join("fs")).unwrap() {
        let path = unpack(&entry.unwrap().path(), directory.path());
        // Swap over a stale LUKS header, which blkid before 2.42 takes for LUKS; a label in a code page of MS-DOS.
        if path.ends_with("swap-luks.img") || path.ends_with("fat32_cp850_O_tilde.img") {
            continue;
        }
        let content = probe(open(&path).as_ref()).unwrap();
        let (kind, uuid, mut label) = blkid(&path);
        if kind.as_deref() == Some("iso9660") {
            // blkid prefers the Joliet descriptor's label, which nothing of ours needs.
            label = content.as_ref().and_then(|content| content.label.clone());
        }
        if matches!(kind.as_deref(), Some("udf" | "ambivalent")) {
            // Signatures of several: a disc that is UDF too is ISO 9660 for us.
            continue;
        }
        match content {
            Some(content) if KNOWN.contains(&content.kind.as_str()) => {
                compared += 1;
                assert_eq!(
                    (Some(content.kind), content.uuid, content.label),
                    (kind, uuid, label),
                    "{path:?}"
                );
            }
            _ => assert!(!kind.as_deref().is_some_and(|kind| KNOWN.contains(&kind)), "{path:?}: {kind:?}"),
        }
        std::fs::remove_file(path).unwrap();
    }
    assert!(compared >= 20, "only {compared} images were comparable");
}

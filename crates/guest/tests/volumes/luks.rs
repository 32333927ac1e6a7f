//! Encrypted volumes that cryptsetup made, with filesystems that the distribution's mkfs made in them.

use super::{image, open, run};
use block::conformance;
use guest::volume::{Origin, ScanError, Secret, Volume, scan, scan_unlocking};
use std::path::{Path, PathBuf};

const UUID: &str = "0d8f6a52-5f0e-4b53-8a57-7b5b6c2d9e10";
const QUICK: &[&str] = &["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];

/// A disk of 48 MiB, of which 16 MiB are an ext4 filesystem, encrypted in place.
fn encrypted(directory: &Path, passphrase: &str) -> PathBuf {
    let disk = image(directory, "disk.raw", 16 << 20);
    let name = disk.to_str().unwrap();
    run("mkfs.ext4", &["-q", "-F", "-b", "4096", "-U", UUID, "-L", "secret", name], "");
    std::fs::OpenOptions::new().write(true).open(&disk).unwrap().set_len(48 << 20).unwrap();
    let encrypt =
        ["reencrypt", "--encrypt", "--type", "luks2", "--reduce-device-size", "32m", "--batch-mode"];
    let how = ["--key-file", "-", "--resilience", "none", "--sector-size", "4096"];
    run("cryptsetup", &[&encrypt[..], &how, QUICK, &[name]].concat(), passphrase);
    disk
}

fn secrets(texts: &[&str]) -> Vec<Secret> {
    texts.iter().map(|text| Secret::passphrase(*text)).collect()
}

fn unlocked(volumes: &[Volume]) -> &Volume {
    volumes.iter().find(|volume| matches!(volume.origin, Origin::Unlocked { .. })).unwrap()
}

#[test]
fn what_is_encrypted_is_found_with_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let disk = encrypted(directory.path(), "correct horse");
    let locked = scan(&[open(&disk)]).unwrap();
    assert_eq!(locked.len(), 1);
    assert_eq!(locked[0].content.as_ref().unwrap().kind, "crypto_LUKS");

    let found = scan_unlocking(&[open(&disk)], &secrets(&["battery staple", "correct horse"])).unwrap();
    let volume = unlocked(&found.volumes);
    assert_eq!(volume.name, "disk1, unlocked");
    let content = volume.content.as_ref().unwrap();
    assert_eq!((content.kind.as_str(), content.uuid.as_deref()), ("ext4", Some(UUID)));
    assert_eq!(content.label.as_deref(), Some("secret"));

    let wrong = scan_unlocking(&[open(&disk)], &secrets(&["battery staple"])).err().unwrap();
    assert!(matches!(&wrong, ScanError::Locked { volume, .. } if volume == "disk1"), "{wrong}");
    assert!(wrong.remedy().unwrap().contains("--passphrase-file"));
}

#[test]
fn what_is_written_is_encrypted() {
    let directory = tempfile::tempdir().unwrap();
    let disk = encrypted(directory.path(), "key");
    let found = scan_unlocking(&[open(&disk)], &secrets(&["key"])).unwrap();
    let volume = unlocked(&found.volumes);
    let mut model = vec![0; volume.device.size() as usize];
    volume.device.read_at(&mut model, 0).unwrap();
    conformance::operations(volume.device.as_ref(), &mut model, 7, 400);
    volume.device.write_at(b"a sign that nobody else would write", 1 << 20).unwrap();
    model[1 << 20..][..35].copy_from_slice(b"a sign that nobody else would write");
    volume.device.flush().unwrap();
    let stored = std::fs::read(&disk).unwrap();
    assert!(!stored.windows(35).any(|bytes| bytes == b"a sign that nobody else would write"));
    // cryptsetup decrypts it in place, to the disk's start.
    let header = directory.path().join("header");
    let decrypt = [
        "reencrypt",
        "--decrypt",
        "--force-offline-reencrypt",
        "--batch-mode",
        "--key-file",
        "-",
        "--header",
    ];
    run("cryptsetup", &[&decrypt[..], &[header.to_str().unwrap(), disk.to_str().unwrap()]].concat(), "key");
    assert!(std::fs::read(&disk).unwrap()[..model.len()] == model);
}

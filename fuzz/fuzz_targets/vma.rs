//! Anything as a Proxmox archive: it is refused, or every disk in it can be read.
#![no_main]

use block::BlockRead;
use dialect::Package;
use libfuzzer_sys::fuzz_target;
use md5::{Digest, Md5};
use std::sync::LazyLock;

/// A directory of this process's own.
static DIRECTORY: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("there is room for a file"));

/// The most of a disk that is read, in bytes.
const MOST: u64 = 4 << 20;

/// Gives the header and every extent that follows it the sum that it should have: behind a wrong one nothing is read.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let size = bytes.get(56..60).map_or(0, |size| u32::from_be_bytes([size[0], size[1], size[2], size[3]]) as usize);
    seal(&mut bytes, 0, size, 32);
    let mut at = size;
    while bytes.get(at..at + 512).is_some() {
        seal(&mut bytes, at, 512, 24);
        at += 512 + 4096 * usize::from(u16::from_be_bytes([bytes[at + 6], bytes[at + 7]]));
    }
    bytes
}

/// Writes the sum of the structure at `start`, `at` bytes into it.
fn seal(bytes: &mut [u8], start: usize, size: usize, at: usize) {
    let Some(structure) = bytes.get_mut(start..start + size).filter(|structure| structure.len() > at + 16) else {
        return;
    };
    structure[at..at + 16].fill(0);
    let sum = Md5::digest(&*structure);
    structure[at..at + 16].copy_from_slice(&sum);
}

fuzz_target!(|bytes: &[u8]| {
    let path = DIRECTORY.path().join("a.vma");
    std::fs::write(&path, sealed(bytes)).expect("there is room for a file");
    let Ok(package) = Package::open(&path) else { return };
    for file in package.facts.files.iter().filter(|_| package.kind == "vma") {
        let disk = package.open_file(&file.name).expect("what is listed can be opened");
        let size = disk.size().min(MOST);
        let mut content = vec![0; size as usize];
        disk.read_at(&mut content, 0).expect("what is listed can be read");
        let extents = disk.extents(0..size).expect("what is listed is known");
        assert_eq!(extents.last().map_or(0, |last| last.range.end), size);
    }
});

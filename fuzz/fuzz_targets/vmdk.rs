//! VMDKs of one file: sparse and stream-optimized ones with anything put over them, and any bytes at all. They are opened
//! and read, checked, repaired and made larger: what is sound stays so, and keeps what it holds.
#![no_main]

mod one_file;

use block::BlockRead;
use image::{DirectoryGate, ErrorKind, Gate, Image, OpenOptions, Severity};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use one_file::{Patch, exercise, patched};
use std::path::Path;
use std::sync::Arc;

const SECTOR: usize = 512;
/// Of the disk: three grains of eight sectors, the last cut off.
const SECTORS: u64 = 20;
const GRAIN_SECTORS: u64 = 8;

#[derive(Arbitrary, Debug)]
enum Input {
    Bytes(Vec<u8>),
    Sparse { patches: Vec<Patch>, length: Option<u32> },
    Stream { patches: Vec<Patch>, length: Option<u32>, markers_only: bool },
}

/// The largest disk whose whole content is held against another's, in bytes.
const LARGEST: u64 = 4 << 20;

fn gate(path: &Path) -> (Arc<dyn Gate>, String) {
    let (gate, name) = DirectoryGate::for_file(path).expect("the file is there");
    (Arc::new(gate), name)
}

fn open(path: &Path) -> Option<Image> {
    let (gate, name) = gate(path);
    image::open(&gate, &name).ok()
}

/// Whether nothing of the image at `path` is damaged.
fn is_sound(path: &Path) -> bool {
    let (gate, name) = gate(path);
    match image::check(&gate, &name, &OpenOptions::default()) {
        Ok(check) => !check.findings.iter().any(|finding| finding.severity == Severity::Damage),
        Err(error) => {
            assert!(error.kind() != ErrorKind::Damaged, "damage is a finding: {error}");
            false
        }
    }
}

/// Checks `file`, repairs it, and makes its disk larger.
fn look_after(file: &[u8]) {
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let path = directory.path().join("disk");
    std::fs::write(&path, file).expect("there is room");
    let sound = is_sound(&path);
    let repaired = image::repair(&path).is_ok_and(|check| check.is_clean());
    let after = std::fs::read(&path).expect("it is still there");
    assert!(!sound || after == file, "there was nothing to repair");
    let Some(old) = open(&path).filter(|image| repaired && sound && image.size() <= LARGEST) else { return };
    let digest = image::digest(&old, 1);
    let size = old.size() + (1 << 20);
    if image::resize(&path, size).is_err() {
        return;
    }
    assert!(is_sound(&path), "it was before");
    let new = open(&path).expect("it could be opened before");
    assert_eq!(new.size(), size.next_multiple_of(SECTOR as u64));
    let grown = block::Window::new(new, 0..old.size()).expect("it is larger");
    if let Ok(digest) = digest {
        assert_eq!(image::digest(&grown, 1).expect("it could be read before"), digest);
    }
}

fn header(flags: u32, directory: u64) -> Vec<u8> {
    let mut header = vec![0; SECTOR];
    let mut put = |place: usize, bytes: &[u8]| header[place..place + bytes.len()].copy_from_slice(bytes);
    put(0, b"KDMV");
    put(4, &3_u32.to_le_bytes());
    put(8, &flags.to_le_bytes());
    put(12, &SECTORS.to_le_bytes());
    put(20, &GRAIN_SECTORS.to_le_bytes());
    put(28, &1_u64.to_le_bytes());
    put(36, &1_u64.to_le_bytes());
    put(44, &512_u32.to_le_bytes());
    put(56, &directory.to_le_bytes());
    put(64, &8_u64.to_le_bytes());
    put(73, b"\n \r\n");
    put(77, &1_u16.to_le_bytes());
    header
}

fn sector_of(bytes: &[u8]) -> Vec<u8> {
    let mut sector = bytes.to_vec();
    sector.resize(bytes.len().next_multiple_of(SECTOR), 0);
    sector
}

fn descriptor(kind: &str) -> Vec<u8> {
    sector_of(
        format!(
            "# Disk DescriptorFile\nversion=1\nCID=00000001\nparentCID=ffffffff\ncreateType=\"{kind}\"\n\
             RW {SECTORS} SPARSE \"disk\"\n"
        )
        .as_bytes(),
    )
}

/// A grain table with these sectors.
fn table(sectors: [u32; 3]) -> Vec<u8> {
    let mut table: Vec<u8> = sectors.iter().flat_map(|sector| sector.to_le_bytes()).collect();
    table.resize(512 * 4, 0);
    table
}

/// Header, descriptor, both copies of directory and table, grains: the first and the last, a zeroed one between.
fn sparse() -> Vec<u8> {
    let grains = [vec![0x11; 8 * SECTOR], vec![0x22; 8 * SECTOR]].concat();
    let mut header = header(0b111, 7);
    header[48] = 2;
    header[64] = 16;
    let copy = |sector: u32| [sector_of(&sector.to_le_bytes()), table([16, 1, 24])].concat();
    let metadata = [header, descriptor("monolithicSparse"), copy(3), copy(8)].concat();
    let padding = vec![0; 16 * SECTOR - metadata.len()];
    [metadata, padding, grains].concat()
}

/// A grain with its marker.
fn packed(lba: u64, byte: u8) -> Vec<u8> {
    let bytes = vec![byte; 8 * SECTOR];
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::fastest());
    let mut data = vec![0; compressor.zlib_compress_bound(bytes.len())];
    let length = compressor.zlib_compress(&bytes, &mut data).expect("there is room");
    let size = (length as u32).to_le_bytes();
    sector_of(&[&lba.to_le_bytes()[..], &size, &data[..length]].concat())
}

fn marker(sectors: u64, kind: u32) -> Vec<u8> {
    sector_of(&[&sectors.to_le_bytes()[..], &0_u32.to_le_bytes(), &kind.to_le_bytes()].concat())
}

/// As VMware's tools write it: the directory behind the grains, and a footer that says where.
fn stream(markers_only: bool) -> Vec<u8> {
    let padding = vec![0; 6 * SECTOR];
    let grains = [packed(0, 0x11), packed(16, 0x22)].concat();
    let (first, second) = (8, 8 + (packed(0, 0x11).len() / SECTOR) as u32);
    let behind = 8 + (grains.len() / SECTOR) as u64;
    let (table_at, directory_at) = (behind + 1, behind + 6);
    let tables =
        [marker(4, 1), table([first, 0, second]), marker(1, 2), sector_of(&(table_at as u32).to_le_bytes())]
            .concat();
    let footer = [marker(1, 3), header(0x3_0001, directory_at)].concat();
    let footer = if markers_only { Vec::new() } else { footer };
    [
        header(0x3_0001, u64::MAX),
        descriptor("streamOptimized"),
        padding,
        grains,
        tables,
        footer,
        vec![0; SECTOR],
    ]
    .concat()
}

fuzz_target!(
    init: {
        // The images are sound as long as nothing is put over them.
        for image in [sparse(), stream(false), stream(true)] {
            assert_eq!(one_file::first_bytes(image), [0x11; 4]);
        }
    },
    |input: Input| {
        let file = match input {
            Input::Bytes(bytes) => bytes,
            Input::Sparse { patches, length } => patched(&sparse(), &patches, length),
            Input::Stream { patches, length, markers_only } => {
                patched(&stream(markers_only), &patches, length)
            }
        };
        look_after(&file);
        exercise(file);
    }
);

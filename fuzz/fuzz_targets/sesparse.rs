//! ESXi's space-efficient deltas with anything put over their headers and tables.
#![no_main]

mod one_file;

use block::{BlockRead, MemoryDisk};
use image::{Gate, GateError, GateReason};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use one_file::{Patch, exercise_through, patched};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Arbitrary, Debug)]
enum Input {
    Extent(Vec<u8>),
    Patched { patches: [Vec<Patch>; 4], length: Option<u32> },
}

const SECTOR: usize = 512;
/// Of the disk: three grains and a sector.
const SECTORS: usize = 25;
/// Where both headers, the directory and the table begin, in sectors.
const PARTS: [usize; 4] = [0, 1, 2, 3];
/// Where the grains begin, in sectors.
const GRAINS: usize = 3 + 64;

/// A descriptor, its parent's, the parent's flat extent and the delta's.
struct Files(Vec<u8>);

impl Gate for Files {
    fn open(&self, name: &str) -> Result<Arc<dyn BlockRead>, GateError> {
        let bytes = match name {
            "disk" => format!(
                "# Disk DescriptorFile\nCID=2\nparentCID=1\nparentFileNameHint=\"base\"\ncreateType=\"seSparse\"\n\
                 RW {SECTORS} SESPARSE \"extent\"\n"
            )
            .into_bytes(),
            "base" => format!("# Disk DescriptorFile\nCID=1\nparentCID=ffffffff\nRW {SECTORS} FLAT \"flat\"\n").into_bytes(),
            "flat" => vec![0x77; SECTORS * SECTOR],
            "extent" => self.0.clone(),
            _ => return Err(GateError::new(name, GateReason::Missing { root: PathBuf::from("nowhere") })),
        };
        Ok(Arc::new(MemoryDisk::from_bytes(bytes)))
    }

    fn describe(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }
}

/// A grain that is stored, one that is absent, one of zeroes, and one of which one sector is the disk's.
fn extent() -> Vec<u8> {
    let mut extent = vec![0; GRAINS * SECTOR];
    let mut put = |place: usize, word: u64| extent[place..place + 8].copy_from_slice(&word.to_le_bytes());
    let header = [0xcafe_babe, 0x2_0000_0001, SECTORS as u64, 8, 64, 0, 0, 0, 0, 0];
    let regions = [1, 1, 0, 0, 0, 0, 2, 1, 3, 64, 0, 0, 0, 0, GRAINS as u64, 16];
    for (index, word) in header.into_iter().chain(regions).enumerate() {
        put(index * 8, word);
    }
    put(SECTOR, 0xcafe_cafe);
    put(2 * SECTOR, 0x1000_0000_0000_0000);
    for (grain, entry) in [(0, 0x3001_0000_0000_0000), (2, 0x2000_0000_0000_0000), (3, 0x3000_0000_0000_0000)]
    {
        put(3 * SECTOR + grain * 8, entry);
    }
    [extent, vec![0x22; 4096], vec![0x11; 4096]].concat()
}

fn first_byte(extent: Vec<u8>) -> u8 {
    let gate: Arc<dyn Gate> = Arc::new(Files(extent));
    let mut byte = [0];
    let image = image::open(&gate, "disk").expect("the image is sound");
    image.read_at(&mut byte, 0).expect("the image is sound");
    byte[0]
}

fuzz_target!(
    init: assert_eq!(first_byte(extent()), 0x11),
    |input: Input| {
        let extent = match input {
            Input::Extent(bytes) => bytes,
            Input::Patched { patches, length } => {
                let mut extent = extent();
                for (start, patches) in PARTS.into_iter().zip(&patches) {
                    let part = &mut extent[start * SECTOR..start * SECTOR + 256];
                    let changed = patched(part, patches, None);
                    part.copy_from_slice(&changed);
                }
                extent.truncate(length.map_or(usize::MAX, |length| length as usize));
                extent
            }
        };
        exercise_through(&(Arc::new(Files(extent)) as Arc<dyn Gate>));
    }
);

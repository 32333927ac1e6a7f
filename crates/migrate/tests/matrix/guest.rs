//! The machine that moves: two disks, one of them a chain of a snapshot and what came after it, two cards, UEFI.

use block::{BlockRead, BlockWrite as _, Layered, MemoryDisk};
use image::{CopyOptions, Image, ImageLayer, NewImage, NewParent, NoProgress};
use machine::{Attachment, Bus, Clock, Cpu, Disk, Firmware, Machine, Nic, NicModel, ScsiModel, Uefi};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Sizes of the disks in bytes: whole cylinders, so that every format has them as they are.
pub(crate) const SIZES: [u64; 2] = [16 * 63 * 512 * 32, 16 * 63 * 512 * 16];

/// The machine, on VMware's hardware.
pub(crate) fn machine() -> Machine {
    let disk = |number: u32| Disk {
        id: format!("disk{}", number + 1),
        attachment: Attachment { bus: Bus::Scsi(ScsiModel::LsiLogic), controller: 0, unit: number },
        capacity: SIZES.get(number as usize).copied(),
        ..Disk::default()
    };
    let nic = |number: u8, network: &str| Nic {
        id: format!("nic{number}"),
        model: NicModel::E1000,
        mac: Some(machine::MacAddress([0x00, 0x50, 0x56, 0, 0, number])),
        network: Some(network.to_owned()),
        connected: true,
        ..Nic::default()
    };
    Machine {
        name: "web".to_owned(),
        bios_uuid: Some(uuid::Uuid::from_u128(0x4a1e_6f3c_9b52_4c0d_8d7e_11aa_22bb_33cc)),
        firmware: Firmware::Uefi(Uefi::default()),
        cpu: Cpu { sockets: 1, cores_per_socket: 2, threads_per_core: 1 },
        memory: 1 << 30,
        disks: vec![disk(0), disk(1)],
        nics: vec![nic(1, "LAN"), nic(2, "DMZ")],
        clock: Clock::Utc,
        notes: Some("the shop's front end".to_owned()),
        ..Machine::default()
    }
}

/// What the guest sees on its disks.
pub(crate) struct Content {
    /// The first disk, when its snapshot was taken.
    below: MemoryDisk,
    /// What was written on it since.
    above: MemoryDisk,
    /// The second disk.
    second: MemoryDisk,
}

/// Bytes that look like nothing else, the same every time.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}

impl Content {
    pub(crate) fn new() -> Self {
        let below = MemoryDisk::new(SIZES[0]);
        below.write_at(&noise(3 << 20, 1), 0).unwrap();
        below.write_at(&noise(70_000, 2), SIZES[0] - 70_000).unwrap();
        let above = MemoryDisk::new(SIZES[0]);
        above.write_at(&noise(200_000, 3), 1 << 20).unwrap();
        above.write_at(&noise(100_000, 4), 9 << 20).unwrap();
        let second = MemoryDisk::new(SIZES[1]);
        second.write_at(&noise(1 << 20, 5), 2 << 20).unwrap();
        Self { below, above, second }
    }

    /// The disks as the guest sees them.
    pub(crate) fn disks(&self) -> [Arc<dyn BlockRead>; 2] {
        [Arc::new(self.layered()), Arc::new(self.second.clone())]
    }

    fn layered(&self) -> Layered {
        Layered::new(Arc::new(Above(self.above.clone())), Some(Arc::new(self.below.clone())))
    }

    /// Writes both disks as images of `format` to `directory`; the first as a chain where `chained`. Answers with the two
    /// files that a description names.
    pub(crate) fn write(
        &self,
        directory: &Path,
        format: &str,
        subformat: Option<&str>,
        chained: bool,
    ) -> [PathBuf; 2] {
        let format = image::by_name(format).unwrap();
        let new = NewImage { subformat: subformat.map(str::to_owned), ..NewImage::new(format) };
        let file = |name: &str| directory.join(format!("{name}.{}", ending(format.name)));
        let copy = |source: Arc<dyn BlockRead>, path: &Path| {
            image::copy(source, path, &new, &options(), &NoProgress).unwrap();
        };
        let [first, second] = self.disks();
        let (one, two) = (file("web"), file("web_1"));
        copy(second, &two);
        if !chained {
            copy(first, &one);
            return [one, two];
        }
        copy(Arc::new(self.below.clone()), &one);
        let top = file("web-000001");
        let parent = NewParent::new(&top, &one, open(&one).info()).unwrap();
        let layer = ImageLayer { own: Arc::new(Above(self.above.clone())), whole: first };
        let new = NewImage { parent: Some(parent), ..NewImage::new(format) };
        image::copy_layer(&layer, &top, &new, &options(), &NoProgress).unwrap();
        [top, two]
    }
}

/// What was written since the snapshot, in pieces of 64 KiB; the rest is the snapshot's.
struct Above(MemoryDisk);

const PIECE: u64 = 64 << 10;

impl BlockRead for Above {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        self.0.read_at(buf, offset)
    }

    fn extents(&self, range: std::ops::Range<u64>) -> block::Result<Vec<block::Extent>> {
        let mut extents = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let end = (at / PIECE * PIECE + PIECE).min(range.end);
            let written = [(1 << 20)..(1 << 20) + 200_000, (9 << 20)..(9 << 20) + 100_000].iter().any(
                |written: &std::ops::Range<u64>| {
                    written.start / PIECE * PIECE < end && at < written.end.div_ceil(PIECE) * PIECE
                },
            );
            extents.push(if written { block::Extent::data(at..end) } else { block::Extent::absent(at..end) });
            at = end;
        }
        Ok(extents)
    }
}

fn options() -> CopyOptions {
    CopyOptions { sync: false, ..CopyOptions::default() }
}

/// Opens an image by its path, with whatever it stands on.
pub(crate) fn open(path: &Path) -> Image {
    let (gate, name) = image::DirectoryGate::for_file(path).unwrap();
    let gate: Arc<dyn image::Gate> = Arc::new(gate);
    image::open(&gate, &name).unwrap()
}

fn ending(format: &str) -> &str {
    if format == "raw" { "img" } else { format }
}

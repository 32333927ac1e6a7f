//! Power cuts while an image is changed in place.

use super::{repair, resize};
use crate::{Check, DirectoryGate, ErrorKind, Gate, NewImage, OpenOptions, Storage, open};
use block::conformance::Random;
use block::{BlockRead, MemoryDisk};
use std::cell::Cell;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What happens to a file, in order.
#[derive(Clone)]
enum Event {
    Write(u64, Vec<u8>),
    Length(u64),
    Flush,
}

/// A file that remembers what happened to it.
struct Recorded {
    bytes: Mutex<Vec<u8>>,
    events: Mutex<Vec<Event>>,
}

fn apply(bytes: &mut Vec<u8>, event: &Event) {
    match event {
        Event::Write(offset, data) => {
            let (start, end) = (*offset as usize, *offset as usize + data.len());
            bytes.resize(bytes.len().max(end), 0);
            bytes[start..end].copy_from_slice(data);
        }
        Event::Length(length) => bytes.resize(*length as usize, 0),
        Event::Flush => {}
    }
}

impl Recorded {
    fn record(&self, event: Event) -> io::Result<()> {
        apply(&mut self.bytes.lock().unwrap(), &event);
        self.events.lock().unwrap().push(event);
        Ok(())
    }
}

impl Storage for Recorded {
    fn length(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = self.bytes.lock().unwrap();
        let place = bytes.get(offset as usize..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(place.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.record(Event::Write(offset, data.to_vec()))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.record(Event::Length(length))
    }

    fn flush(&self) -> io::Result<()> {
        self.record(Event::Flush)
    }
}

/// What may be left of `original` when the power fails after `count` events: those before the last flush, and of the
/// others all, some, or some sectors.
fn left(original: &[u8], events: &[Event], count: usize, seed: u64) -> Vec<u8> {
    let (mut bytes, mut random) = (original.to_vec(), Random::new(seed));
    let durable = events[..count].iter().rposition(|event| matches!(event, Event::Flush)).unwrap_or(0);
    for (index, event) in events[..count].iter().enumerate() {
        match event {
            _ if index < durable => apply(&mut bytes, event),
            Event::Write(offset, data) => {
                for (sector, part) in data.chunks(512).enumerate().filter(|_| random.below(2) == 0) {
                    // A sector that begins inside another is torn as that one is; all of ours begin at one.
                    apply(&mut bytes, &Event::Write(offset + sector as u64 * 512, part.to_vec()));
                }
            }
            other if random.below(2) == 0 => apply(&mut bytes, other),
            _ => {}
        }
    }
    bytes
}

/// The disk that `image` is, and whether its check finds damage.
fn look(directory: &Path, image: &[u8]) -> (Vec<u8>, Check) {
    let path = directory.join("left.qcow2");
    std::fs::write(&path, image).unwrap();
    let (gate, name) = DirectoryGate::for_file(&path).unwrap();
    let gate: Arc<dyn Gate> = Arc::new(gate);
    let disk = open(&gate, &name).unwrap();
    let mut bytes = vec![0; disk.size() as usize];
    disk.read_at(&mut bytes, 0).unwrap();
    (bytes, crate::check(&gate, &name, &OpenOptions::default()).unwrap())
}

/// An image of 600 KiB in clusters of 512 bytes, which need many tables; and its disk.
fn image(directory: &Path) -> (Vec<u8>, Vec<u8>) {
    let bytes = block::conformance::sample(600 << 10, 4);
    let path = directory.join("image.qcow2");
    let new = NewImage { cluster_size: Some(512), ..NewImage::qcow2() };
    let source = Arc::new(MemoryDisk::from_bytes(bytes.clone()));
    crate::copy(source, &path, &new, &crate::CopyOptions::default(), &crate::NoProgress).unwrap();
    (std::fs::read(path).unwrap(), bytes)
}

/// Does `change` to `original`, and looks at what every power cut may leave.
fn cut(original: &[u8], change: impl Fn(&Recorded), look_at: impl Fn(Vec<u8>)) {
    let file = Recorded { bytes: Mutex::new(original.to_vec()), events: Mutex::default() };
    change(&file);
    let events = file.events.into_inner().unwrap();
    assert!(events.len() > 3);
    for count in 0..=events.len() {
        for seed in 0..3 {
            look_at(left(original, &events, count, seed));
        }
    }
    assert!(left(original, &events, events.len(), 0) == file.bytes.into_inner().unwrap());
}

#[test]
fn a_power_cut_leaves_the_old_size_or_the_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let (original, bytes) = image(directory.path());
    let (old, new) = (Cell::new(0), Cell::new(0));
    let size = 3 << 20;
    let change = |file: &Recorded| resize::resize(file, Path::new("x"), size as u64).unwrap();
    cut(&original, change, |left| {
        let (disk, check) = look(directory.path(), &left);
        assert!(check.findings.is_empty(), "{:?}", check.findings);
        assert!(disk[..bytes.len()] == bytes && block::is_zero(&disk[bytes.len()..]));
        let which = if disk.len() == size { &new } else { &old };
        assert!([size, bytes.len()].contains(&disk.len()));
        which.set(which.get() + 1);
    });
    assert!(old.get() > 3 && new.get() >= 3, "{old:?} {new:?}");
}

#[test]
fn a_power_cut_leaves_a_repair_undone_or_done() {
    let directory = tempfile::tempdir().unwrap();
    let (mut original, bytes) = image(directory.path());
    // The first refcount block, and some flags of the first L2 table.
    let word = |image: &[u8], place: usize| {
        u64::from_be_bytes(image[place..place + 8].try_into().unwrap()) as usize & 0x00ff_ffff_ffff_fe00
    };
    let (block, l2) = (word(&original, word(&original, 48)), word(&original, word(&original, 40)));
    original[block + 20..block + 100].fill(3);
    original[l2] ^= 0x80;
    let before = look(directory.path(), &original).1;
    assert!(before.damages > 0 && before.leaks > 0);
    let clean = Cell::new(0);
    let change = |file: &Recorded| {
        let mut check = Check::default();
        repair::repair(file, Path::new("x"), &mut check).unwrap();
        assert!(check.is_clean());
    };
    cut(&original, change, |left| {
        let (disk, check) = look(directory.path(), &left);
        assert!(disk == bytes);
        assert!(check.leaks <= before.leaks && check.damages <= before.damages);
        clean.set(clean.get() + u32::from(check.findings.is_empty()));
    });
    assert!(clean.get() >= 3);
}

#[test]
fn what_is_no_image_is_damage() {
    let file = Recorded { bytes: Mutex::new(b"QFI\xfb".to_vec()), events: Mutex::default() };
    let error = resize::resize(&file, Path::new("x"), 512).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
}

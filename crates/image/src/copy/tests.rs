//! The engine against a layout that only takes notes.

use super::clone::Cloner;
use super::engine::Engine;
use super::layout::{Files, Layout, Packer, Packers, Place};
use super::partial::PartialImage;
use super::survey::Content;
use super::target::Target;
use super::{CHUNK, NoProgress};
use block::{
    BlockRead, BlockWrite, Extent, ExtentKind, Extents, FileDisk, FileLocation, Layered, MemoryDisk,
    check_span,
};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// What a layout was asked.
#[derive(Default)]
struct Notes {
    placed: Vec<Range<u64>>,
    zero: Vec<Range<u64>>,
}

/// Which bytes of the disk went where in the file.
type Places = Arc<Mutex<Vec<(Range<u64>, u64)>>>;

/// Puts data from byte `shift` of the file on, in the order in which it comes, with room for a table behind every
/// `piece` bytes of the disk.
struct NoteLayout {
    unit: u64,
    piece: u64,
    end: u64,
    packed: bool,
    notes: Arc<Mutex<Notes>>,
    places: Places,
}

impl Layout for NoteLayout {
    fn files(&self) -> Vec<String> {
        vec!["copy".to_owned()]
    }

    fn unit(&self) -> u64 {
        self.unit
    }

    fn place(&mut self, _files: &dyn Files, run: Range<u64>) -> io::Result<Place> {
        if self.piece > 0 && run.start.is_multiple_of(self.piece) {
            self.end += 4096;
        }
        let place = self.end;
        self.end += (run.end - run.start).next_multiple_of(self.unit);
        self.notes.lock().unwrap().placed.push(run.clone());
        self.places.lock().unwrap().push((run, place));
        Ok(Place::first(place))
    }

    fn zero(&mut self, _files: &dyn Files, range: Range<u64>) -> io::Result<()> {
        self.notes.lock().unwrap().zero.push(range);
        Ok(())
    }

    fn packers(&self) -> Option<Packers> {
        self.packed.then(|| Box::new(|| Box::new(Identity) as Box<dyn Packer>) as Packers)
    }

    fn finish(&mut self, _files: &dyn Files) -> io::Result<()> {
        Ok(())
    }
}

/// Packs nothing.
struct Identity;

impl Packer for Identity {
    fn pack(&mut self, _start: u64, _data: &[u8], _packed: &mut Vec<u8>) -> io::Result<bool> {
        Ok(false)
    }
}

/// What a copy by a [`NoteLayout`] left.
struct Copied {
    notes: Notes,
    /// The parts of the disk that were placed, as they stand in the file.
    parts: Vec<(Range<u64>, Vec<u8>)>,
    shared: u64,
    digest: Option<blake3::Hash>,
}

#[derive(Clone, Copy, Default)]
struct How {
    unit: u64,
    piece: u64,
    packed: bool,
    clones: bool,
    digest: bool,
}

fn copy(content: Content<'_>, how: How, directory: &std::path::Path) -> Copied {
    let target = directory.join("copy");
    let partial = PartialImage::create(&target, &["copy".to_owned()], true).unwrap();
    let (notes, places) = (Arc::<Mutex<Notes>>::default(), Places::default());
    let layout = NoteLayout {
        unit: how.unit,
        piece: how.piece,
        end: 8192,
        packed: how.packed,
        notes: Arc::clone(&notes),
        places: Arc::clone(&places),
    };
    let cloner = Cloner::willing(&partial);
    let mut engine_target = Target::new(&partial, Box::new(layout), 0);
    engine_target.cloner = how.clones.then_some(&cloner);
    let outcome = Engine::new(content, Some(engine_target), how.digest, &NoProgress).run(3).unwrap();
    partial.finish(false).unwrap();
    let file = FileDisk::open(&target).unwrap();
    let read = |(range, place): &(Range<u64>, u64)| {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        file.read_at(&mut bytes, *place).unwrap();
        (range.clone(), bytes)
    };
    let parts = places.lock().unwrap().iter().map(read).collect();
    let notes = std::mem::take(&mut *notes.lock().unwrap());
    Copied { notes, parts, shared: outcome.shared_bytes, digest: outcome.digest }
}

/// A layer that holds only some bytes of a disk, and zeroes in others.
struct Partial {
    size: u64,
    pieces: Vec<(Range<u64>, Option<u8>)>,
}

impl BlockRead for Partial {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        for (place, byte) in (offset..).zip(buf) {
            let piece = self.pieces.iter().find(|(range, _)| range.contains(&place));
            *byte = piece.and_then(|(_, byte)| *byte).unwrap_or(0);
        }
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        check_span(&range, self.size)?;
        let mut extents = Extents::new();
        let mut done = range.start;
        for (piece, byte) in &self.pieces {
            let kind = if byte.is_some() { ExtentKind::Data(None) } else { ExtentKind::Zero };
            let Some(extent) = (Extent { range: piece.clone(), kind }).clipped(&range) else { continue };
            extents.push(Extent::absent(done..extent.range.start));
            done = extent.range.end;
            extents.push(extent);
        }
        extents.push(Extent::absent(done..range.end));
        Ok(extents.into_vec())
    }
}

#[test]
fn a_layer_keeps_what_it_holds_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let size = 20 * CHUNK + 5000;
    let own: Arc<dyn BlockRead> = Arc::new(Partial {
        size,
        pieces: vec![
            (8192..8292, Some(5)),
            (65_536..70_000, None),
            (2 * CHUNK..9 * CHUNK, None),
            (10 * CHUNK..10 * CHUNK + 4096, Some(0)),
            (size - 1..size, Some(6)),
        ],
    });
    let below = MemoryDisk::from_bytes(vec![9; size as usize]);
    let whole = Layered::new(Arc::clone(&own), Some(Arc::new(below)));
    let content = Content::Layer { own: own.as_ref(), whole: &whole };
    for packed in [false, true] {
        let copied = copy(content, How { unit: 4096, packed, ..How::default() }, directory.path());
        let ranges: Vec<_> = copied.parts.iter().map(|(range, _)| range.clone()).collect();
        // Half a unit of zeroes is completed from below, as is half a unit of data.
        let last = size / 4096 * 4096;
        assert_eq!(ranges, [8192..12_288, 69_632..73_728, last..size]);
        assert_eq!(copied.notes.zero, [65_536..69_632, 2 * CHUNK..9 * CHUNK, 10 * CHUNK..10 * CHUNK + 4096]);
        for (range, bytes) in &copied.parts {
            let mut expected = vec![0; bytes.len()];
            whole.read_at(&mut expected, range.start).unwrap();
            assert!(*bytes == expected, "{range:?}");
        }
    }
}

/// A disk whose data lies in a file, moved by `shift` bytes.
struct Shifted {
    file: Arc<File>,
    inner: FileDisk,
    shift: u64,
}

impl BlockRead for Shifted {
    fn size(&self) -> u64 {
        self.inner.size() - self.shift
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        self.inner.read_at(buf, offset + self.shift)
    }

    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        check_span(&range, self.size())?;
        let location = FileLocation { file: Arc::clone(&self.file), offset: range.start + self.shift };
        Ok(vec![Extent { range, kind: ExtentKind::Data(Some(location)) }])
    }
}

#[test]
fn what_lies_in_a_file_arrives_cloned_or_copied() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = block::conformance::sample((9 * CHUNK + 12_345) as usize, 3);
    let path = directory.path().join("source");
    std::fs::write(&path, &bytes).unwrap();
    for shift in [0, 4096, 512] {
        let file = Arc::new(File::open(&path).unwrap());
        let source = Shifted { file, inner: FileDisk::open(&path).unwrap(), shift };
        for piece in [0, 2 * CHUNK] {
            for digest in [false, true] {
                let how = How { unit: 4096, piece, clones: true, digest, ..How::default() };
                let copied = copy(Content::Flat(&source), how, directory.path());
                let expected = &bytes[shift as usize..];
                let whole_chunks = expected.len() as u64 / CHUNK * CHUNK;
                assert_eq!(copied.shared, if shift == 512 { 0 } else { whole_chunks }, "{shift}");
                for (range, part) in &copied.parts {
                    let expected = &expected[range.start as usize..range.end as usize];
                    assert!(part == expected, "{shift} {piece} {range:?}");
                }
                let stored: u64 = copied.notes.placed.iter().map(|range| range.end - range.start).sum();
                assert!(stored >= copied.shared && copied.notes.zero.is_empty());
                assert_eq!(copied.digest, digest.then(|| blake3::hash(expected)));
            }
        }
    }
}

#[test]
fn disks_without_locations_are_copied_as_ever() {
    let directory = tempfile::tempdir().unwrap();
    let disk = MemoryDisk::new(5 * CHUNK);
    disk.write_at(b"here", 3 * CHUNK + 77).unwrap();
    let how = How { unit: 4096, clones: true, ..How::default() };
    let copied = copy(Content::Flat(&disk), how, directory.path());
    assert_eq!((copied.shared, copied.notes.zero.len(), copied.parts.len()), (0, 0, 1));
    assert_eq!(copied.parts[0].0, 3 * CHUNK..3 * CHUNK + 4096);
}

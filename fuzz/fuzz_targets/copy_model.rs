//! Copies of any disk to every format, whole and as a chain of two, against a plain vector of bytes; with digests and
//! comparisons on the way.
#![no_main]

use block::{BlockRead, BlockWrite, Extent, Extents, Layered, MemoryDisk, check_range, check_span, conformance};
use image::{
    Compression, CopyOptions, DirectoryGate, Format, Gate, Image, ImageLayer, NewImage, NewParent, NoProgress,
};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

const LARGEST: u64 = 5 << 20;
/// The unit in which the upper layer of the model holds something.
const PIECE: u64 = 512;

#[derive(Arbitrary, Debug)]
struct Input {
    size: u32,
    /// Place, length and byte, in units of a byte, a sector, a page or a cluster.
    writes: Vec<(u32, u32, u8, u8)>,
    /// The same for a layer above; byte 0 says zeroes.
    above: Vec<(u32, u32, u8)>,
    format: u8,
    subformat: u8,
    compression: u8,
    threads: u8,
}

/// A layer of pieces, each absent, zeroes, or filled with a byte.
struct Pieces {
    size: u64,
    pieces: Vec<Option<u8>>,
}

impl BlockRead for Pieces {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        check_range(offset, buf.len() as u64, self.size)?;
        for (place, byte) in (offset..).zip(buf) {
            *byte = self.pieces[(place / PIECE) as usize].unwrap_or(0);
        }
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        check_span(&range, self.size)?;
        let mut extents = Extents::new();
        for (start, piece) in (0..self.size).step_by(PIECE as usize).zip(&self.pieces) {
            let whole = start..(start + PIECE).min(self.size);
            let extent = match piece {
                None => Extent::absent(whole),
                Some(0) => Extent::zero(whole),
                Some(_) => Extent::data(whole),
            };
            extents.extend(extent.clipped(&range));
        }
        Ok(extents.into_vec())
    }
}

fn open(path: &Path, format: &'static Format) -> Image {
    let (gate, name) = DirectoryGate::for_file(path).expect("it is there");
    let gate: Arc<dyn Gate> = Arc::new(gate);
    let options = image::OpenOptions { format: Some(format), ..image::OpenOptions::default() };
    image::open_with(&gate, &name, &options).expect("it is sound")
}

/// Formats round a disk up to their own units, with zeroes.
fn assert_holds(disk: &dyn BlockRead, bytes: &[u8]) {
    let mut expected = bytes.to_vec();
    expected.resize(disk.size() as usize, 0);
    assert!(disk.size() >= bytes.len() as u64);
    conformance::read_often(disk, &expected, 3);
}

fn new_image(input: &Input) -> NewImage {
    let writable: Vec<_> = image::FORMATS.iter().filter(|format| format.is_writable()).collect();
    let format = writable[usize::from(input.format) % writable.len()];
    let mut new = NewImage::new(format);
    if !format.subformats.is_empty() {
        let index = usize::from(input.subformat) % format.subformats.len();
        new.subformat = Some(format.subformats[index].to_owned());
    }
    if format.name == "qcow2" {
        new.compression = [None, Some(Compression::Zlib), Some(Compression::Zstd)][usize::from(input.compression % 3)];
    }
    new
}

fuzz_target!(|input: Input| {
    let size = u64::from(input.size) % (LARGEST + 1);
    let source = MemoryDisk::new(size);
    for (place, length, byte, unit) in &input.writes {
        let unit = [1, 512, 4096, 65_536][usize::from(unit % 4)];
        let start = u64::from(*place) % (size + 1) / unit * unit;
        let length = u64::from(*length) % (size - start + 1) / unit * unit;
        source.write_at(&vec![*byte; length as usize], start).expect("it fits");
    }
    let expected = source.to_bytes();
    let directory = tempfile::tempdir().expect("there is a temporary directory");
    let path = directory.path().join("copy");
    let options =
        CopyOptions { threads: usize::from(input.threads % 5), sync: false, ..CopyOptions::default() };
    let new = new_image(&input);
    let report = match image::copy(Arc::new(source.clone()), &path, &new, &options, &NoProgress) {
        Ok(report) => report,
        // Not every format has a disk of nothing.
        Err(image::Error::Option { .. } | image::Error::TooLarge { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(report.blake3, Some(blake3::hash(&expected)));
    let copy = open(&path, new.format);
    assert_holds(&copy, &expected);
    assert_eq!(image::compare(&source, &copy, options.threads).expect("both can be read"), None);
    chain(&input, &source, &expected, directory.path(), &options);
});

/// A layer above the disk, copied to a qcow2 and from there, as a chain, to the format that is wanted.
fn chain(input: &Input, below: &MemoryDisk, expected: &[u8], directory: &Path, options: &CopyOptions) {
    let size = expected.len() as u64;
    if size == 0 {
        return;
    }
    let mut pieces = vec![None; size.div_ceil(PIECE) as usize];
    let mut expected = expected.to_vec();
    for (place, length, byte) in &input.above {
        let first = *place as usize % pieces.len();
        let last = (first + *length as usize % 300).min(pieces.len());
        pieces[first..last].fill(Some(*byte));
        let end = (last * PIECE as usize).min(expected.len());
        expected[first * PIECE as usize..end].fill(*byte);
    }
    let own: Arc<dyn BlockRead> = Arc::new(Pieces { size, pieces });
    let whole = Arc::new(Layered::new(Arc::clone(&own), Some(Arc::new(below.clone()))));
    let root = directory.join("root.qcow2");
    image::copy(Arc::new(below.clone()), &root, &NewImage::qcow2(), options, &NoProgress).expect("it can be copied");
    let parent = NewParent {
        name: "root.qcow2".to_owned(),
        absolute: root.display().to_string(),
        format: "qcow2",
        content_id: None,
        virtual_size: size,
        modified: 0,
    };
    let top = directory.join("top.qcow2");
    let new = NewImage { parent: Some(parent), ..NewImage::qcow2() };
    image::copy_layer(&ImageLayer { own, whole }, &top, &new, options, &NoProgress).expect("it can be copied");
    let chain = open(&top, new.format);
    assert_holds(&chain, &expected);
    let wanted = new_image(input);
    // A chain's layers keep their names, so they need a directory of their own.
    let target = directory.join("converted");
    std::fs::create_dir(&target).expect("it can be made");
    let target = target.join("top");
    match image::convert_chain(&chain, &target, &wanted, options, &NoProgress) {
        Ok(made) => {
            assert_eq!(made.len(), 2);
            assert_holds(&open(&target, wanted.format), &expected);
        }
        Err(image::Error::Option { .. } | image::Error::TooLarge { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

//! Every format that can be written, against a plain vector of bytes: random writes and discards become snapshots on
//! snapshots, every image is opened again, and each is copied to every other format.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use block::conformance::Random;
use block::{BlockRead, Extent, Extents, Layered, MemoryDisk};
use image::{CopyOptions, Error, Image, ImageLayer, NewImage, NewParent, NoProgress};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SECTOR: u64 = 512;

/// A snapshot as it is taken: what was written since its parent, sector by sector.
struct Changes {
    /// The whole disk; what is not changed is undefined in it.
    bytes: Vec<u8>,
    sectors: Vec<Sector>,
}

#[derive(Clone, Copy, PartialEq)]
enum Sector {
    Absent,
    Zero,
    Data,
}

impl Changes {
    fn new(bytes: &[u8]) -> Self {
        let sectors = vec![Sector::Absent; bytes.len() / SECTOR as usize];
        Self { bytes: bytes.to_vec(), sectors }
    }

    /// Some writes and discards, which `disk` undergoes too.
    fn random(disk: &mut [u8], random: &mut Random) -> Self {
        let size = disk.len() as u64;
        let mut changes = Self::new(disk);
        for _ in 0..1 + random.below(12) {
            let start = random.below(size / SECTOR);
            let longest = [1, 8, 130, 2200][random.below(4) as usize];
            let end = (start + 1 + random.below(longest)).min(size / SECTOR);
            let range = (start * SECTOR) as usize..(end * SECTOR) as usize;
            let sector = if random.below(3) == 0 { Sector::Zero } else { Sector::Data };
            match sector {
                Sector::Zero => disk[range.clone()].fill(0),
                _ => disk[range.clone()]
                    .copy_from_slice(&block::conformance::sample(range.len(), random.below(u64::MAX))),
            }
            changes.bytes[range.clone()].copy_from_slice(&disk[range]);
            changes.sectors[start as usize..end as usize].fill(sector);
        }
        changes
    }
}

impl BlockRead for Changes {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        block::check_range(offset, buf.len() as u64, self.size())?;
        for (place, byte) in (offset..).zip(buf) {
            *byte = match self.sectors[(place / SECTOR) as usize] {
                Sector::Absent => 0,
                _ => self.bytes[place as usize],
            };
        }
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        block::check_span(&range, self.size())?;
        let mut extents = Extents::new();
        let mut start = range.start;
        while start < range.end {
            let end = (start / SECTOR * SECTOR + SECTOR).min(range.end);
            extents.push(match self.sectors[(start / SECTOR) as usize] {
                Sector::Absent => Extent::absent(start..end),
                Sector::Zero => Extent::zero(start..end),
                Sector::Data => Extent::data(start..end),
            });
            start = end;
        }
        Ok(extents.into_vec())
    }
}

/// Nothing here has to survive a power cut.
fn options() -> CopyOptions {
    CopyOptions { sync: false, digest: false, ..CopyOptions::default() }
}

/// Every format that can be written, in each of its variants.
fn variants() -> Vec<NewImage> {
    let mut variants = Vec::new();
    for format in image::FORMATS.iter().filter(|format| format.is_writable()) {
        let plain = NewImage::new(format);
        if format.subformats.is_empty() {
            variants.push(plain.clone());
        }
        for subformat in format.subformats {
            variants.push(NewImage { subformat: Some((*subformat).to_owned()), ..plain.clone() });
        }
    }
    for compression in [image::Compression::Zlib, image::Compression::Zstd] {
        variants.push(NewImage { compression: Some(compression), ..NewImage::qcow2() });
    }
    variants
}

fn label(new: &NewImage) -> String {
    let compression = new.compression.map(|compression| format!("-{compression:?}")).unwrap_or_default();
    format!(
        "{}{}{compression}",
        new.format.name,
        new.subformat.as_ref().map(|name| format!("-{name}")).unwrap_or_default()
    )
}

fn place(directory: &Path, name: &str, new: &NewImage) -> PathBuf {
    directory.join(format!("{name}.{}", new.format.endings.first().unwrap()))
}

/// Some formats count in larger units than bytes: what follows the disk reads as zeroes.
#[track_caller]
fn assert_holds(image: &Image, expected: &[u8], what: &str) {
    assert!(image.size() >= expected.len() as u64, "{what}: {} of {} bytes", image.size(), expected.len());
    let mut bytes = vec![0; image.size() as usize];
    image.read_at(&mut bytes, 0).unwrap();
    let differs =
        bytes.iter().zip(expected.iter().chain(std::iter::repeat(&0))).position(|(one, other)| one != other);
    assert_eq!(differs, None, "{what}");
    for extent in image.extents(0..image.size()).unwrap().iter().filter(|extent| !extent.is_data()) {
        let range = extent.range.start as usize..extent.range.end as usize;
        assert!(block::is_zero(&bytes[range.clone()]), "{what}: {range:?} is said to be zeroes");
    }
}

/// Takes `steps` snapshots in the format of `new`; answers whether the format has snapshots at all.
fn snapshots(new: &NewImage, steps: usize, seed: u64) -> bool {
    let mut random = Random::new(seed);
    let directory = tempfile::tempdir().unwrap();
    let size = 3 << 20;
    let mut disk = support::disk(size);
    let mut top = place(directory.path(), "0", new);
    let source = Arc::new(MemoryDisk::from_bytes(disk.clone()));
    image::copy(source, &top, new, &options(), &NoProgress).unwrap();
    for step in 1..=steps {
        let below = support::open(&top).unwrap();
        let info = &below.info().layers[0];
        let parent = NewParent {
            name: top.file_name().unwrap().to_str().unwrap().to_owned(),
            absolute: top.to_str().unwrap().to_owned(),
            format: info.format,
            content_id: info.content_id.clone(),
            virtual_size: below.size(),
            modified: 1_700_000_000,
        };
        let child = NewImage { subformat: None, parent: Some(parent), ..new.clone() };
        disk.resize(below.size() as usize, 0);
        let own: Arc<dyn BlockRead> = Arc::new(Changes::random(&mut disk, &mut random));
        let whole = Arc::new(Layered::new(Arc::clone(&own), Some(Arc::new(below))));
        top = place(directory.path(), &step.to_string(), new);
        match image::copy_layer(&ImageLayer { own, whole }, &top, &child, &options(), &NoProgress) {
            Err(Error::Option { .. }) if step == 1 => return false,
            other => drop(other.unwrap()),
        }
        let image = support::open(&top).unwrap();
        assert_eq!(image.layers().len(), step + 1);
        assert_holds(&image, &disk, &format!("{}, seed {seed}, snapshot {step}", label(new)));
        let (gate, name) = image::DirectoryGate::for_file(&top).unwrap();
        let gate: Arc<dyn image::Gate> = Arc::new(gate);
        let check = image::check(&gate, &name, &image::OpenOptions::default()).unwrap();
        assert!(check.is_clean(), "{}: {:?}", label(new), check.findings);
    }
    true
}

#[test]
fn snapshots_on_snapshots_read_as_what_was_written() {
    let mut formats: Vec<_> = variants();
    formats.dedup_by_key(|new| (new.format.name, new.compression));
    let with: Vec<_> =
        formats.iter().filter(|new| (1..4).all(|seed| snapshots(new, 4, seed))).map(label).collect();
    println!("with snapshots: {}", with.join(", "));
    for format in ["vmdk", "vhd", "vhdx", "qcow2"] {
        assert!(with.iter().any(|label| label.starts_with(format)), "{format} has none: {with:?}");
    }
}

#[test]
fn every_format_to_every_other() {
    let directory = tempfile::tempdir().unwrap();
    let disk = support::disk((5 << 20) + 3 * 512);
    let variants = variants();
    let images: Vec<_> = variants
        .iter()
        .map(|new| {
            let path = place(directory.path(), &label(new), new);
            let source = Arc::new(MemoryDisk::from_bytes(disk.clone()));
            image::copy(source, &path, new, &options(), &NoProgress).unwrap();
            let image = support::open(&path).unwrap();
            assert_holds(&image, &disk, &label(new));
            Arc::new(image)
        })
        .collect();
    let mut pairs = 0;
    for (from, image) in variants.iter().zip(&images) {
        for to in &variants {
            let what = format!("{} to {}", label(from), label(to));
            let folder = directory.path().join(&what);
            std::fs::create_dir(&folder).unwrap();
            let path = place(&folder, "copy", to);
            let source = Arc::clone(image) as Arc<dyn BlockRead>;
            image::copy(source, &path, to, &options(), &NoProgress).unwrap();
            assert_holds(&support::open(&path).unwrap(), &disk, &what);
            std::fs::remove_dir_all(&folder).unwrap();
            pairs += 1;
        }
    }
    println!("{pairs} pairs of {}", variants.iter().map(label).collect::<Vec<_>>().join(", "));
}

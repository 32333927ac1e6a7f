//! The overlay against the conformance suite, a model, and threads.

use super::*;
use crate::layered::tests::Striped;
use crate::{ExtentKind, FileDisk, Layered, MemoryDisk, Window, ZeroDisk, conformance};
use proptest::prelude::*;

/// An overlay that spills after one block, so that most tests see both places.
fn overlay(base: impl BlockRead + 'static) -> Overlay {
    let options = OverlayOptions { memory_limit: BLOCK, spill_directory: std::env::temp_dir() };
    Overlay::new(Arc::new(base), options)
}

#[test]
fn conforms() {
    conformance::write(|size| overlay(ZeroDisk::new(size)));
    conformance::parallel(|size| overlay(ZeroDisk::new(size)));
}

#[test]
fn conforms_over_data() {
    for (seed, size) in (0..).zip([1, 4095, 65_537, 500_001, 1 << 20]) {
        let mut model = conformance::sample(size, seed);
        let disk = overlay(MemoryDisk::from_bytes(model.clone()));
        conformance::read(&disk, &model);
        conformance::operations(&disk, &mut model, seed, 500);
        conformance::read(&disk, &model);
    }
}

#[test]
fn the_base_is_never_resurrected() {
    let disk = overlay(MemoryDisk::from_bytes(vec![7; 400_000]));
    disk.discard(1000..390_000).unwrap();
    // A write and another discard in a discarded block, then a look at its neighbours' bytes.
    disk.write_at(&[1; 10], 200_000).unwrap();
    disk.discard(200_000..200_010).unwrap();
    disk.write_at(&[2; 1], 5000).unwrap();
    let mut expected = vec![7; 400_000];
    expected[1000..390_000].fill(0);
    expected[5000] = 2;
    conformance::read(&disk, &expected);
}

#[test]
fn a_huge_disk_costs_nothing() {
    let size = 64 << 40;
    let disk = overlay(ZeroDisk::new(size));
    disk.zero(1..size - 1).unwrap();
    disk.discard(0..size).unwrap();
    disk.write_at(&[1; 100], size - 100).unwrap();
    assert_eq!(disk.changed_bytes(), GRAIN);
    let extents = disk.extents(0..size).unwrap();
    assert_eq!(extents.len(), 2, "{extents:?}");
    disk.discard(0..size).unwrap();
    assert_eq!(disk.changed_bytes(), 0);
    assert!(disk.shards.iter().all(|shard| shared(shard).is_empty()));

    let largest = overlay(ZeroDisk::new(u64::MAX));
    largest.write_at(&[1; 10], u64::MAX - 10).unwrap();
    largest.zero(0..u64::MAX).unwrap();
    let mut end = [9; 10];
    largest.read_at(&mut end, u64::MAX - 10).unwrap();
    assert_eq!(end, [0; 10]);
}

/// A base of zeroes that counts the bytes read from it.
struct Counting(ZeroDisk, AtomicU64);

impl BlockRead for Counting {
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.1.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.0.read_at(buf, offset)
    }
    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        self.0.extents(range)
    }
}

#[test]
fn only_partial_grains_are_copied_up() {
    let base = Arc::new(Counting(ZeroDisk::new(10 << 20), AtomicU64::new(0)));
    let disk = overlay(Arc::clone(&base));
    let copied = |change: &dyn Fn()| {
        let before = base.1.load(Ordering::Relaxed);
        change();
        base.1.load(Ordering::Relaxed) - before
    };
    assert_eq!(copied(&|| disk.write_at(&vec![1; 1 << 20], 1 << 20).unwrap()), 0);
    assert_eq!(copied(&|| disk.write_at(&[1; 8192], 100).unwrap()), 2 * GRAIN);
    assert_eq!(copied(&|| disk.write_at(&[1; 10], 5 << 20).unwrap()), GRAIN);
    assert_eq!(copied(&|| disk.write_at(&[1; 10], (5 << 20) + 10).unwrap()), 0);
    assert_eq!(disk.changed_bytes(), (1 << 20) + 4 * GRAIN);
    // A read goes to the base once for a run of any length.
    assert_eq!(copied(&|| disk.read_at(&mut vec![0; 1 << 20], 1 << 20).unwrap()), 0);
    assert_eq!(copied(&|| disk.read_at(&mut vec![0; 1 << 20], 8 << 20).unwrap()), 1 << 20);
}

#[test]
fn extents_say_what_changed_and_where_the_rest_lies() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, &[5; 300_000]).unwrap();
    let disk = overlay(FileDisk::open(file.path()).unwrap());
    disk.write_at(&[6; 4096], 8192).unwrap();
    disk.zero(131_072..196_608).unwrap();
    let said: Vec<_> = disk
        .extents(0..300_000)
        .unwrap()
        .into_iter()
        .map(|extent| match extent.kind {
            ExtentKind::Data(Some(location)) => (extent.range, format!("base at {}", location.offset)),
            ExtentKind::Data(None) => (extent.range, "changed".to_owned()),
            ExtentKind::Zero => (extent.range, "zero".to_owned()),
            ExtentKind::Absent => (extent.range, "absent".to_owned()),
        })
        .collect();
    assert_eq!(
        said,
        [
            (0..8192, "base at 0".to_owned()),
            (8192..12_288, "changed".to_owned()),
            (12_288..131_072, "base at 12288".to_owned()),
            (131_072..196_608, "zero".to_owned()),
            (196_608..300_000, "base at 196608".to_owned()),
        ]
    );
}

#[test]
fn a_spill_file_that_cannot_be_made_fails_the_write_and_changes_nothing() {
    let options = OverlayOptions { memory_limit: 0, spill_directory: "/nonexistent".into() };
    let disk = Overlay::new(Arc::new(MemoryDisk::from_bytes(vec![3; 100_000])), options);
    assert!(disk.write_at(&[1; 10], 5).is_err());
    conformance::read(&disk, &vec![3; 100_000]);
    // Zeroes need no room.
    disk.zero(4096..8192).unwrap();
    assert_eq!(disk.changed_bytes(), 0);
}

#[test]
fn readers_see_whole_grains_while_writers_and_discards_go_on() {
    let disk = overlay(MemoryDisk::from_bytes(vec![1; 1 << 20]));
    std::thread::scope(|scope| {
        for writer in 0..2_u64 {
            let disk = &disk;
            scope.spawn(move || {
                let mut random = conformance::Random::new(writer);
                for _ in 0..2000 {
                    let grain = random.below(256) * GRAIN;
                    match random.below(3) {
                        0 => disk.zero(grain..(grain + 20 * GRAIN).min(1 << 20)).unwrap(),
                        _ => disk.write_at(&[2; GRAIN as usize], grain).unwrap(),
                    }
                }
            });
        }
        for reader in 0..2_u64 {
            let disk = &disk;
            scope.spawn(move || {
                let mut random = conformance::Random::new(reader + 10);
                let mut grain = [0; GRAIN as usize];
                for _ in 0..2000 {
                    disk.read_at(&mut grain, random.below(256) * GRAIN).unwrap();
                    assert!(grain[0] <= 2 && grain.iter().all(|byte| *byte == grain[0]));
                    disk.extents(0..1 << 20).unwrap();
                }
            });
        }
    });
    let data: u64 =
        disk.extents(0..1 << 20).unwrap().iter().filter(|extent| extent.is_data()).map(Extent::len).sum();
    assert!(disk.changed_bytes() <= data);
}

#[derive(Clone, Debug)]
enum Operation {
    Write(Range<u64>, u8),
    Zero(Range<u64>),
    Discard(Range<u64>),
}

fn operation(size: u64) -> impl Strategy<Value = Operation> {
    let range = (0..=size, 0..=size, prop::sample::select(vec![1, 512, 4096, 65_536])).prop_map(
        move |(start, length, unit): (u64, u64, u64)| {
            let start = start / unit * unit;
            start..(start + length / 3 / unit * unit).min(size).max(start)
        },
    );
    (range, any::<u8>(), 0..4).prop_map(|(range, byte, kind)| match kind {
        0 => Operation::Zero(range),
        1 => Operation::Discard(range),
        _ => Operation::Write(range, byte),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The whole stack that a migration reads through: an overlay over a chain of layers in a window.
    #[test]
    fn over_layers_in_a_window_it_is_a_vector(operations in prop::collection::vec(operation(200_000), 1..40)) {
        let (top, parent) = (conformance::sample(200_300, 1), conformance::sample(150_000, 2));
        let absent = |place: usize| (place / 5000) % 2 == 1;
        let mut model: Vec<u8> = (300..200_300)
            .map(|place| if absent(place) { parent.get(place).copied().unwrap_or(0) } else { top[place] })
            .collect();
        let layered = Layered::new(
            Arc::new(Striped { bytes: top, grain: 5000 }),
            Some(Arc::new(MemoryDisk::from_bytes(parent))),
        );
        let disk = overlay(Window::new(layered, 300..200_300).unwrap());
        for operation in operations {
            match operation {
                Operation::Write(range, byte) => {
                    model[range.start as usize..range.end as usize].fill(byte);
                    disk.write_at(&vec![byte; (range.end - range.start) as usize], range.start).unwrap();
                }
                Operation::Zero(range) => {
                    model[range.start as usize..range.end as usize].fill(0);
                    disk.zero(range).unwrap();
                }
                Operation::Discard(range) => {
                    model[range.start as usize..range.end as usize].fill(0);
                    disk.discard(range).unwrap();
                }
            }
        }
        let mut read = vec![1; model.len()];
        disk.read_at(&mut read, 0).unwrap();
        prop_assert!(read == model);
        conformance::check_extents(&disk, &model, 0..model.len() as u64);
    }
}

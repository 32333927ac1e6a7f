//! VHDs: QEMU's read, ours read by QEMU, 7-Zip and libvhdi, differencing ones, and those that lie.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use block::{BlockRead, BlockWrite, Extent, Extents, MemoryDisk};
use image::{CopyOptions, ErrorKind, NewImage, NewParent, NoProgress};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use support::{disk, failure, file, open, qemu_img};

const BLOCK: usize = 2 << 20;
const MIB: usize = 1 << 20;
/// Where the dynamic disk header is.
const HEADER: usize = 512;

fn new(subformat: &str) -> NewImage {
    NewImage { subformat: Some(subformat.to_owned()), ..NewImage::new(image::by_name("vhd").unwrap()) }
}

fn copy(source: Arc<dyn BlockRead>, target: &Path, new: &NewImage) {
    let options = CopyOptions { overwrite: true, digest: false, ..CopyOptions::default() };
    image::copy(source, target, new, &options, &NoProgress).unwrap();
}

/// Writes `bytes` as a VHD called `disk.vhd`.
fn write(directory: &Path, bytes: &[u8], new: &NewImage) -> PathBuf {
    let target = directory.join("disk.vhd");
    copy(Arc::new(MemoryDisk::from_bytes(bytes.to_vec())), &target, new);
    target
}

/// What 7-Zip finds in the VHD at `path`, over its parent.
fn seven_zip(path: &Path) -> Vec<u8> {
    let output = Command::new("7zz")
        .args(["e", "-tvhd", "-so"])
        .arg(path)
        .output()
        .expect("7zz runs (./dev test installs it: Debian package 7zip)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What libvhdi finds in the VHD at the first of `paths`, over the second, and so on.
fn libvhdi(paths: &[&Path]) -> Vec<u8> {
    const READ: &str = "
import pyvhdi, sys
files = []
for path in sys.argv[1:]:
    files.append(pyvhdi.file())
    files[-1].open(path)
for child, parent in reversed(list(zip(files, files[1:]))):
    child.set_parent(parent)
left = files[0].get_media_size()
while left > 0:
    piece = files[0].read_buffer(min(left, 1 << 20))
    left -= len(piece)
    sys.stdout.buffer.write(piece)
";
    // Debian's own Python: the module is built for no other.
    let output = Command::new("/usr/bin/python3")
        .args(["-c", READ])
        .args(paths)
        .output()
        .expect("/usr/bin/python3 runs (./dev test installs it: Debian package python3-libvhdi)");
    assert!(
        output.status.success(),
        "libvhdi reads (./dev test installs it: Debian package python3-libvhdi): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

fn number(bytes: &[u8], place: usize) -> usize {
    u32::from_be_bytes(bytes[place..place + 4].try_into().unwrap()) as usize
}

/// Gives the structure of `length` bytes at `start`, whose checksum is `place` bytes into it, its checksum.
fn seal(image: &mut [u8], start: usize, length: usize, place: usize) {
    image[start + place..start + place + 4].fill(0);
    let sum: u32 = image[start..start + length].iter().map(|byte| u32::from(*byte)).sum();
    image[start + place..start + place + 4].copy_from_slice(&(!sum).to_be_bytes());
}

fn seal_footer(image: &mut [u8], start: usize) {
    seal(image, start, 512, 64);
}

/// `image` with `bytes` at `place` of its last footer.
fn with_footer(image: &[u8], place: usize, bytes: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    let start = image.len() - 512;
    image[start + place..start + place + bytes.len()].copy_from_slice(bytes);
    seal_footer(&mut image, start);
    image
}

/// `image` with `bytes` at `place` of its dynamic disk header.
fn with_header(image: &[u8], place: usize, bytes: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    image[HEADER + place..HEADER + place + bytes.len()].copy_from_slice(bytes);
    seal(&mut image, HEADER, 1024, 36);
    image
}

#[test]
fn images_of_qemu_read_as_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    // The second size is not one that a geometry can say.
    for size in [17 * 4 * 512 * 30, BLOCK + 512, 3 * BLOCK + 7 * 512] {
        let bytes = disk(size);
        file(directory.path(), "disk.raw", &bytes);
        for kind in ["dynamic", "fixed"] {
            for force_size in ["on", "off"] {
                let options = format!("subformat={kind},force_size={force_size}");
                let arguments = ["convert", "-f", "raw", "-O", "vpc", "-o", &options, "disk.raw", "q.vhd"];
                qemu_img(directory.path(), &arguments);
                let image = open(&directory.path().join("q.vhd")).unwrap();
                assert_eq!((image.info().format, image.info().subformat.as_deref()), ("vhd", Some(kind)));
                // By the geometry, which is rounded up.
                let mut expected = bytes.clone();
                if force_size == "off" {
                    assert!((size..size + MIB).contains(&(image.size() as usize)), "{}", image.size());
                    expected.resize(image.size() as usize, 0);
                }
                block::conformance::read(&image, &expected);
            }
        }
    }
}

#[test]
fn images_of_ours_are_read_by_others() {
    let directory = tempfile::tempdir().unwrap();
    for size in [512, BLOCK - 512, BLOCK, 9 * MIB + 512] {
        let bytes = disk(size);
        file(directory.path(), "disk.raw", &bytes);
        let small = NewImage { cluster_size: Some(1 << 20), ..new("dynamic") };
        for new in [new("dynamic"), new("fixed"), small] {
            let path = write(directory.path(), &bytes, &new);
            block::conformance::read(&open(&path).unwrap(), &bytes);
            let info = qemu_img(directory.path(), &["info", "-f", "vpc", "disk.vhd"]);
            assert!(info.contains(&format!("({size} bytes)")), "{info}");
            qemu_img(directory.path(), &["compare", "-f", "raw", "-F", "vpc", "disk.raw", "disk.vhd"]);
            assert!(seven_zip(&path) == bytes, "{size} {new:?}");
            assert!(libvhdi(&[&path]) == bytes, "{size} {new:?}");
        }
    }
}

#[test]
fn sizes_are_whole_sectors() {
    let directory = tempfile::tempdir().unwrap();
    for (size, expected) in [(0, 0), (1000, 1024)] {
        for subformat in ["dynamic", "fixed"] {
            let mut bytes = vec![3; size];
            let path = write(directory.path(), &bytes, &new(subformat));
            bytes.resize(expected, 0);
            block::conformance::read(&open(&path).unwrap(), &bytes);
        }
    }
}

#[test]
fn data_lies_at_multiples_of_4096_bytes_and_zeroes_are_holes() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = vec![0; 8 * BLOCK];
    bytes[3 * BLOCK + 5000] = 1;
    bytes[6 * BLOCK..6 * BLOCK + 20_000].fill(2);
    let on_disk = |path: &Path| std::fs::metadata(path).unwrap().blocks() * 512;
    for subformat in ["dynamic", "fixed"] {
        let path = write(directory.path(), &bytes, &new(subformat));
        assert!(on_disk(&path) < 64 << 10);
        let image = open(&path).unwrap();
        let extents = image.extents(0..image.size()).unwrap();
        let data: Vec<&Extent> = extents.iter().filter(|extent| extent.is_data()).collect();
        assert_eq!(data.len(), 2);
        for extent in data {
            let block::ExtentKind::Data(Some(location)) = &extent.kind else { panic!("{extent:?}") };
            assert_eq!((location.offset % 4096, extent.range.start % 4096), (0, 0));
        }
    }
    let path = write(directory.path(), &bytes, &NewImage { preallocate: true, ..new("fixed") });
    assert!(on_disk(&path) >= 8 * BLOCK as u64);
    block::conformance::read(&open(&path).unwrap(), &bytes);
}

#[test]
fn the_largest_disk_with_little_on_it() {
    let directory = tempfile::tempdir().unwrap();
    let size = 2040 << 30;
    let source = MemoryDisk::new(size);
    let places = [0, (1 << 30) + 77, (1 << 40) - 1, size - 1];
    for place in places {
        source.write_at(&[0x42], place).unwrap();
    }
    let target = directory.path().join("huge.vhd");
    copy(Arc::new(source.clone()), &target, &new("dynamic"));
    let info = qemu_img(directory.path(), &["info", "-f", "vpc", "huge.vhd"]);
    assert!(info.contains(&format!("({size} bytes)")), "{info}");
    let copy = open(&target).unwrap();
    for place in places {
        let mut byte = [0];
        copy.read_at(&mut byte, place).unwrap();
        assert_eq!(byte, [0x42], "{place}");
    }
    let larger = Arc::new(MemoryDisk::new(size + 512));
    let error =
        image::copy(larger, &target, &new("fixed"), &CopyOptions::default(), &NoProgress).unwrap_err();
    assert!(matches!(error, image::Error::TooLarge { format: "vhd", .. }), "{error}");
}

#[test]
fn the_size_goes_by_the_creator() {
    let directory = tempfile::tempdir().unwrap();
    let size = 9 * MIB + 512;
    let path = write(directory.path(), &disk(size), &new("dynamic"));
    let image = std::fs::read(&path).unwrap();
    let geometry = image.len() - 512 + 56;
    let by_geometry = usize::from(u16::from_be_bytes([image[geometry], image[geometry + 1]]))
        * usize::from(image[geometry + 2])
        * usize::from(image[geometry + 3])
        * 512;
    assert!(by_geometry < size);
    for (creator, expected) in [
        (b"vpc ", by_geometry),
        (b"qemu", by_geometry),
        (b"win ", size),
        (b"qem2", size),
        (b"d2v ", size),
        (b"tap\0", size),
        (b"vbox", size),
        (b"CTXS", size),
        (b"vs  ", size),
    ] {
        let mut changed = with_footer(&image, 28, creator);
        let footer = changed.len() - 512;
        changed.copy_within(footer.., 0);
        std::fs::write(&path, changed).unwrap();
        assert_eq!(open(&path).unwrap().size(), expected as u64, "{creator:?}");
        let info = qemu_img(directory.path(), &["info", "-f", "vpc", "disk.vhd"]);
        assert!(info.contains(&format!("({expected} bytes)")), "{creator:?} {info}");
    }
}

#[test]
fn a_footer_that_is_damaged_is_replaced_by_its_copy() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = disk(3 * BLOCK);
    let path = write(directory.path(), &bytes, &new("dynamic"));
    let image = std::fs::read(&path).unwrap();
    for change in [
        |image: &mut Vec<u8>| *image.last_mut().unwrap() = 1,
        |image: &mut Vec<u8>| image.truncate(image.len() - 512),
        |image: &mut Vec<u8>| image.extend_from_slice(&[7; 1000]),
    ] {
        let mut changed = image.clone();
        change(&mut changed);
        std::fs::write(&path, changed).unwrap();
        let image = open(&path).unwrap();
        assert!(image.info().layers[0].facts["footer"].starts_with("damaged"));
        block::conformance::read(&image, &bytes);
    }
    // The copy is not needed.
    let mut changed = image;
    changed[..512].fill(0);
    std::fs::write(&path, changed).unwrap();
    block::conformance::read(&open(&path).unwrap(), &bytes);
}

#[test]
fn footers_of_511_bytes_are_read() {
    let directory = tempfile::tempdir().unwrap();
    for subformat in ["dynamic", "fixed"] {
        let bytes = disk(3 * BLOCK);
        let path = write(directory.path(), &bytes, &new(subformat));
        let mut image = std::fs::read(&path).unwrap();
        image.pop();
        std::fs::write(&path, image).unwrap();
        block::conformance::read(&open(&path).unwrap(), &bytes);
    }
}

#[test]
fn a_raw_disk_that_ends_like_a_vhd_is_raw_unless_the_checksum_is_right() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), &disk(MIB), &new("fixed"));
    let mut image = std::fs::read(&path).unwrap();
    *image.last_mut().unwrap() = 1;
    std::fs::write(&path, &image).unwrap();
    assert_eq!(open(&path).unwrap().info().format, "raw");
}

#[test]
fn sectors_that_were_never_written_are_zeroes() {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = disk(BLOCK);
    bytes[..8192].fill(9);
    let path = write(directory.path(), &bytes, &new("dynamic"));
    let mut image = std::fs::read(&path).unwrap();
    let bitmap = number(&image, 1536) * 512;
    image[bitmap] = 0b0101_1111;
    std::fs::write(&path, &image).unwrap();
    let mut expected = bytes.clone();
    expected[..512].fill(0);
    expected[1024..1536].fill(0);
    block::conformance::read(&open(&path).unwrap(), &expected);
    // libvhdi looks at whole bytes of a bitmap.
    image[bitmap] = 0;
    std::fs::write(&path, &image).unwrap();
    bytes[..4096].fill(0);
    block::conformance::read(&open(&path).unwrap(), &bytes);
    assert!(libvhdi(&[&path]) == bytes);
}

/// A child's disk: `bytes`, of which only `changed` is its own.
struct Child {
    bytes: Vec<u8>,
    changed: Vec<Range<u64>>,
}

impl BlockRead for Child {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        buf.copy_from_slice(&self.bytes[offset as usize..][..buf.len()]);
        Ok(())
    }
    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        let mut extents = Extents::new();
        let mut start = range.start;
        for changed in &self.changed {
            let own = changed.start.clamp(start, range.end)..changed.end.clamp(start, range.end);
            extents.push(Extent::absent(start..own.start));
            extents.push(Extent::data(own.clone()));
            start = own.end;
        }
        extents.push(Extent::absent(start..range.end));
        Ok(extents.into_vec())
    }
}

/// Writes a child called `name` of the VHD at `parent`, which differs in `changed`; answers with what it reads as.
fn write_child(parent: &Path, name: &str, changed: &[Range<u64>]) -> Vec<u8> {
    let opened = open(parent).unwrap();
    let mut bytes = vec![0; opened.size() as usize];
    opened.read_at(&mut bytes, 0).unwrap();
    for range in changed {
        bytes[range.start as usize..range.end as usize].fill(name.len() as u8);
    }
    let new = NewImage {
        parent: Some(NewParent {
            name: parent.file_name().unwrap().to_str().unwrap().to_owned(),
            absolute: parent.to_str().unwrap().to_owned(),
            format: opened.info().format,
            content_id: opened.info().layers[0].content_id.clone(),
            virtual_size: opened.size(),
            modified: 1_700_000_000,
        }),
        subformat: None,
        ..new("dynamic")
    };
    let child = Child { bytes: bytes.clone(), changed: changed.to_vec() };
    copy(Arc::new(child), &parent.with_file_name(name), &new);
    bytes
}

#[test]
fn a_differencing_image_of_ours_is_read_by_others() {
    let directory = tempfile::tempdir().unwrap();
    let parent = write(directory.path(), &disk(9 * MIB + 512), &new("dynamic"));
    let size = 9 * MIB as u64 + 512;
    let changes = [8192..20_480, (2 << 20) - 4096..(2 << 20) + 4096, 5 << 20..6 << 20, size - 512..size];
    let expected = write_child(&parent, "child ü.vhd", &changes);
    let child = directory.path().join("child ü.vhd");
    let image = open(&child).unwrap();
    assert_eq!(image.info().layers.len(), 2);
    assert_eq!(image.info().subformat.as_deref(), Some("differencing"));
    block::conformance::read(&image, &expected);
    assert!(seven_zip(&child) == expected);
    assert!(libvhdi(&[&child, &parent]) == expected);

    // And one on top of it, over a fixed one.
    let expected = write_child(&child, "grandchild.vhd", &changes[1..3]);
    let grandchild = directory.path().join("grandchild.vhd");
    assert_eq!(open(&grandchild).unwrap().info().layers.len(), 3);
    block::conformance::read(&open(&grandchild).unwrap(), &expected);
    assert!(seven_zip(&grandchild) == expected);
    assert!(libvhdi(&[&grandchild, &child, &parent]) == expected);
    let fixed = write(directory.path(), &disk(MIB), &new("fixed"));
    let expected = write_child(&fixed, "other.vhd", std::slice::from_ref(&(4096..8192)));
    block::conformance::read(&open(&directory.path().join("other.vhd")).unwrap(), &expected);
}

#[test]
fn a_child_holds_little_more_than_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let parent = write(directory.path(), &disk(8 * BLOCK), &new("dynamic"));
    let changed = 2 * BLOCK as u64 + 8192..2 * BLOCK as u64 + 12_288;
    write_child(&parent, "child.vhd", std::slice::from_ref(&changed));
    let image = open(&directory.path().join("child.vhd")).unwrap();
    let own = image.layers()[0].own.extents(0..image.size()).unwrap();
    let data: Vec<_> =
        own.iter().filter(|extent| extent.is_data()).map(|extent| extent.range.clone()).collect();
    assert_eq!(data, [changed]);
    assert!(own.iter().all(|extent| extent.is_data() || matches!(extent.kind, block::ExtentKind::Absent)));
}

#[test]
fn a_parent_is_found_beside_its_child_and_must_be_the_one() {
    let directory = tempfile::tempdir().unwrap();
    let parent = write(directory.path(), &disk(BLOCK), &new("dynamic"));
    let expected = write_child(&parent, "child.vhd", std::slice::from_ref(&(0..4096)));
    // Both are moved away together.
    let elsewhere = tempfile::tempdir().unwrap();
    for name in ["disk.vhd", "child.vhd"] {
        std::fs::rename(directory.path().join(name), elsewhere.path().join(name)).unwrap();
    }
    let child = elsewhere.path().join("child.vhd");
    block::conformance::read(&open(&child).unwrap(), &expected);

    let parent = elsewhere.path().join("disk.vhd");
    let other = with_footer(&std::fs::read(&parent).unwrap(), 68, &[7; 16]);
    std::fs::write(&parent, other).unwrap();
    let error = open(&child).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ParentChanged);
    assert!(error.to_string().contains("its content ID is 07070707070707070707070707070707"), "{error}");

    std::fs::write(&parent, [7; 4096]).unwrap();
    assert!(failure(&child).ends_with("disk.vhd: the file has no footer"), "{}", failure(&child));
    std::fs::remove_file(&parent).unwrap();
    assert_eq!(open(&child).unwrap_err().kind(), ErrorKind::Missing);
}

#[test]
fn a_parent_without_an_identifier_is_a_raw_disk() {
    let directory = tempfile::tempdir().unwrap();
    let parent = write(directory.path(), &disk(BLOCK), &new("fixed"));
    let expected = write_child(&parent, "child.vhd", std::slice::from_ref(&(0..4096)));
    let child = directory.path().join("child.vhd");
    let image = with_header(&std::fs::read(&child).unwrap(), 40, &[0; 16]);
    std::fs::write(&child, image).unwrap();
    file(directory.path(), "disk.vhd", &disk(BLOCK));
    let image = open(&child).unwrap();
    assert_eq!(image.info().layers[1].format, "raw");
    block::conformance::read(&image, &expected);
}

#[test]
fn structures_that_lie() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), &disk(3 * BLOCK), &new("dynamic"));
    let image = std::fs::read(&path).unwrap();
    let footer = |place, bytes: &[u8]| with_footer(&image, place, bytes);
    let header = |place, bytes: &[u8]| with_header(&image, place, bytes);
    let mut unsealed = image.clone();
    unsealed[HEADER + 900] = 1;
    let mut table = image.clone();
    table[1540..1544].copy_from_slice(&0x00ff_ffff_u32.to_be_bytes());
    for (changed, reason) in [
        (footer(12, &[0, 9]), "version 9.0 of the footer is unknown"),
        (footer(60, &[0, 0, 0, 5]), "disk type 5 is unknown"),
        (footer(48, &[0x7f; 8]), "a size of 9187201950435737088 bytes is absurd"),
        (footer(48, &[0, 1, 0, 0]), "134217731 blocks are absurd"),
        (footer(48, &[0, 0, 0, 1]), "a block allocation table of 3 entries is too small for 2051 blocks"),
        (footer(16, &[0x7f; 8]), "the file ends inside the dynamic disk header"),
        (footer(16, &[0xff; 8]), "the file ends inside the dynamic disk header"),
        (footer(16, &[0; 8]), "there is no dynamic disk header where the footer says"),
        (footer(60, &[0, 0, 0, 4]), "the differencing disk does not name its parent"),
        (unsealed, "the checksum of the dynamic disk header is wrong"),
        (header(24, &[0, 2]), "version 2.0 of the dynamic disk header is unknown"),
        (header(32, &[0, 0x30, 0, 0]), "a block of 3145728 bytes is no power of two"),
        (header(32, &[0, 0, 1, 0]), "a block of 256 bytes"),
        (header(32, &[0x80, 0, 0, 0]), "a block of 2147483648 bytes"),
        (header(28, &[0, 0, 0, 2]), "table of 2 entries is too small for 3 blocks"),
        (header(16, &[0x7f; 8]), "the block allocation table of 3 blocks lies outside the file"),
        (table, "at byte 1540: block 1 at sector 16777215 lies outside the file"),
    ] {
        std::fs::write(&path, changed).unwrap();
        let message = failure(&path);
        assert!(message.contains(reason), "{message}");
        assert!(message.contains("disk.vhd"), "{message}");
    }
    for length in [1000, 1536, 1540, 100_000, image.len() - 1000] {
        std::fs::write(&path, &image[..length]).unwrap();
        failure(&path);
    }
    let fixed = write(directory.path(), &disk(MIB), &new("fixed"));
    let image = std::fs::read(&fixed).unwrap();
    std::fs::write(&fixed, &image[4096..]).unwrap();
    assert!(failure(&fixed).contains("the disk of 1048576 bytes is cut off at byte 1044480"));
}

#[test]
fn what_was_resized_is_read_by_others() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = disk(3 * BLOCK + 512);
    for (subformat, sizes) in [
        // Within the table's sector, and with the table moved behind the blocks.
        ("dynamic", [5 * BLOCK, 300 * BLOCK, 5 * BLOCK]),
        ("fixed", [5 * BLOCK, 9 * BLOCK + 512, 4 * BLOCK]),
    ] {
        let path = write(directory.path(), &bytes, &new(subformat));
        for size in sizes {
            image::resize(&path, size as u64).unwrap();
            let mut expected = bytes.clone();
            expected.resize(size, 0);
            let raw = file(directory.path(), "disk.raw", &bytes);
            std::fs::File::options().write(true).open(raw).unwrap().set_len(size as u64).unwrap();
            qemu_img(directory.path(), &["compare", "-f", "raw", "-F", "vpc", "disk.raw", "disk.vhd"]);
            let info = qemu_img(directory.path(), &["info", "-f", "vpc", "disk.vhd"]);
            assert!(info.contains(&format!("({size} bytes)")), "{info}");
            if size < 10 * BLOCK {
                assert!(seven_zip(&path) == expected, "7-Zip {subformat} {size}");
                assert!(libvhdi(&[&path]) == expected, "libvhdi {subformat} {size}");
                block::conformance::read(&open(&path).unwrap(), &expected);
            }
        }
    }
}

#[test]
fn qemu_goes_on_writing_where_a_table_was_moved() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = disk(BLOCK);
    let path = write(directory.path(), &bytes, &new("dynamic"));
    image::resize(&path, 300 * BLOCK as u64).unwrap();
    let output = Command::new("qemu-io")
        .args(["-f", "vpc", "-c", "write -P 7 600000000 65536", "disk.vhd"])
        .current_dir(directory.path())
        .output()
        .expect("qemu-io runs (./dev test installs it: Debian package qemu-utils)");
    assert!(output.status.success(), "{output:?}");
    let image = open(&path).unwrap();
    let mut found = vec![0; 65_536];
    image.read_at(&mut found, 600_000_000).unwrap();
    assert_eq!(found, vec![7; 65_536]);
    let mut found = vec![0; BLOCK];
    image.read_at(&mut found, 0).unwrap();
    assert!(found == bytes);
    let (gate, name) = image::DirectoryGate::for_file(&path).unwrap();
    let gate: Arc<dyn image::Gate> = Arc::new(gate);
    assert_eq!(image::check(&gate, &name, &image::OpenOptions::default()).unwrap(), image::Check::default());
}

//! VMDKs that QEMU and VMware's own tools would write, read back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use block::{BlockRead, ExtentKind};
use std::path::Path;
use support::{disk, failure, file, open, qemu_img};

const SUBFORMATS: [&str; 5] =
    ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized"];

/// `bytes` as a VMDK called `name` of `subformat` in `directory`.
fn vmdk(directory: &Path, name: &str, subformat: &str, bytes: &[u8]) -> std::path::PathBuf {
    file(directory, "disk.raw", bytes);
    let option = format!("subformat={subformat}");
    qemu_img(directory, &["convert", "-f", "raw", "-O", "vmdk", "-o", &option, "disk.raw", name]);
    directory.join(name)
}

#[test]
fn every_subformat_reads_as_what_was_written() {
    let bytes = disk((33 << 18) + 7 * 512);
    for subformat in SUBFORMATS {
        let directory = tempfile::tempdir().unwrap();
        let image = open(&vmdk(directory.path(), "disk.vmdk", subformat, &bytes)).unwrap();
        assert_eq!(image.info().format, "vmdk");
        assert_eq!(image.info().subformat.as_deref(), Some(subformat));
        block::conformance::read(&image, &bytes);
    }
}

#[test]
fn a_disk_smaller_than_a_grain_and_one_of_several_files() {
    let directory = tempfile::tempdir().unwrap();
    let small = disk(100 * 512);
    block::conformance::read(
        &open(&vmdk(directory.path(), "small.vmdk", "monolithicSparse", &small)).unwrap(),
        &small,
    );
    qemu_img(
        directory.path(),
        &["create", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "large.vmdk", "5G"],
    );
    let image = open(&directory.path().join("large.vmdk")).unwrap();
    assert_eq!((image.size(), image.info().layers[0].files.len()), (5 << 30, 4));
    let extents = image.extents(0..5 << 30).unwrap();
    assert!(extents.iter().all(|extent| matches!(extent.kind, ExtentKind::Zero)), "{extents:?}");
}

#[test]
fn where_data_lies_in_a_file_is_said() {
    let bytes = disk(8 << 20);
    for subformat in ["monolithicSparse", "monolithicFlat"] {
        let directory = tempfile::tempdir().unwrap();
        let image = open(&vmdk(directory.path(), "disk.vmdk", subformat, &bytes)).unwrap();
        let mut located = 0;
        for extent in image.extents(0..image.size()).unwrap() {
            let ExtentKind::Data(Some(location)) = &extent.kind else { continue };
            let mut stored = vec![0; extent.len() as usize];
            std::os::unix::fs::FileExt::read_exact_at(&*location.file, &mut stored, location.offset).unwrap();
            assert_eq!(stored, bytes[extent.range.start as usize..extent.range.end as usize]);
            located += extent.len();
        }
        assert!(located > 1 << 20, "{subformat}: {located}");
    }
}

#[test]
fn a_stream_is_read_by_its_footer_and_without_one_by_its_markers() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = disk(9 << 20);
    let path = vmdk(directory.path(), "disk.vmdk", "streamOptimized", &bytes);
    // QEMU knows where its grain directory will be. VMware's tools write it behind the grains.
    let known = std::fs::read(&path).unwrap();
    let mut stream = known.clone();
    stream[56..64].fill(0xff);
    let (mut marker, end) = (vec![0; 512], vec![0; 512]);
    marker[..1].fill(1);
    marker[12..13].fill(3);
    let footer = [&stream, &marker, &known[..512], &end].concat();
    block::conformance::read(&open(&file(directory.path(), "footer.vmdk", &footer)).unwrap(), &bytes);
    let markers = [&stream, &end[..]].concat();
    block::conformance::read(&open(&file(directory.path(), "markers.vmdk", &markers)).unwrap(), &bytes);

    for length in [stream.len() / 2, stream.len() / 2 / 512 * 512, 70_000] {
        let message = failure(&file(directory.path(), "cut.vmdk", &stream[..length]));
        assert!(message.contains("without an end-of-stream marker"), "{length}: {message}");
    }
}

#[test]
fn a_stream_without_markers_is_read_by_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = disk((3 << 20) + 512);
    let path = vmdk(directory.path(), "disk.vmdk", "streamOptimized", &bytes);
    let known = std::fs::read(&path).unwrap();
    let word = |offset: usize| u32::from_le_bytes(known[offset..offset + 4].try_into().unwrap()) as usize;
    let table = word(word(56) * 512) * 512;
    // Each grain moves to where its marker is, and the flag goes.
    let mut bare = known.clone();
    bare[10] &= !2;
    for entry in (table..table + 512 * 4).step_by(4).map(word).filter(|sector| *sector != 0) {
        let (start, size) = (entry * 512, word(entry * 512 + 8));
        bare.copy_within(start + 12..start + 12 + size, start);
    }
    block::conformance::read(&open(&file(directory.path(), "bare.vmdk", &bare)).unwrap(), &bytes);
}

/// Puts a delta over a sparse VMDK, as a snapshot does, and writes into the delta.
fn delta(directory: &Path) -> (std::path::PathBuf, Vec<u8>) {
    let mut bytes = disk(6 << 20);
    vmdk(directory, "base.vmdk", "monolithicSparse", &bytes);
    qemu_img(directory, &["create", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "delta.vmdk"]);
    let patch = vec![0xa5; 100_000];
    bytes[1_000_000..1_100_000].copy_from_slice(&patch);
    let output = std::process::Command::new("qemu-io")
        .args(["-f", "vmdk", "-c", "write -P 0xa5 1000000 100000", "delta.vmdk"])
        .current_dir(directory)
        .output()
        .expect("qemu-io runs (Debian package qemu-utils)");
    assert!(output.status.success(), "{output:?}");
    (directory.join("delta.vmdk"), bytes)
}

#[test]
fn a_delta_reads_over_its_parent_wherever_the_hint_leads() {
    let directory = tempfile::tempdir().unwrap();
    let (path, bytes) = delta(directory.path());
    let image = open(&path).unwrap();
    assert_eq!(image.info().layers.len(), 2);
    block::conformance::read(&image, &bytes);

    let original = std::fs::read(&path).unwrap();
    for hint in ["/vmfs/volumes/5f/vm/base.vmdk", "C:\\vm\\base.vmdk", "../elsewhere/base.vmdk"] {
        std::fs::write(&path, with_hint(&original, hint)).unwrap();
        block::conformance::read(&open(&path).unwrap(), &bytes);
    }
    std::fs::write(&path, with_hint(&original, "/vmfs/volumes/5f/vm/gone.vmdk")).unwrap();
    let message = failure(&path);
    assert!(
        message.contains("\"/vmfs/volumes/5f/vm/gone.vmdk\": it is an absolute name outside of"),
        "{message}"
    );
}

#[test]
fn a_delta_whose_parent_changed_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _) = delta(directory.path());
    let base = directory.path().join("base.vmdk");
    let mut changed = std::fs::read(&base).unwrap();
    // QEMU writes as many digits as the number has.
    let place = changed.windows(4).position(|window| window == b"CID=").unwrap() + 4;
    let digits = changed[place..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let cid = format!("{:0>8}", String::from_utf8(changed[place..place + digits].to_vec()).unwrap());
    let other = &"0badcafe"[8 - digits..];
    changed[place..place + digits].copy_from_slice(other.as_bytes());
    std::fs::write(&base, changed).unwrap();
    let error = open(&path).unwrap_err();
    assert_eq!(error.kind(), image::ErrorKind::ParentChanged);
    assert_eq!(
        error.to_string(),
        format!(
            "{}: the parent \"base.vmdk\" changed: its content ID is {other:0>8}, and this delta was made on {cid}",
            path.display()
        )
    );
}

/// The sparse VMDK `image` with another parent hint in its embedded descriptor.
fn with_hint(image: &[u8], hint: &str) -> Vec<u8> {
    let (start, length) = (512, 20 * 512);
    let text: Vec<u8> = image[start..start + length].iter().copied().take_while(|byte| *byte != 0).collect();
    let text = String::from_utf8(text).unwrap();
    let line = text.lines().find(|line| line.starts_with("parentFileNameHint")).unwrap();
    let mut changed = text.replace(line, &format!("parentFileNameHint=\"{hint}\"")).into_bytes();
    changed.resize(length, 0);
    [&image[..start], &changed, &image[start + length..]].concat()
}

#[test]
fn a_custom_disk_of_every_kind_of_extent() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = disk(3 << 20);
    vmdk(directory.path(), "sparse.vmdk", "monolithicSparse", &bytes[..1 << 20]);
    file(directory.path(), "flat.bin", &[&[1; 1024], &bytes[1 << 20..2 << 20]].concat());
    file(directory.path(), "vmfs.bin", &bytes[2 << 20..]);
    let sectors = (1 << 20) / 512;
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"custom\"\n\
         RW {sectors} SPARSE \"sparse.vmdk\"\nRW {sectors} FLAT \"flat.bin\" 2\nRW {sectors} VMFS \"vmfs.bin\"\n\
         RDONLY 100 ZERO\n"
    );
    let path = file(directory.path(), "disk.vmdk", text.as_bytes());
    let expected = [bytes, vec![0; 100 * 512]].concat();
    block::conformance::read(&open(&path).unwrap(), &expected);
}

#[test]
fn an_esx_sparse_delta_over_a_flat_disk() {
    let directory = tempfile::tempdir().unwrap();
    let base = disk(5 << 20);
    file(directory.path(), "vm-flat.vmdk", &base);
    let sectors = (5 << 20) / 512;
    let base_text = format!(
        "# Disk DescriptorFile\nCID=0000000a\nparentCID=ffffffff\ncreateType=\"vmfs\"\nRW {sectors} VMFS \"vm-flat.vmdk\"\n"
    );
    file(directory.path(), "vm.vmdk", base_text.as_bytes());
    let text = format!(
        "# Disk DescriptorFile\nCID=0000000b\nparentCID=0000000a\nparentFileNameHint=\"vm.vmdk\"\n\
         createType=\"vmfsSparse\"\nRW {sectors} VMFSSPARSE \"vm-000001-delta.vmdk\"\n"
    );
    let path = file(directory.path(), "vm-000001.vmdk", text.as_bytes());

    // Grains of one sector; three grain tables of 4096 entries, of which the second exists, with one grain.
    let mut delta = vec![0; 4 * 512];
    for (place, word) in [(4, 1), (8, 3), (12, sectors as u32), (16, 1), (20, 4), (24, 3), (28, 38)] {
        delta[place..place + 4].copy_from_slice(&u32::to_le_bytes(word));
    }
    delta[..4].copy_from_slice(b"COWD");
    let mut directory_sector = vec![0; 512];
    directory_sector[4..8].copy_from_slice(&5_u32.to_le_bytes());
    let mut table = vec![0; 4096 * 4];
    table[4 * 7..4 * 8].copy_from_slice(&37_u32.to_le_bytes());
    let delta = [delta, directory_sector, table, vec![0x5a; 512]].concat();
    file(directory.path(), "vm-000001-delta.vmdk", &delta);

    let mut expected = base;
    let place = (4096 + 7) * 512;
    expected[place..place + 512].fill(0x5a);
    block::conformance::read(&open(&path).unwrap(), &expected);
}

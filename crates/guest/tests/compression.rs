//! What the field's programs pack is unpacked again, and nothing else is.
#![allow(clippy::unwrap_used, reason = "a test ends where something is amiss")]

use guest::initramfs;
use guest::initramfs::compression::{Compression, unpack_all};
use guest::initramfs::cpio::{self, Entry};
use proptest::prelude::*;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

const LIMIT: u64 = 16 << 20;

fn packed(command: &[&str], contents: &[u8]) -> Vec<u8> {
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs {}: {error}", command[0]));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(contents).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{command:?}");
    output.stdout
}

/// Bytes like those of an initramfs: text, zeroes, tables, and what does not become smaller.
fn mixture() -> Vec<u8> {
    let mut noise = 1u32;
    let mut bytes = Vec::new();
    for round in 0..40u32 {
        for line in 0..200 {
            bytes.extend(format!("alias pci:v0000{:04X}d{line:08X} driver{}\n", round * 7, line % 9).bytes());
        }
        bytes.resize(bytes.len() + 3000 + round as usize, 0);
        bytes.extend((0..2000u32).flat_map(|n| (n * round).to_le_bytes()));
        for _ in 0..10_000 {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            bytes.push(noise as u8);
        }
    }
    bytes
}

#[test]
fn what_lzop_writes_at_every_level_and_with_every_checksum_is_read() {
    let contents = mixture();
    let commands: &[&[&str]] = &[
        &["lzop", "-1"],
        &["lzop", "-3"],
        &["lzop", "-7"],
        &["lzop", "-9"],
        &["lzop", "-9", "--no-checksum"],
        &["lzop", "--crc32"],
        &["lzop", "-CC", "--crc32"],
    ];
    for command in commands {
        let stream = packed(command, &contents);
        assert_eq!(Compression::of(&stream), Some(Compression::Lzo));
        assert!(unpack_all(&stream, LIMIT).unwrap() == contents, "{command:?}");
    }
}

#[test]
fn what_bzip2_and_lzma_write_is_read() {
    let contents = mixture();
    let commands: &[&[&str]] =
        &[&["bzip2", "-1"], &["bzip2", "-9"], &["xz", "--format=lzma", "-0"], &["lzma", "-9"]];
    for command in commands {
        assert!(unpack_all(&packed(command, &contents), LIMIT).unwrap() == contents, "{command:?}");
    }
}

#[test]
fn nothing_unpacks_to_more_than_its_limit() {
    let contents = vec![0; 3 << 20];
    for command in [&["lzop"][..], &["bzip2"], &["lzma"], &["gzip"], &["lz4", "-l"], &["zstd", "-q"], &["xz"]]
    {
        let stream = packed(command, &contents);
        assert!(unpack_all(&stream, 3 << 20).is_ok(), "{command:?}");
        assert!(unpack_all(&stream, (3 << 20) - 1).is_err(), "{command:?}");
    }
}

#[test]
fn a_damaged_block_of_lzop_is_not_taken() {
    let stream = packed(&["lzop"], &mixture());
    for at in [9, 15, 60, 500, stream.len() / 2, stream.len() - 9] {
        let mut damaged = stream.clone();
        damaged[at] ^= 0x55;
        // A header's checksum is not looked at, for the kernel does not either: what is wrong there must do no harm.
        assert!(unpack_all(&damaged, LIMIT).is_err() || at < 60, "byte {at}");
        assert!(unpack_all(&stream[..at], LIMIT).is_err(), "{at} bytes");
    }
}

/// A short archive in each of three ways.
static SMALL: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let entries = [Entry::directory("d"), Entry::file("d/f", "text text text\n".repeat(60))];
    [&["lzop"][..], &["bzip2"], &["lzma"]].map(|command| packed(command, &cpio::write(&entries)))
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Pieces that repeat, so that every kind of instruction is written.
    #[test]
    fn lzop_and_its_reader_agree(
        pieces in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 1..40), 1usize..60, 0usize..400),
            0..300,
        ),
        level in prop::sample::select(vec!["-1", "-6", "-9"]),
    ) {
        let mut contents: Vec<u8> = Vec::new();
        for (piece, times, back) in pieces {
            contents.extend(piece.repeat(times));
            let from = contents.len().saturating_sub(back * 131);
            contents.extend_from_within(from..(from + back).min(contents.len()));
        }
        prop_assert!(unpack_all(&packed(&["lzop", level], &contents), LIMIT).unwrap() == contents);
    }

    #[test]
    fn damage_anywhere_does_no_harm(at in any::<prop::sample::Index>(), to in any::<u8>(), kind in 0usize..3) {
        let mut stream = SMALL[kind].clone();
        let at = at.index(stream.len());
        stream[at] = to;
        let _ = unpack_all(&stream, 1 << 20);
        let _ = initramfs::read(&stream, |_| true);
    }
}

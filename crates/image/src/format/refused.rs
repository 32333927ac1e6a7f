//! Formats that are recognised so that they are never taken for raw: [`REFUSED`].

use super::{Ends, Format};

/// What cannot be read and is refused by its name.
pub(super) static REFUSED: &[&Format] = &[
    &known("sesparse", "an ESX space-efficient sparse extent (seSparse) without its descriptor", |ends| {
        ends.has(&[0xbe, 0xba, 0xfe, 0xca, 0, 0, 0, 0], 0)
    }),
    &known("bochs", "a Bochs image", |ends| ends.has(b"Bochs Virtual HD Image", 0)),
    &known("dmg", "an Apple disk image (DMG)", |ends| ends.tail.starts_with(b"koly")),
    &known("cloop", "a compressed loop image (cloop)", |ends| ends.has(b"#!/bin/sh\n#V2.0 Format", 0)),
    &known("ewf", "an EnCase image (EWF)", |ends| ends.has(b"EVF\x09\x0d\x0a\xff\0", 0)),
    &known("wim", "a Windows imaging file (WIM)", |ends| ends.has(b"MSWIM\0\0\0", 0)),
    &known("xz", "an xz stream", |ends| ends.has(b"\xfd7zXZ\0", 0)),
    &known("bzip2", "a bzip2 stream", |ends| ends.has(b"BZh", 0) && ends.has(b"1AY&SY", 4)),
    &known("zstd", "a zstd stream", |ends| ends.has(&0xfd2f_b528_u32.to_le_bytes(), 0)),
    &known("lz4", "an lz4 stream", |ends| ends.has(&0x184d_2204_u32.to_le_bytes(), 0)),
    &known("zip", "a ZIP archive", |ends| ends.has(b"PK\x03\x04", 0)),
    &known("7z", "a 7-Zip archive", |ends| ends.has(b"7z\xbc\xaf\x27\x1c", 0)),
    // An OVA is one; its disks are opened through its own gate.
    &known("tar", "a tar archive", |ends| ends.has(b"ustar", 257)),
];

/// A format that is only known.
const fn known(name: &'static str, description: &'static str, probe: fn(&Ends) -> bool) -> Format {
    Format::unknown(name, description, probe)
}

//! Anything as a compressed module and as an initramfs: read or refused, within bounds. The seeds are one small archive in
//! every way that is known.
#![no_main]

use guest::initramfs::compression::{Compression, unpack_all};
use guest::initramfs::{self, drivers};
use libfuzzer_sys::fuzz_target;

/// The most that a case may unpack to, in bytes.
const LARGEST: u64 = 4 << 20;

fuzz_target!(|data: &[u8]| {
    // A short stream can unpack to gigabytes, which is right, and takes too long for a case.
    let Ok(unpacked) = unpack_all(data, LARGEST) else { return };
    let known = Compression::of(data).is_some_and(|compression| compression != Compression::Plain);
    assert!(unpacked.len() as u64 <= if known { LARGEST } else { data.len() as u64 });
    if let Ok(contents) = initramfs::read(data, drivers::is_needed) {
        let ends = contents.segments.iter().map(|segment| segment.offset + segment.length);
        assert!(ends.is_sorted() && contents.segments.iter().all(|segment| segment.length > 0));
        assert!(contents.segments.last().is_none_or(|last| last.offset + last.length <= data.len()));
    }
});

//! Anything as a description of Hyper-V's: binary, XML or JSON. It is refused, or gives a machine that can be moved to KVM
//! and described there.
#![no_main]

use dialect::hyperv::{json, vmcx, xml};
use libfuzzer_sys::fuzz_target;

#[path = "described/mod.rs"]
mod described;

/// Where the headers, the first table of objects and its entries have checksums: without the right ones, nothing behind
/// them would ever be read.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for header in [0, 0x1000] {
        seal(&mut bytes, header, 0x2e, 4);
    }
    let count = bytes.get(0x2004).copied().unwrap_or(0);
    for entry in 0..usize::from(count) {
        seal(&mut bytes, 0x2008 + 18 * entry, 18, 1);
    }
    bytes
}

/// Writes the CRC-32 of the structure at `start`, `at` bytes into it.
fn seal(bytes: &mut [u8], start: usize, size: usize, at: usize) {
    let Some(structure) = bytes.get_mut(start..start + size) else { return };
    structure[at..at + 4].fill(0);
    let sum = crc32fast::hash(structure);
    structure[at..at + 4].copy_from_slice(&sum.to_le_bytes());
}

fuzz_target!(|bytes: &[u8]| {
    let sealed = with_checksums(bytes);
    for parsed in [json::parse(bytes), xml::parse(bytes), vmcx::parse(&sealed)].into_iter().flatten() {
        described::check(&parsed.machine);
    }
});

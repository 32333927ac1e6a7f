//! Anything as a tar archive: it is refused, or every member lies within it under a name that stays within it.
#![no_main]

use block::{BlockRead, MemoryDisk};
use dialect::package::Index;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Half of the attempts get right checksums, or none would come past the first header.
    let mut bytes = bytes.to_vec();
    if bytes.len() % 2 == 1 {
        for header in bytes.chunks_exact_mut(512) {
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    let disk = MemoryDisk::from_bytes(bytes);
    let Ok(index) = Index::read(&disk) else { return };
    for member in index.members() {
        assert!(member.range.start <= member.range.end && member.range.end <= disk.size());
        assert!(!member.name.starts_with('/') && !member.name.split('/').any(|part| part == ".."));
        assert_eq!(index.find(&member.name), Some(member));
    }
});

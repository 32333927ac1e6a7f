//! Anything as a disk: its volumes are found or not, and none reaches beyond it.
#![no_main]

use block::{BlockRead, BlockWrite, MemoryDisk};
use guest::volume::scan;
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fuzz_target!(|bytes: &[u8]| {
    let disk: Arc<dyn BlockWrite> = Arc::new(MemoryDisk::from_bytes(bytes.to_vec()));
    let Ok(volumes) = scan(&[disk]) else { return };
    for volume in volumes {
        let size = volume.device.size();
        assert!(size <= bytes.len() as u64);
        let mut all = vec![0; size as usize];
        volume.device.read_at(&mut all, 0).expect("a volume lies inside its disk");
        // A volume is a piece of the disk, byte for byte.
        assert!(all.is_empty() || bytes.windows(all.len().min(64)).any(|window| all.starts_with(window)));
    }
});

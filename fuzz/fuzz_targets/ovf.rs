//! Anything as an OVF descriptor: it is refused, or gives a machine that can be moved to KVM and described there.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "described/mod.rs"]
mod described;

fuzz_target!(|bytes: &[u8]| {
    let Ok(parsed) = dialect::ovf::parse(bytes) else { return };
    for disk in &parsed.machine.disks {
        assert!(disk.capacity.is_none_or(|capacity| capacity <= dialect::ovf::MAX_CAPACITY));
    }
    described::check(&parsed.machine);
});

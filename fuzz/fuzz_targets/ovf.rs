//! Anything as an OVF descriptor: it is refused, or gives a machine that can be moved to KVM and described
//! there, and to VMware's products and VirtualBox and read again there, less the losses.
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
    for target in ["esxi", "virtualbox"] {
        let profile = profile::find(target).expect("there is such a profile");
        described::there_and_back(&parsed.machine, &dialect::ovf::DIALECT, profile);
    }
});

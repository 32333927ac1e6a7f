//! Anything as a libvirt domain: it is refused, or gives a machine that can be moved to KVM and described there.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "described/mod.rs"]
mod described;

fuzz_target!(|bytes: &[u8]| {
    let Ok(parsed) = dialect::libvirt::parse(bytes) else { return };
    // What is kept is of the file, and no more than it.
    let kept: usize = parsed.machine.properties.iter().map(|property| property.value.len()).sum();
    assert!(kept <= bytes.len());
    described::check(&parsed.machine);
});

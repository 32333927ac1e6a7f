//! Anything as the description in an XVA: it is refused, or gives a machine that can be moved to KVM and described there.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "described/mod.rs"]
mod described;

fuzz_target!(|bytes: &[u8]| {
    let Ok(parsed) = dialect::xva::parse(bytes) else { return };
    described::check(&parsed.machine);
});

//! Anything as a `.vmx`: it is refused, or gives a machine that can be moved to KVM and described
//! there, and to VMware's products and read again there, less the losses.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "described/mod.rs"]
mod described;

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = dialect::vmx::Document::parse(bytes) else { return };
    // The lines are kept as they are, in whatever encoding.
    if std::str::from_utf8(bytes).is_ok_and(|text| text.is_ascii()) && document.encoding() == "UTF-8" {
        assert_eq!(document.text().as_bytes(), bytes);
    }
    if let Ok(parsed) = dialect::vmx::parse(bytes) {
        described::check(&parsed.machine);
        for target in ["esxi", "workstation"] {
            let profile = profile::find(target).expect("there is such a profile");
            described::there_and_back(&parsed.machine, &dialect::vmx::DIALECT, profile);
        }
    }
});

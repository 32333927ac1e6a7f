//! Anything as a configuration of Xen's: it is refused, or gives a machine that can be moved to KVM and described there,
//! and to Xen, and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "described/mod.rs"]
mod described;

fuzz_target!(|bytes: &[u8]| {
    let Ok(parsed) = dialect::xl::parse(bytes) else { return };
    described::check(&parsed.machine);
    let xen = profile::find("xen").expect("there is a profile for Xen");
    let adapted = dialect::adapt(&parsed.machine, xen).machine;
    let disks = adapted.disks.iter().map(|disk| dialect::DiskFile {
        id: disk.id.clone(),
        path: format!("/images/{}.raw", disk.id).into(),
        format: "raw".to_owned(),
        ..dialect::DiskFile::default()
    });
    let options = dialect::RenderOptions { disks: disks.collect(), ..dialect::RenderOptions::default() };
    let text = dialect::xl::render(&adapted, xen, &options).expect("an adapted machine can be described").text;
    let again = dialect::xl::parse(text.as_bytes()).expect("what is written can be read");
    assert_eq!(again.machine.disks.len(), adapted.disks.len());
});

//! Anything as a configuration of Proxmox': it is refused, or gives a machine that can be moved to KVM and described there.
//! What is written of it for Proxmox is read again.
#![no_main]

use dialect::{DiskFile, RenderOptions, proxmox};
use libfuzzer_sys::fuzz_target;

#[path = "described/mod.rs"]
mod described;

fuzz_target!(|bytes: &[u8]| {
    let Ok(parsed) = proxmox::parse(bytes) else { return };
    described::check(&parsed.machine);
    let profile = profile::find("proxmox").expect("there is a profile for Proxmox");
    let machine = dialect::adapt(&parsed.machine, profile).machine;
    let disks = machine.disks.iter().map(|disk| DiskFile {
        id: disk.id.clone(),
        path: format!("{}.qcow2", disk.id).into(),
        format: "qcow2".to_owned(),
        ..DiskFile::default()
    });
    let options = RenderOptions { disks: disks.collect(), ..RenderOptions::default() };
    let text = proxmox::render(&machine, profile, &options).expect("an adapted machine can be described").text;
    let again = proxmox::parse(text.as_bytes()).expect("what was written is read").machine;
    assert_eq!(again.disks.len(), machine.disks.len());
    assert_eq!(again.cpu.count(), machine.cpu.count());
});

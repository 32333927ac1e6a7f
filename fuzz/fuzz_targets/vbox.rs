//! Anything as VirtualBox's settings: it is refused, or gives a machine that can be moved to KVM and described there, and
//! one that VirtualBox's own settings can say, less the losses.
#![no_main]

use dialect::{DiskFile, RenderOptions};
use libfuzzer_sys::fuzz_target;

#[path = "described/mod.rs"]
mod described;

fuzz_target!(|bytes: &[u8]| {
    let Ok(parsed) = dialect::vbox::parse(bytes) else { return };
    described::check(&parsed.machine);

    let profile = profile::find("virtualbox").expect("there is a profile for VirtualBox");
    let adapted = dialect::adapt(&parsed.machine, profile).machine;
    let disks = adapted.disks.iter().map(|disk| DiskFile {
        id: disk.id.clone(),
        path: format!("{}.vdi", disk.id).into(),
        format: "vdi".to_owned(),
        ..DiskFile::default()
    });
    let options = RenderOptions { disks: disks.collect(), ..RenderOptions::default() };
    let Ok(rendered) = dialect::vbox::render(&adapted, profile, &options) else { return };
    let again = dialect::vbox::parse(rendered.text.as_bytes()).expect("what is written is read").machine;
    for difference in machine::differences(&adapted, &again) {
        let of_the_image = ["source", "format", "capacity"].iter().any(|end| difference.field.ends_with(end));
        assert!(of_the_image || rendered.losses.iter().any(|loss| difference.is_told_by(loss)), "{difference:?}");
    }
});

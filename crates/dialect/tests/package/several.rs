//! Packages of several machines, of which one is chosen.

use crate::make::{chain, manifest_line, tar, write};
use dialect::package::{Error, OpenOptions, Package};
use image::NoProgress;
use sha2::Sha256;

/// A system with a disk.
fn system(id: &str, name: &str, disk: u32) -> String {
    let item = |instance: u32, kind: u32, more: &str| {
        format!(
            "<Item><rasd:ElementName>x</rasd:ElementName>{more}<rasd:InstanceID>{instance}</rasd:InstanceID>\
             <rasd:ResourceType>{kind}</rasd:ResourceType></Item>"
        )
    };
    let name = if name.is_empty() { String::new() } else { format!("<Name>{name}</Name>") };
    format!(
        "<VirtualSystem ovf:id=\"{id}\"><Info/>{name}<VirtualHardwareSection><Info/>{}{}</VirtualHardwareSection></VirtualSystem>",
        item(1, 6, ""),
        item(
            2,
            17,
            &format!("<rasd:HostResource>ovf:/disk/d{disk}</rasd:HostResource><rasd:Parent>1</rasd:Parent>")
        ),
    )
}

fn descriptor() -> String {
    let disks: String = (1..=4)
        .map(|n| format!("<Disk ovf:diskId=\"d{n}\" ovf:fileRef=\"f{n}\" ovf:capacity=\"512\"/>"))
        .collect();
    let files: String = (1..=4).map(|n| format!("<File ovf:id=\"f{n}\" ovf:href=\"{n}.img\"/>")).collect();
    format!(
        "<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\" xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\" \
         xmlns:rasd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData\">\
         <References>{files}</References><DiskSection><Info/>{disks}</DiskSection><VirtualSystemCollection ovf:id=\"app\"><Info/>\
         {}{}<VirtualSystemCollection ovf:id=\"inner\"><Info/>{}{}</VirtualSystemCollection></VirtualSystemCollection></Envelope>",
        system("vm-1", "web", 1),
        system("vm-2", "db", 2),
        system("vm-3", "db", 3),
        system("vm-4", "", 4),
    )
}

fn choose(machine: &str) -> OpenOptions {
    OpenOptions { machine: Some(machine.to_owned()), ..OpenOptions::default() }
}

#[test]
fn the_one_that_is_chosen_is_read_and_the_others_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (text, image) = (descriptor(), vec![7; 512]);
    // Only the images of the first two are there, and that of the second is not what was exported.
    let digests = [("a.ovf", text.as_bytes()), ("1.img", &image), ("2.img", b""), ("3.img", b"")];
    let manifest: String =
        digests.iter().map(|(name, bytes)| manifest_line::<Sha256>("SHA256", name, bytes)).collect();
    let members =
        [("a.ovf", text.as_bytes()), ("a.mf", manifest.as_bytes()), ("1.img", &image), ("2.img", &[8; 512])];
    let path = write(directory.path(), "a.ova", tar(&members));

    let refused = Package::open(&path).unwrap_err();
    assert_eq!(refused.remedy(), "choose one of them: --machine NAME");
    assert!(
        chain(&refused).contains("4 virtual machines are in it: web, vm-2, vm-3, vm-4"),
        "{}",
        chain(&refused)
    );
    assert_eq!(refused.machines(), ["web", "vm-2", "vm-3", "vm-4"]);

    let package = Package::open_with(&path, &choose("web")).unwrap();
    assert_eq!((package.machine.name.as_str(), package.facts.id.as_deref()), ("web", Some("vm-1")));
    assert_eq!(package.facts.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["1.img"]);
    assert_eq!(package.verify(&NoProgress).unwrap().len(), 2);
    let said: Vec<String> = package.losses.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|loss| loss.contains("holds 3 more")), "{said:?}");
    assert!(!said.iter().any(|loss| loss.contains("3.img")), "{said:?}");

    let second = Package::open_with(&path, &choose("vm-2")).unwrap();
    assert_eq!(second.machine.disks[0].source.as_deref(), Some("2.img"));
    assert!(matches!(second.verify(&NoProgress), Err(Error::Digest { .. })));
    for wrong in ["db", "vm-9", ""] {
        let error = chain(&Package::open_with(&path, &choose(wrong)).unwrap_err());
        assert!(error.contains("none, or not only one"), "{error}");
    }
}

#[test]
fn a_package_of_one_machine_is_not_another() {
    let directory = tempfile::tempdir().unwrap();
    let path =
        write(directory.path(), "a.vmx", "config.version = \"8\"\ndisplayName = \"web\"\nmemsize = \"64\"\n");
    assert!(Package::open_with(&path, &choose("web")).is_ok());
    assert!(matches!(Package::open_with(&path, &choose("db")), Err(Error::OtherMachine { .. })));
}

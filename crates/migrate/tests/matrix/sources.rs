//! The machine in every form that can be read.

use crate::guest::{Content, machine};
use dialect::{DiskFile, RenderOptions};
use machine::Machine;
use std::fs;
use std::path::{Path, PathBuf};

/// A form of the machine.
pub(crate) struct Form {
    /// The dialect or package, as `anyvisor sources` lists it.
    pub(crate) name: &'static str,
    /// Makes it in an empty directory; answers with what the user names.
    pub(crate) make: fn(&Path, &Content) -> PathBuf,
    /// Whether it says more than what is on the disks.
    pub(crate) describes: bool,
}

/// Every form. A test holds it to what there is.
pub(crate) static FORMS: &[Form] = &[
    Form {
        name: "vmx",
        make: |at, content| described(at, content, "vmx", "esxi", ("vmdk", None, true)),
        describes: true,
    },
    Form {
        name: "ovf",
        make: |at, content| described(at, content, "ovf", "esxi", ("vmdk", Some("streamOptimized"), false)),
        describes: true,
    },
    Form { name: "ova", make: |at, content| converted(at, content, "esxi", Some("ova")), describes: true },
    Form {
        name: "libvirt",
        make: |at, content| described(at, content, "libvirt", "kvm", ("qcow2", None, true)),
        describes: true,
    },
    Form {
        name: "hyperv-json",
        make: |at, content| described(at, content, "hyperv-json", "hyperv", ("vhdx", None, true)),
        describes: true,
    },
    Form {
        name: "xl",
        make: |at, content| described(at, content, "xl", "xen", ("vhd", None, true)),
        describes: true,
    },
    Form {
        name: "proxmox",
        make: |at, content| described(at, content, "proxmox", "proxmox", ("qcow2", None, true)),
        describes: true,
    },
    Form {
        name: "vbox",
        make: |at, content| described(at, content, "vbox", "virtualbox", ("vdi", None, false)),
        describes: true,
    },
    Form { name: "xva", make: |at, content| converted(at, content, "xcp-ng", None), describes: true },
    Form { name: "vma", make: backup, describes: true },
    Form { name: "hyperv-xml", make: export, describes: true },
    Form { name: "vagrant", make: vagrant, describes: true },
    Form {
        name: "disk",
        make: |at, content| content.write(at, "qcow2", None, true)[0].clone(),
        describes: false,
    },
];

/// Forms in which no machine is made here, and why.
pub(crate) static UNMADE: &[(&str, &str)] =
    &[("hyperv-vmcx", "nothing but Hyper-V writes it; what it says is the tree that hyperv-xml says too")];

/// Hyper-V's export, as its older releases make it: a configuration that names its disks by paths of Windows.
fn export(directory: &Path, content: &Content) -> PathBuf {
    let (disks, machines) = (directory.join("Virtual Hard Disks"), directory.join("Virtual Machines"));
    fs::create_dir(&disks).unwrap();
    fs::create_dir(&machines).unwrap();
    let drives: String = content
        .write(&disks, "vhdx", None, true)
        .iter()
        .enumerate()
        .map(|(place, path)| {
            let name = path.file_name().unwrap().to_str().unwrap();
            format!(
                "<drive{place}><pathname type=\"string\">C:\\VMs\\web\\Virtual Hard Disks\\{name}</pathname>\
                 <type type=\"string\">VHD</type></drive{place}>"
            )
        })
        .collect();
    let text = format!(
        "<?xml version=\"1.0\"?><configuration>\
         <_83f8638b-8dca-4152-9eda-2ca8b33039b4_><VDEVVersion type=\"integer\">1280</VDEVVersion>\
         <controller0>{drives}</controller0></_83f8638b-8dca-4152-9eda-2ca8b33039b4_>\
         <properties><name type=\"string\">web</name><subtype type=\"integer\">0</subtype></properties>\
         <settings><memory><bank><size type=\"integer\">1024</size></bank></memory>\
         <processors><count type=\"integer\">2</count></processors></settings></configuration>"
    );
    fs::write(machines.join("EC04F346-DB96-4700-AF5B-77B3C56C38BD.xml"), text).unwrap();
    directory.to_path_buf()
}

/// A backup of Proxmox': the configuration, in which each disk has a volume, and what is on the volumes.
fn backup(directory: &Path, content: &Content) -> PathBuf {
    let configuration =
        fs::read_to_string(described(directory, content, "proxmox", "proxmox", ("raw", None, false)))
            .unwrap();
    let bytes: Vec<Vec<u8>> = content
        .disks()
        .iter()
        .map(|disk| {
            let mut bytes = vec![0; usize::try_from(disk.size()).unwrap()];
            disk.read_at(&mut bytes, 0).unwrap();
            bytes
        })
        .collect();
    let archive =
        crate::vma_write::archive(&configuration, &[("drive-scsi0", &bytes[0]), ("drive-scsi1", &bytes[1])]);
    let path = directory.join("vzdump-qemu-100.vma");
    fs::write(&path, archive).unwrap();
    path
}

/// A Vagrant box for VirtualBox: an OVF package in an archive.
fn vagrant(directory: &Path, content: &Content) -> PathBuf {
    let inside = directory.join("inside");
    fs::create_dir(&inside).unwrap();
    let descriptor =
        described(&inside, content, "ovf", "virtualbox", ("vmdk", Some("streamOptimized"), false));
    fs::rename(descriptor, inside.join("box.ovf")).unwrap();
    fs::write(inside.join("metadata.json"), r#"{"provider": "virtualbox"}"#).unwrap();
    let path = directory.join("web.box");
    let mut archive = tar::Builder::new(fs::File::create(&path).unwrap());
    archive.sparse(false);
    archive.append_dir_all(".", &inside).unwrap();
    archive.finish().unwrap();
    path
}

/// The machine described in a dialect on a hypervisor's hardware, beside its disks.
fn described(
    directory: &Path,
    content: &Content,
    name: &str,
    profile: &str,
    (format, subformat, chained): (&str, Option<&str>, bool),
) -> PathBuf {
    let disks = content.write(directory, format, subformat, chained);
    let profile = profile::find(profile).unwrap();
    let machine = on(profile);
    let files = machine.disks.iter().zip(disks).map(|(disk, path)| DiskFile {
        id: disk.id.clone(),
        path: path.file_name().unwrap().into(),
        format: format.to_owned(),
        subformat: subformat.map(str::to_owned),
        capacity: disk.capacity.unwrap(),
        file_size: Some(fs::metadata(&path).unwrap().len()),
        ..DiskFile::default()
    });
    let options = RenderOptions {
        directory: Some(directory.to_path_buf()),
        disks: files.collect(),
        ..RenderOptions::default()
    };
    let dialect = dialect::by_name(name).unwrap();
    let rendered = dialect.render.unwrap()(&machine, profile, &options).unwrap();
    let path = directory.join(dialect.file_name("web"));
    fs::write(&path, rendered.text).unwrap();
    path
}

/// The machine on a hypervisor's hardware.
fn on(profile: &profile::Profile) -> Machine {
    let adapted = dialect::adapt(&machine(), profile);
    assert_eq!(adapted.objections, []);
    adapted.machine
}

/// What a conversion to a hypervisor makes of the machine.
fn converted(directory: &Path, content: &Content, target: &str, packing: Option<&str>) -> PathBuf {
    let from = directory.join("from");
    fs::create_dir(&from).unwrap();
    let source = described(&from, content, "vmx", "esxi", ("vmdk", None, true));
    let manifest =
        crate::convert(&source, &directory.join("to"), profile::find(target).unwrap(), packing).unwrap();
    directory.join("to").join(manifest.plan.files().first().unwrap())
}

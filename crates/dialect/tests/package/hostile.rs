//! Archives and names that mean harm, or that were cut off.

use crate::make::{append, append_raw, chain, contents, descriptor, read, tar, write};
use block::{BlockRead, FileDisk, MemoryDisk};
use dialect::Package;
use dialect::package::{Error, Index, TarError};
use proptest::prelude::*;
use std::os::unix::fs::symlink;
use tar::EntryType;

fn index(bytes: Vec<u8>) -> Result<Index, TarError> {
    Index::read(&MemoryDisk::from_bytes(bytes))
}

fn with_member(name: &str, kind: EntryType) -> TarError {
    let mut builder = tar::Builder::new(Vec::new());
    append(&mut builder, "a.ovf", descriptor("a.vmdk", "", 4096).as_bytes());
    append_raw(&mut builder, name, kind, b"");
    index(builder.into_inner().unwrap()).unwrap_err()
}

#[test]
fn members_that_a_package_must_not_hold_are_refused() {
    let file = EntryType::Regular;
    assert!(matches!(with_member("../evil.vmdk", file), TarError::Outside { .. }));
    assert!(matches!(with_member("sub/../../evil", file), TarError::Outside { .. }));
    assert!(matches!(with_member("/etc/passwd", file), TarError::Absolute { .. }));
    assert!(matches!(with_member("", file), TarError::NoName { .. }));
    assert!(matches!(with_member("../evil", EntryType::Directory), TarError::Outside { .. }));
    assert!(matches!(with_member("a.vmdk", EntryType::Block), TarError::Device { .. }));
    assert!(matches!(with_member("a.vmdk", EntryType::Char), TarError::Device { .. }));
    assert!(matches!(with_member("a.vmdk", EntryType::Fifo), TarError::Device { .. }));
    assert!(matches!(with_member("a.vmdk", EntryType::new(b'Z')), TarError::Kind { kind: 'Z', .. }));
    assert!(matches!(with_member("./a.ovf", file), TarError::Duplicate { .. }));
    for kind in [EntryType::Symlink, EntryType::Link] {
        let error = with_member("a.vmdk", kind);
        assert_eq!(error.to_string(), "\"a.vmdk\" is a link to \"/etc/passwd\"");
        assert!(error.remedy().contains("do not trust it"));
    }
}

#[test]
fn an_ova_that_was_cut_off_says_where_and_by_how_much() {
    let directory = tempfile::tempdir().unwrap();
    let disk = contents(100_000);
    let ovf = descriptor("a.img", "", disk.len() as u64);
    let whole = tar(&[("a.ovf", ovf.as_bytes()), ("a.img", &disk)]);
    let image_at = whole.len() - 1024 - 100_352;
    let cut = |length: usize| Package::open(&write(directory.path(), "a.ova", &whole[..length]));

    for missing in [1, 512, 99_999] {
        let error = cut(image_at + disk.len() - missing).unwrap_err();
        let text = chain(&error);
        assert!(text.contains(&format!("cut off: {missing} bytes of \"a.img\" are missing")), "{text}");
        assert!(error.remedy().contains("fetch the archive again"));
    }
    let error = cut(image_at - 100).unwrap_err();
    assert!(chain(&error).contains("cut off inside the header"), "{}", chain(&error));
    // Before the second header: whole as a tar archive, but without its end and its disk.
    let package = cut(image_at - 512).unwrap();
    assert!(package.losses.iter().any(|loss| loss.why.contains("no end mark")));
    assert!(package.open_disk(&package.machine.disks[0]).is_err());
    // Without the padding and the end mark, everything is there.
    let package = cut(image_at + disk.len()).unwrap();
    assert!(read(&package.open_disk(&package.machine.disks[0]).unwrap()) == disk);
}

#[test]
fn long_names_and_large_files_are_found() {
    let long = format!("{}/disk.vmdk", "d".repeat(180));
    let bytes = tar(&[(&long, b"abc"), ("b", b"")]);
    assert_eq!(index(bytes).unwrap().find(&long).unwrap().range, 1536..1539);

    let mut builder = tar::Builder::new(Vec::new());
    let records: [(&str, &[u8]); 2] = [("path", b"pax name"), ("size", b"3")];
    builder.append_pax_extensions(records).unwrap();
    append_raw(&mut builder, "short", EntryType::Regular, b"abc");
    let member = index(builder.into_inner().unwrap()).unwrap().members()[0].clone();
    assert_eq!((member.name.as_str(), member.range.end - member.range.start), ("pax name", 3));

    // 9 GiB of nothing: the size needs GNU's base 256.
    let directory = tempfile::tempdir().unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_path("large.vmdk").unwrap();
    header.set_size(9 << 30);
    header.set_cksum();
    let path = write(directory.path(), "large.ova", header.as_bytes());
    std::fs::File::options().write(true).open(&path).unwrap().set_len((9 << 30) + 1536).unwrap();
    let index = Index::read(&FileDisk::open(&path).unwrap()).unwrap();
    assert_eq!(index.find("large.vmdk").unwrap().range, 512..512 + (9 << 30));
}

#[test]
fn names_in_descriptors_stay_inside() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "secret.img", vec![7; 4096]);
    let inner = directory.path().join("package");
    std::fs::create_dir(&inner).unwrap();
    symlink("../secret.img", inner.join("link.img")).unwrap();
    let absolute = directory.path().join("secret.img").display().to_string();
    for href in ["../secret.img", &absolute, "link.img", "http://example.com/a.vmdk", "..%2Fsecret.img"] {
        let text = descriptor(href, "", 4096);
        for path in
            [write(&inner, "a.ovf", &text), write(&inner, "a.ova", tar(&[("a.ovf", text.as_bytes())]))]
        {
            let package = Package::open(&path).unwrap();
            let error = package.open_disk(&package.machine.disks[0]).unwrap_err();
            assert!(matches!(error, Error::Disk { .. }), "{href}");
        }
    }
}

#[test]
fn hostile_descriptors_cost_little() {
    let deep = format!("{}{}", "<a>".repeat(1 << 20), "</a>".repeat(1 << 20));
    assert!(dialect::ovf::parse(deep.as_bytes()).is_err());
    let absurd = descriptor("a", "", u64::MAX);
    let error = dialect::ovf::parse(absurd.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("more than any disk"), "{error}");
    let deep = [
        "<VirtualSystemCollection>".repeat(1 << 18),
        "<VirtualSystem ovf:id='a'/>".repeat(1 << 18),
        "</VirtualSystemCollection>".repeat(1 << 18),
    ];
    let text = descriptor("a", "", 1).replace("</Envelope>", &format!("{}</Envelope>", deep.concat()));
    assert!(matches!(dialect::ovf::parse(text.as_bytes()), Err(dialect::ovf::Error::SeveralSystems { .. })));
    let numbered = |count, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<String>();
    let disks = numbered(250_000, &|n| format!("<Disk ovf:diskId='x{n}' ovf:capacity='1'/>"));
    let files = numbered(250_000, &|n| format!("<File ovf:id='x{n}' ovf:href='x{n}'/>"));
    let items = numbered(150_000, &|n| {
        format!(
            "<Item><rasd:InstanceID>x{n}</rasd:InstanceID><rasd:ResourceType>6</rasd:ResourceType></Item>"
        )
    });
    for (before, many, what) in [
        ("<DiskSection>", disks, "8192 disks"),
        ("<References>", files, "8192 files"),
        ("<VirtualHardwareSection>", items, "4096 devices"),
    ] {
        let text = descriptor("a", "", 1);
        assert!(text.contains(before), "{text}");
        let text = text.replace(before, &format!("{before}{many}"));
        let error = dialect::ovf::parse(text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_change_of_an_archive_leads_outside_of_it(changes in prop::collection::vec((0usize..6000, any::<u8>()), 1..12)) {
        let mut bytes = tar(&[("a.ovf", &[65; 700]), ("a.vmdk", &[66; 1500]), (&"n".repeat(150), b"x")]);
        for (offset, value) in changes {
            let length = bytes.len();
            bytes[offset % length] = value;
        }
        let disk = MemoryDisk::from_bytes(bytes);
        if let Ok(index) = Index::read(&disk) {
            for member in index.members() {
                prop_assert!(member.range.start <= member.range.end && member.range.end <= disk.size());
                prop_assert!(!member.name.starts_with('/') && !member.name.split('/').any(|part| part == ".."));
            }
        }
    }

    #[test]
    fn parsers_take_any_text(text in "(\\PC|[<>&\"'=|#\n]){0,200}") {
        let _ = dialect::vmx::parse(text.as_bytes());
        let _ = dialect::ovf::parse(text.as_bytes());
    }
}

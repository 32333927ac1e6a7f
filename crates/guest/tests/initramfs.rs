//! Initramfs images as distributions make them, drivers added, and the result shown to foreign readers: GNU cpio and
//! kmod's `modprobe`.
#![allow(clippy::unwrap_used, reason = "a test ends where something is amiss")]

use guest::fs::{ErrorKind, FsError};
use guest::initramfs::compression::{Compression, gzip};
use guest::initramfs::cpio::{self, Entry, Kind};
use guest::initramfs::drivers::{self, Packing, Request};
use guest::initramfs::flavour::Flavour;
use guest::initramfs::modules::{ModuleTree, Texts};
use guest::initramfs::{self, Contents, Error};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const VERSION: &str = "6.1.0-18-amd64";
const DEP: &str = "\
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/virtio/virtio_pci_modern_dev.ko:
kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio_pci_modern_dev.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/scsi/virtio_scsi.ko: kernel/drivers/scsi/scsi_mod.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/scsi/scsi_mod.ko:
kernel/drivers/scsi/sd_mod.ko: kernel/drivers/scsi/scsi_mod.ko
kernel/drivers/scsi/vmw_pvscsi.ko: kernel/drivers/scsi/scsi_mod.ko
kernel/drivers/net/vmxnet3/vmxnet3.ko:
";
const ALIAS: &str = "\
# Aliases extracted from modules themselves.
alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
alias virtio:d00000008v* virtio_scsi
alias scsi:t-0x00* sd_mod
alias pci:v000015ADd000007C0sv*sd*bc*sc*i* vmw_pvscsi
alias pci:v000015ADd000007B0sv*sd*bc*sc*i* vmxnet3
";
const WANTED: [&str; 4] = ["virtio_pci", "virtio_scsi", "sd_mod", "ext4"];

fn tree() -> ModuleTree {
    ModuleTree::parse(Texts { dep: DEP, builtin: "kernel/fs/ext4/ext4.ko\n", alias: ALIAS, softdep: "" })
}

/// An archive as initramfs-tools makes it, with VMware's drivers.
fn existing() -> Vec<u8> {
    let modules = format!("usr/lib/modules/{VERSION}");
    let mut entries: Vec<_> = ["conf", "scripts", "usr", "usr/lib", "usr/lib/modules", &modules]
        .into_iter()
        .map(Entry::directory)
        .collect();
    let mut made = std::collections::BTreeSet::new();
    for path in [
        "kernel/drivers/scsi/scsi_mod.ko",
        "kernel/drivers/scsi/sd_mod.ko",
        "kernel/drivers/scsi/vmw_pvscsi.ko",
    ] {
        for (at, _) in path.match_indices('/') {
            if made.insert(&path[..at]) {
                entries.push(Entry::directory(format!("{modules}/{}", &path[..at])));
            }
        }
        entries.push(Entry::file(format!("{modules}/{path}"), path));
    }
    let dep = "kernel/drivers/scsi/scsi_mod.ko:\nkernel/drivers/scsi/sd_mod.ko: kernel/drivers/scsi/scsi_mod.ko\n\
               kernel/drivers/scsi/vmw_pvscsi.ko: kernel/drivers/scsi/scsi_mod.ko\n";
    entries.push(Entry::file(format!("{modules}/modules.dep"), dep));
    entries.push(Entry::file("conf/arch.conf", "DPKG_ARCH=amd64\n"));
    entries.push(Entry::file("conf/modules", "# loaded first\nvmw_pvscsi"));
    entries.push(Entry::file("init", "#!/bin/sh\n"));
    cpio::write(&entries)
}

fn load() -> Vec<String> {
    WANTED.iter().map(ToString::to_string).collect()
}

fn read(image: &[u8]) -> Contents {
    initramfs::read(image, drivers::is_needed).unwrap()
}

/// The entries that [`drivers::segment`] makes for `image`.
fn segment(image: &[u8]) -> Result<Option<Vec<Entry>>, Error> {
    let (tree, contents) = (tree(), read(image));
    let flavour = Flavour::of(&contents).facts().unwrap();
    let request = Request { version: VERSION, tree: &tree, contents: &contents, flavour, load: &load() };
    // The guest keeps its modules compressed: they come out unpacked.
    drivers::segment(&request, &mut |path| Ok(gzip(format!("module {path}").as_bytes())))
}

fn with_drivers(image: &[u8]) -> Vec<u8> {
    let entries = segment(image).unwrap().expect("something is missing");
    drivers::append(image.to_vec(), &read(image), &entries, Packing::Gzip)
}

/// A microcode archive, which stands uncompressed in front.
fn microcode() -> Vec<u8> {
    cpio::write(&[
        Entry::directory("kernel"),
        Entry::directory("kernel/x86"),
        Entry::directory("kernel/x86/microcode"),
        Entry::file("kernel/x86/microcode/AuthenticAMD.bin", [0x5A; 700]),
    ])
}

/// Each compression, by the program that distributions' own programs use for it.
const PROGRAMS: [(Compression, &[&str]); 8] = [
    (Compression::Plain, &["cat"]),
    (Compression::Gzip, &["gzip", "-9"]),
    (Compression::Bzip2, &["bzip2", "-9"]),
    (Compression::Lzma, &["xz", "--format=lzma"]),
    (Compression::Xz, &["xz", "--check=crc32"]),
    (Compression::Lzo, &["lzop", "-9"]),
    (Compression::Lz4Legacy, &["lz4", "-9", "-l"]),
    (Compression::Zstd, &["zstd", "-q", "-19"]),
];

#[test]
fn the_table_has_no_compression_that_is_not_tested() {
    for row in Compression::KNOWN {
        assert!(PROGRAMS.iter().any(|(compression, _)| *compression == row.compression), "{}", row.name);
    }
}

#[test]
fn every_compression_is_read_and_appended_to() {
    for (compression, command) in PROGRAMS {
        let image = [microcode(), run(command[0], &command[1..], &existing())].concat();
        let before = read(&image);
        assert_eq!(before.segments.last().unwrap().compression, compression);
        assert!(before.paths.contains_key("kernel/x86/microcode/AuthenticAMD.bin"), "{compression}");

        let image = with_drivers(&image);
        let after = read(&image);
        let modules = format!("usr/lib/modules/{VERSION}");
        assert!(after.paths.contains_key(&format!("{modules}/kernel/drivers/virtio/virtio_pci.ko")));
        assert!(!after.paths.contains_key(&format!("{modules}/kernel/drivers/net/vmxnet3/vmxnet3.ko")));
        assert!(after.paths.contains_key("init"));
        assert_eq!(
            after.files["conf/modules"],
            b"# loaded first\nvmw_pvscsi\nvirtio_pci\nvirtio_scsi\nsd_mod\n"
        );
        // What was done once is not done again.
        assert_eq!(segment(&image).unwrap(), None, "{compression}");
    }
}

#[test]
fn nothing_that_is_there_changes() {
    let image = run("zstd", &["-q"], &existing());
    assert!(with_drivers(&image).starts_with(&image));
}

#[test]
fn an_image_whose_lib_is_a_link_keeps_it() {
    let image = existing();
    let entries = segment(&image).unwrap().unwrap();
    assert!(entries.iter().all(|entry| !entry.path.starts_with("lib")));
    // Of directories, only those that are missing are made.
    let directories: Vec<_> = entries.iter().filter(|entry| entry.contents.is_none()).collect();
    assert_eq!(directories.len(), 1);
    assert!(directories[0].path.ends_with("kernel/drivers/virtio"));
}

#[test]
fn a_kernel_without_the_driver_is_refused() {
    let image = gzip(&existing());
    let contents = read(&image);
    let flavour = Flavour::of(&contents).facts().unwrap();
    let load = ["nvme".to_string()];
    let request = Request { version: VERSION, tree: &tree(), contents: &contents, flavour, load: &load };
    let error = drivers::segment(&request, &mut |_| unreachable!()).unwrap_err();
    assert_eq!(error.to_string(), "the kernel 6.1.0-18-amd64 has no module nvme");
}

#[test]
fn a_module_that_cannot_be_read_is_named() {
    let image = gzip(&existing());
    let contents = read(&image);
    let flavour = Flavour::of(&contents).facts().unwrap();
    let request = Request { version: VERSION, tree: &tree(), contents: &contents, flavour, load: &load() };
    let error = drivers::segment(&request, &mut |path| {
        Err(FsError::new("read", path, ErrorKind::NotFound, "nothing is there"))
    });
    assert!(
        matches!(error, Err(Error::Module { path, .. }) if path.starts_with("/lib/modules/6.1.0-18-amd64/kernel"))
    );
}

#[test]
fn damage_is_told_with_its_place() {
    let mut image = [microcode(), gzip(&existing())].concat();
    let offset = microcode().len();
    image.truncate(offset + 200);
    let error = initramfs::read(&image, |_| false).unwrap_err();
    assert_eq!(error.to_string(), format!("the gzip segment at byte {offset} cannot be unpacked"));
    image.splice(offset.., *b"neither");
    let error = initramfs::read(&image, |_| false).unwrap_err();
    assert!(matches!(error, Error::UnknownSegment { offset: at } if at == offset));
}

fn run(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs {program}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // A reader that has seen its trailer may close its end.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

fn run_for_text(program: &str, arguments: &[&str], input: &[u8]) -> String {
    String::from_utf8(run(program, arguments, input)).unwrap()
}

#[test]
fn gnu_cpio_reads_our_archives() {
    let entries = segment(&existing()).unwrap().unwrap();
    let listing = run_for_text("cpio", &["-it", "--quiet"], &cpio::write(&entries));
    let expected: Vec<_> = entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(listing.lines().collect::<Vec<_>>(), expected);
}

/// Unpacks what an initramfs holds, as a kernel would.
fn unpack(image: &[u8], to: &Path) {
    let all = initramfs::read(image, |_| true).unwrap();
    for (path, kind) in &all.paths {
        match kind {
            Kind::Directory => std::fs::create_dir_all(to.join(path)).unwrap(),
            Kind::File => {
                std::fs::create_dir_all(to.join(path).parent().unwrap()).unwrap();
                std::fs::write(to.join(path), &all.files[path]).unwrap();
            }
            _ => {}
        }
    }
    std::os::unix::fs::symlink("usr/lib", to.join("lib")).unwrap();
}

#[test]
fn modprobe_finds_its_way_through_our_indices() {
    let directory = tempfile::tempdir().unwrap();
    unpack(&with_drivers(&gzip(&existing())), directory.path());
    let root = directory.path().to_str().unwrap();
    let modprobe = |arguments: &[&str]| {
        let output = run_for_text("modprobe", &[&["-d", root, "-S", VERSION], arguments].concat(), b"");
        let modules = format!("{root}/lib/modules/{VERSION}/");
        output.lines().map(|line| line.trim().replace(&modules, "")).collect::<Vec<_>>()
    };
    assert_eq!(
        modprobe(&["--show-depends", "virtio_scsi"]),
        [
            "insmod kernel/drivers/virtio/virtio_ring.ko",
            "insmod kernel/drivers/virtio/virtio.ko",
            "insmod kernel/drivers/scsi/scsi_mod.ko",
            "insmod kernel/drivers/scsi/virtio_scsi.ko",
        ]
    );
    // By alias, as udev asks for the devices of a KVM guest, and still for VMware's.
    assert_eq!(modprobe(&["-R", "virtio:d00000008v00001AF4"]), ["virtio_scsi"]);
    assert_eq!(modprobe(&["-R", "pci:v00001AF4d00001048sv00001AF4sd00001100bc01sc00i00"]), ["virtio_pci"]);
    assert_eq!(modprobe(&["-R", "scsi:t-0x00"]), ["sd_mod"]);
    assert_eq!(modprobe(&["-R", "pci:v000015ADd000007C0sv0sd0bc1sc0i0"]), ["vmw_pvscsi"]);
}

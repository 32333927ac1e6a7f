//! A filesystem that mke2fs filled, read without a kernel.
#![allow(clippy::unwrap_used, reason = "a test ends where something is amiss")]

use block::{BlockWrite, WritableFileDisk};
use guest::fs::native::NativeTree;
use guest::fs::{ErrorKind, FileKind, GuestFs, MountMode, Mounter};
use guest::inspect::inspect;
use guest::volume::{VolumeId, scan};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// An image whose filesystem holds the files below `root`.
fn filled(directory: &Path, name: &str, root: &Path) -> Arc<dyn BlockWrite> {
    let image = directory.join(name);
    let made = Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-d"])
        .args([root, &image])
        .arg("8M")
        .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
        .status()
        .unwrap_or_else(|error| panic!("this test needs mke2fs: {error}"));
    assert!(made.success());
    Arc::new(WritableFileDisk::open(&image).unwrap())
}

#[test]
fn a_guest_is_read_across_its_filesystems() {
    let directory = tempfile::tempdir().unwrap();
    let (root, boot) = (directory.path().join("r"), directory.path().join("b"));
    for path in ["r/etc", "r/boot", "r/usr/lib", "b/grub"] {
        fs::create_dir_all(directory.path().join(path)).unwrap();
    }
    fs::write(root.join("etc/fstab"), "/dev/sda / ext4\n/dev/sdb /boot ext4\n").unwrap();
    fs::write(root.join("usr/lib/os-release"), "ID=debian\nPRETTY_NAME=\"Debian\"\n").unwrap();
    symlink("../usr/lib/os-release", root.join("etc/os-release")).unwrap();
    symlink("boot/kernel", root.join("kernel")).unwrap();
    symlink("/kernel", root.join("again")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    fs::write(boot.join("kernel"), "a kernel").unwrap();
    let disks = [filled(directory.path(), "root", &root), filled(directory.path(), "boot", &boot)];
    let volumes = scan(&disks).unwrap();
    let mut tree = NativeTree::new(&volumes);

    let inspection = inspect(&mut tree, &volumes).unwrap().unwrap();
    assert_eq!(inspection.pretty_name(), "Debian");
    assert_eq!(inspection.mounts.len(), 2);
    assert_eq!(tree.read("/again", 100).unwrap(), b"a kernel");
    assert_eq!(tree.read("/etc/../../boot/./kernel", 100).unwrap(), b"a kernel");
    assert_eq!(tree.metadata("/again").unwrap().kind, FileKind::Symlink);
    assert_eq!(tree.read("/kernel", 7).unwrap_err().kind, ErrorKind::TooLarge);
    assert_eq!(tree.read("/boot", 7).unwrap_err().kind, ErrorKind::WrongKind);
    assert_eq!(tree.list("/nothing").unwrap_err().kind, ErrorKind::NotFound);
    assert!(tree.read("/loop", 7).is_err());
    assert_eq!(tree.write("/new", b"", 0o644).unwrap_err().kind, ErrorKind::ReadOnly);
    assert_eq!(
        tree.mount(VolumeId(0), "/", MountMode::ReadWrite, None).unwrap_err().kind,
        ErrorKind::ReadOnly
    );
}

#[test]
fn free_space_is_what_the_filesystem_says() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("r");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/fstab"), vec![b'#'; 300_000]).unwrap();
    let volumes = scan(&[filled(directory.path(), "root", &root)]).unwrap();
    let mut tree = NativeTree::new(&volumes);
    assert!(NativeTree::suffices_for(&volumes));
    tree.mount(VolumeId(0), "/", MountMode::ReadOnly, None).unwrap();

    let says = Command::new("dumpe2fs")
        .arg("-h")
        .arg(directory.path().join("root"))
        .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
        .output()
        .unwrap_or_else(|error| panic!("this test needs dumpe2fs: {error}"));
    let says = String::from_utf8(says.stdout).unwrap();
    let field = |name: &str| -> u64 {
        let line = says.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse().unwrap()
    };
    let free = (field("Free blocks:") - field("Reserved block count:")) * field("Block size:");
    assert_eq!(tree.free_space("/").unwrap(), Some(free));
}

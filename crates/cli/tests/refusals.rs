//! Bad input: each is refused with a message that says what, where and why, and leaves nothing behind.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use support::{
    Member, Ran, convert, names, ova_members, small_ova, small_vmx, text, write_raw, write_tar, write_vmdk,
};
use tempfile::TempDir;

const REFUSED: Option<i32> = Some(3);

/// Converts `source`, and holds the outcome against what must be said. Nothing may be left in the output.
#[track_caller]
fn refused(source: &Path, code: Option<i32>, says: &[&str]) -> Ran {
    let output = TempDir::new().unwrap();
    let ran = convert(source, &output.path().join("out"), &[]);
    assert_eq!(ran.code, code, "{}", ran.stderr);
    for part in says {
        assert!(ran.stderr.contains(part), "{part:?} is missing in: {}", ran.stderr);
    }
    assert!(ran.stderr.contains('→'), "no remedy in: {}", ran.stderr);
    assert_eq!(names(&output.path().join("out")), [""; 0]);
    assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    ran
}

/// An OVA of `members`.
fn ova(directory: &TempDir, members: &[Member]) -> PathBuf {
    let path = directory.path().join("bad.ova");
    write_tar(&path, members);
    path
}

/// A VMX whose disk is a monolithicSparse VMDK after `damage`.
fn vmx_with(directory: &TempDir, damage: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let (raw, vmdk) = (directory.path().join("d.raw"), directory.path().join("d.vmdk"));
    write_raw(&raw, 3);
    write_vmdk(&raw, &vmdk, "monolithicSparse");
    let mut bytes = fs::read(&vmdk).unwrap();
    damage(&mut bytes);
    fs::write(&vmdk, bytes).unwrap();
    small_vmx(directory.path(), "d.vmdk", "")
}

#[test]
fn a_truncated_ova() {
    let directory = TempDir::new().unwrap();
    let path = small_ova(directory.path(), 3);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    refused(&path, REFUSED, &["small.vmdk", "cut off", "bytes", "missing"]);
}

#[test]
fn a_wrong_digest() {
    let directory = TempDir::new().unwrap();
    let mut members = ova_members(directory.path(), 3);
    let length = members[2].contents.len();
    members[2].contents[length / 2] ^= 1;
    refused(&ova(&directory, &members), REFUSED, &["SHA-256 of small.vmdk", "small.mf"]);
}

#[test]
fn names_that_leave_the_package() {
    for name in ["../evil.vmdk", "/etc/evil.vmdk", "a/../../evil.vmdk"] {
        let directory = TempDir::new().unwrap();
        let mut members = ova_members(directory.path(), 3);
        members.push(Member::file(name, "x"));
        refused(&ova(&directory, &members), REFUSED, &[name]);
    }
}

#[test]
fn links_in_the_package() {
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link] {
        let directory = TempDir::new().unwrap();
        let mut members = ova_members(directory.path(), 3);
        members.push(Member {
            name: "link.vmdk".into(),
            kind,
            link: Some("/etc/passwd".into()),
            contents: Vec::new(),
        });
        refused(&ova(&directory, &members), REFUSED, &["link.vmdk", "link"]);
    }
}

#[test]
fn a_missing_extent() {
    let directory = TempDir::new().unwrap();
    let (raw, vmdk) = (directory.path().join("d.raw"), directory.path().join("d.vmdk"));
    write_raw(&raw, 3);
    write_vmdk(&raw, &vmdk, "monolithicFlat");
    fs::remove_file(directory.path().join("d-flat.vmdk")).unwrap();
    refused(&small_vmx(directory.path(), "d.vmdk", ""), REFUSED, &["d-flat.vmdk"]);
}

#[test]
fn a_foreign_extent() {
    for extent in ["/etc/passwd", "../outside.vmdk", "link.vmdk"] {
        let outside = TempDir::new().unwrap();
        let directory = outside.path().join("inside");
        fs::create_dir(&directory).unwrap();
        fs::write(outside.path().join("outside.vmdk"), vec![0; 1 << 20]).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", directory.join("link.vmdk")).unwrap();
        let descriptor = format!(
            "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\n\
             RW 2048 FLAT \"{extent}\" 0\n"
        );
        fs::write(directory.join("d.vmdk"), descriptor).unwrap();
        refused(&small_vmx(&directory, "d.vmdk", ""), REFUSED, &[extent]);
    }
}

#[test]
fn a_grain_table_outside_the_file() {
    let directory = TempDir::new().unwrap();
    // The grain directory's place in sectors stands at byte 56 of the header; both copies are sent astray.
    let path = vmx_with(&directory, |bytes| {
        for field in [48, 56] {
            let sector = u64::from_le_bytes(bytes[field..field + 8].try_into().unwrap());
            let at = (sector * 512) as usize;
            bytes[at..at + 4].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
        }
    });
    refused(&path, REFUSED, &["d.vmdk", "grain table"]);
}

#[test]
fn an_absurd_size() {
    let directory = TempDir::new().unwrap();
    let path = vmx_with(&directory, |bytes| bytes[12..20].copy_from_slice(&(1_u64 << 60).to_le_bytes()));
    refused(&path, REFUSED, &["d.vmdk"]);
}

#[test]
fn a_delta_whose_parent_changed() {
    let directory = TempDir::new().unwrap();
    let (raw, base, delta) = (
        directory.path().join("d.raw"),
        directory.path().join("base.vmdk"),
        directory.path().join("delta.vmdk"),
    );
    write_raw(&raw, 3);
    write_vmdk(&raw, &base, "monolithicSparse");
    support::run("qemu-img", &["create", "-q", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", text(&delta)]);
    let mut bytes = fs::read(&base).unwrap();
    let at = bytes.windows(4).position(|window| window == b"CID=").unwrap();
    // QEMU leaves leading zeroes out, and nothing behind the digits may move.
    let digits = bytes[at + 4..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    bytes[at + 4..at + 4 + digits].copy_from_slice(&b"0badc0de"[8 - digits..]);
    fs::write(&base, bytes).unwrap();
    refused(&small_vmx(directory.path(), "delta.vmdk", ""), REFUSED, &["base.vmdk", "changed"]);
}

#[test]
fn an_encrypted_vmx() {
    let directory = TempDir::new().unwrap();
    write_raw(&directory.path().join("d.vmdk"), 3);
    let keys = "encryption.keySafe = \"vmware:key/list/(pair/(phrase/x,HMAC-SHA-1,y))\"\nencryption.data = \"AAAA\"\n";
    refused(&small_vmx(directory.path(), "d.vmdk", keys), REFUSED, &["encrypted"]);
}

#[test]
fn what_is_no_machine_at_all() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("nothing.ova");
    fs::write(&path, "hello").unwrap();
    refused(&path, REFUSED, &["nothing.ova"]);
    let ran = convert(&directory.path().join("absent.ova"), &directory.path().join("out"), &[]);
    assert!(ran.stderr.contains("absent.ova") && ran.stderr.contains("No such file"), "{}", ran.stderr);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    assert_eq!(support::anyvisor(&["convert"]).code, Some(2));
    assert_eq!(support::anyvisor(&["convert", "x.ova", "--to", "abacus", "--output", "x"]).code, Some(2));
}

#[test]
fn a_name_that_is_a_path() {
    let directory = TempDir::new().unwrap();
    let source = small_ova(directory.path(), 3);
    let ran = convert(&source, &directory.path().join("out"), &["--name", "../evil"]);
    assert_eq!(ran.code, REFUSED, "{}", ran.stderr);
    assert!(ran.stderr.contains("../evil"), "{}", ran.stderr);
}

#[test]
fn a_manifest_whose_disk_lies_elsewhere() {
    let directory = TempDir::new().unwrap();
    let source = small_ova(directory.path(), 3);
    let out = directory.path().join("out");
    let ran = convert(&source, &out, &["--disks-only"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let manifest = out.join("small.manifest.json");
    let honest = fs::read_to_string(&manifest).unwrap();
    fs::write(directory.path().join("secret"), [7; 512]).unwrap();
    for elsewhere in ["../secret", "/etc/hostname", "x/../../secret"] {
        fs::write(&manifest, honest.replace("small-disk1.qcow2", elsewhere)).unwrap();
        let ran = support::anyvisor(&["rehearse", text(&manifest)]);
        assert_eq!(ran.code, REFUSED, "{elsewhere}: {}", ran.stderr);
        assert!(ran.stderr.contains(elsewhere) && ran.stderr.contains('→'), "{}", ran.stderr);
    }
}

/// A filesystem of 8 MiB, in a mount namespace of its own, receives a disk of 24.
#[test]
fn no_space_left_on_the_target() {
    let directory = TempDir::new().unwrap();
    let source = small_ova(directory.path(), 36);
    let small = directory.path().join("full");
    fs::create_dir(&small).unwrap();
    let script = r#"mount -t tmpfs -o size=8m none "$1" && { "$2" convert "$3" --to kvm --output "$1"; echo "code $?"; ls -A "$1"; }"#;
    let arguments = ["--map-root-user", "--mount", "sh", "-c", script, "sh"];
    let mut command = std::process::Command::new("unshare");
    command.args(arguments).args([&small, Path::new(env!("CARGO_BIN_EXE_anyvisor")), &source]);
    let output = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(stdout, "code 1\n", "{stderr}");
    assert!(
        stderr.contains("full")
            && stderr.contains("no space")
            && stderr.contains("bytes are needed")
            && stderr.contains('→'),
        "{stderr}"
    );
}

//! Manifests, right and wrong.

use crate::make::{chain, descriptor, manifest_line, tar, write};
use dialect::Package;
use dialect::package::{Algorithm, Error};
use image::NoProgress;
use image::copy::Progress;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

static DISK: [u8; 70_000] = [7; 70_000];

fn package(directory: &Path, manifest: &str, more: &[(&str, &[u8])]) -> Package {
    let ovf = descriptor("a.img", "", DISK.len() as u64);
    let mut members: Vec<(&str, &[u8])> =
        vec![("a.ovf", ovf.as_bytes()), ("a.mf", manifest.as_bytes()), ("a.img", &DISK)];
    members.extend_from_slice(more);
    Package::open(&write(directory, "a.ova", tar(&members))).unwrap()
}

fn line(algorithm: &str, name: &str, bytes: &[u8]) -> String {
    match algorithm {
        "SHA1" => manifest_line::<sha1::Sha1>(algorithm, name, bytes),
        "SHA256" => manifest_line::<sha2::Sha256>(algorithm, name, bytes),
        _ => manifest_line::<sha2::Sha512>(algorithm, name, bytes),
    }
}

#[derive(Default)]
struct Counting {
    total: AtomicU64,
    done: AtomicU64,
}

impl Progress for Counting {
    fn start(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[test]
fn every_kind_of_digest_is_verified() {
    let directory = tempfile::tempdir().unwrap();
    let ovf = descriptor("a.img", "", DISK.len() as u64);
    for (name, algorithm) in
        [("SHA1", Algorithm::Sha1), ("SHA256", Algorithm::Sha256), ("SHA512", Algorithm::Sha512)]
    {
        let manifest = line(name, "a.ovf", ovf.as_bytes()) + &line(name, "a.img", &DISK);
        let package = package(directory.path(), &manifest, &[]);
        let progress = Counting::default();
        let verified = package.verify(&progress).unwrap();
        let files: Vec<_> =
            verified.iter().map(|one| (one.file.as_str(), one.algorithm, one.bytes)).collect();
        assert_eq!(files, [("a.ovf", algorithm, ovf.len() as u64), ("a.img", algorithm, DISK.len() as u64)]);
        assert_eq!(progress.total.into_inner(), progress.done.into_inner());
        assert!(package.losses.is_empty(), "{:?}", package.losses);
    }
}

#[test]
fn a_wrong_digest_names_the_file_and_both_digests() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = line("SHA256", "a.img", b"something else");
    let error = package(directory.path(), &manifest, &[]).verify(&NoProgress).unwrap_err();
    let Error::Digest { file, expected, actual, .. } = &error else { panic!("{error}") };
    assert_eq!(file, "a.img");
    assert_ne!(expected, actual);
    assert!(manifest.contains(expected));
    assert!(line("SHA256", "a.img", &DISK).contains(actual));
    for part in ["a.img", "a.mf", "SHA-256", expected, actual] {
        assert!(chain(&error).contains(part), "{error}");
    }
    assert!(error.remedy().contains("export"));
}

#[test]
fn what_is_not_listed_or_not_there_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = line("SHA1", "gone.vmdk", b"");
    let package = package(directory.path(), &manifest, &[("a.cert", b"signature")]);
    let said: Vec<String> = package.losses.iter().map(ToString::to_string).collect();
    for part in [
        "a.img: the manifest does not list it",
        "a.ovf: the manifest does not",
        "gone.vmdk: the manifest lists it",
        "a.cert: the package is signed",
    ] {
        assert!(said.iter().any(|said| said.contains(part)), "{part}: {said:?}");
    }
    assert_eq!(package.facts.certificate.as_deref(), Some("a.cert"));
    assert_eq!(package.verify(&NoProgress).unwrap(), []);
}

#[test]
fn a_damaged_manifest_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let ovf = descriptor("a.img", "", 4096);
    let refuse = |manifest: &str| {
        let members: [(&str, &[u8]); 2] = [("a.ovf", ovf.as_bytes()), ("a.mf", manifest.as_bytes())];
        Package::open(&write(directory.path(), "a.ova", tar(&members))).unwrap_err()
    };
    assert!(matches!(refuse("SHA256(a.img)= 1234\n"), Error::Manifest { line: 1, .. }));
    assert!(matches!(
        refuse("\nMD5(a.img)= d41d8cd98f00b204e9800998ecf8427e\n"),
        Error::Algorithm { line: 2, .. }
    ));
    assert!(matches!(refuse("<html>"), Error::Manifest { .. }));
}

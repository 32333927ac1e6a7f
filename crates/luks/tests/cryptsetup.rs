//! Volumes made by cryptsetup, and by QEMU, read and written.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

use luks::{Error, Reason, SECTOR, Secret, Unlocked, unlock};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What a program says, given `input` on its standard input.
fn run(program: &str, arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} cannot be run, install it: {error}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn cryptsetup(arguments: &[&str], passphrase: &str) -> String {
    run("cryptsetup", arguments, passphrase.as_bytes())
}

/// A volume of 32 MiB, formatted so.
fn formatted(directory: &Path, options: &[&str], passphrase: &str) -> Vec<u8> {
    let path = directory.join("volume");
    fs::write(&path, vec![0; 32 << 20]).unwrap();
    let mut arguments = vec!["luksFormat", "--batch-mode", "--key-file", "-"];
    arguments.extend(options);
    arguments.push(path.to_str().unwrap());
    cryptsetup(&arguments, passphrase);
    fs::read(path).unwrap()
}

fn opened(volume: &[u8], secrets: &[&str]) -> Result<Unlocked, Error<()>> {
    let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::passphrase(*secret)).collect();
    let mut read = |offset: u64, length: usize| Ok(volume[offset as usize..][..length].to_vec());
    unlock(volume.len() as u64, &mut read, &secrets)
}

fn reason(volume: &[u8], secrets: &[&str]) -> Reason {
    match opened(volume, secrets) {
        Ok(_) => panic!("it was opened"),
        Err(Error::Refused(reason)) => reason,
        Err(Error::Read(())) => unreachable!(),
    }
}

/// Options that make a key quickly.
const QUICK: &[&str] = &["--pbkdf-force-iterations", "1000", "--pbkdf", "pbkdf2"];
const ARGON2ID: &[&str] = &[
    "--pbkdf",
    "argon2id",
    "--pbkdf-force-iterations",
    "4",
    "--pbkdf-memory",
    "64",
    "--pbkdf-parallel",
    "1",
];
const ARGON2I: &[&str] = &[
    "--pbkdf",
    "argon2i",
    "--pbkdf-force-iterations",
    "4",
    "--pbkdf-memory",
    "8192",
    "--pbkdf-parallel",
    "4",
];

#[test]
fn every_kind_is_unlocked() {
    let kinds: [(&[&str], &[&str], u64); 9] = [
        (&["--type", "luks1"], QUICK, 512),
        (&["--type", "luks1", "--cipher", "aes-cbc-essiv:sha256", "--hash", "sha1"], QUICK, 512),
        (&["--type", "luks1", "--key-size", "256", "--hash", "sha512"], QUICK, 512),
        (&["--type", "luks2"], QUICK, 512),
        (&["--type", "luks2", "--sector-size", "4096"], ARGON2ID, 4096),
        (&["--type", "luks2", "--sector-size", "512"], ARGON2I, 512),
        (&["--type", "luks2", "--cipher", "aes-cbc-essiv:sha256", "--key-size", "256"], ARGON2ID, 512),
        (&["--type", "luks2", "--luks2-metadata-size", "64k", "--offset", "16384"], ARGON2ID, 512),
        (&["--type", "luks2", "--hash", "sha512", "--key-size", "256"], QUICK, 512),
    ];
    for (kind, work, sector) in kinds {
        let directory = TempDir::new().unwrap();
        let options: Vec<&str> = kind.iter().chain(work).copied().collect();
        let volume = formatted(directory.path(), &options, "correct horse");
        let unlocked = opened(&volume, &["battery staple", "correct horse"]).unwrap();
        assert!(unlocked.sector >= sector, "{options:?}");
        assert!(unlocked.payload.start > 0 && unlocked.payload.end == volume.len() as u64, "{options:?}");
        assert_eq!(reason(&volume, &["battery staple"]), Reason::Secret, "{options:?}");
        assert_eq!(reason(&volume, &[]), Reason::Locked, "{options:?}");
    }
}

/// Calls `work` on each encrypted sector of the first `length` bytes.
fn each_sector(volume: &mut [u8], unlocked: &Unlocked, length: usize, work: impl Fn(u64, &mut [u8])) {
    let payload = &mut volume[unlocked.payload.start as usize..][..length];
    for (place, piece) in (0..).zip(payload.chunks_mut(unlocked.sector as usize)) {
        work(unlocked.first + place * unlocked.sector / SECTOR, piece);
    }
}

/// cryptsetup encrypts data in place: what was there is there when it is decrypted here, and what is encrypted here it
/// decrypts.
#[test]
fn data_goes_there_and_back() {
    for sector in ["512", "4096"] {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("volume");
        let header = directory.path().join("header");
        let (name, header) = (path.to_str().unwrap(), header.to_str().unwrap());
        let clear: Vec<u8> = (0..4_u64 << 20).map(|place| (place / 3 + place * place % 253) as u8).collect();
        fs::write(&path, &clear).unwrap();
        // Room for the header.
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(48 << 20).unwrap();
        let encrypt =
            ["reencrypt", "--encrypt", "--type", "luks2", "--reduce-device-size", "32m", "--batch-mode"];
        let how = ["--key-file", "-", "--sector-size", sector, "--resilience", "none"];
        cryptsetup(&[&encrypt[..], &how, QUICK, &[name]].concat(), "key");
        let mut volume = fs::read(&path).unwrap();
        let unlocked = opened(&volume, &["key"]).unwrap();
        assert_eq!(unlocked.sector.to_string(), sector);
        each_sector(&mut volume, &unlocked, clear.len(), |number, piece| {
            unlocked.cipher.decrypt(number, piece)
        });
        assert!(volume[unlocked.payload.start as usize..][..clear.len()] == clear);
        each_sector(&mut volume, &unlocked, clear.len(), |number, piece| {
            piece.iter_mut().for_each(|byte| *byte ^= 0x55);
            unlocked.cipher.encrypt(number, piece);
        });
        fs::write(&path, &volume).unwrap();
        let decrypt =
            ["reencrypt", "--decrypt", "--force-offline-reencrypt", "--batch-mode", "--key-file", "-"];
        cryptsetup(&[&decrypt[..], &["--header", header, name]].concat(), "key");
        let changed: Vec<u8> = clear.iter().map(|byte| byte ^ 0x55).collect();
        assert!(fs::read(&path).unwrap()[..clear.len()] == changed);
    }
}

#[test]
fn either_copy_of_the_header_will_do() {
    let directory = TempDir::new().unwrap();
    let good = formatted(directory.path(), &[&["--type", "luks2"], QUICK].concat(), "key");
    let mut volume = good.clone();
    volume[..8].fill(0);
    assert!(opened(&volume, &["key"]).is_ok());
    let mut volume = good.clone();
    volume[0x4000..0x4008].fill(0);
    assert!(opened(&volume, &["key"]).is_ok());
    // A changed word of the metadata, in both.
    let mut volume = good;
    for start in [0, 0x4000] {
        volume[start + 4096 + 10] ^= 1;
    }
    assert_eq!(reason(&volume, &["key"]), Reason::Header { what: "is damaged, and so is its copy" });
}

#[test]
fn what_is_no_volume_is_refused() {
    assert!(matches!(reason(&[0; 4096], &["key"]), Reason::Header { .. }));
    assert!(matches!(reason(&[], &["key"]), Reason::Header { .. }));
    assert!(matches!(reason(b"LUKS\xba\xbe\0\x01", &["key"]), Reason::Header { .. }));
}

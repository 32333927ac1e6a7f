//! Archives that we write are read back entry for entry, whatever compresses them; and anything is read as an initramfs
//! without harm.
#![no_main]

use guest::initramfs::compression::{gzip, lz4_legacy};
use guest::initramfs::cpio::{self, Entry, Kind};
use guest::initramfs::{self, drivers};
use libfuzzer_sys::{arbitrary, fuzz_target};
use std::collections::BTreeMap;

#[derive(Debug, arbitrary::Arbitrary)]
enum Input {
    Image(Vec<u8>),
    Archives(Vec<(u8, Vec<(u16, Option<Vec<u8>>)>)>),
}

fuzz_target!(|input: Input| match input {
    Input::Image(bytes) => drop(initramfs::read(&bytes, drivers::is_needed)),
    Input::Archives(archives) => {
        let mut image = Vec::new();
        let mut expected = BTreeMap::new();
        for (packing, files) in archives {
            let entries: Vec<Entry> = files
                .into_iter()
                .map(|(name, contents)| Entry {
                    path: format!("d{}/f{name}", name % 3),
                    contents,
                    executable: false,
                })
                .collect();
            let archive = cpio::write(&entries);
            for entry in entries {
                expected.insert(entry.path, entry.contents);
            }
            // What follows lz4 is taken for more of it, so that only other kinds are followed by others.
            image.extend(if packing % 2 == 0 { gzip(&archive) } else { archive });
            image.resize(image.len().next_multiple_of(4), 0);
        }
        for image in [image.clone(), lz4_legacy_of(&image)] {
            let contents = initramfs::read(&image, |_| true).expect("our own archives are read");
            let files: BTreeMap<_, _> = contents
                .paths
                .iter()
                .map(|(path, kind)| {
                    (path.clone(), (*kind == Kind::File).then(|| contents.files[path].clone()))
                })
                .collect();
            assert_eq!(files, expected);
        }
    }
});

/// The same entries in one lz4 stream.
fn lz4_legacy_of(image: &[u8]) -> Vec<u8> {
    let contents = initramfs::read(image, |_| true).expect("our own archives are read");
    let entries: Vec<Entry> = contents
        .paths
        .iter()
        .map(|(path, kind)| Entry {
            path: path.clone(),
            contents: (*kind == Kind::File).then(|| contents.files[path].clone()),
            executable: false,
        })
        .collect();
    lz4_legacy(&cpio::write(&entries))
}

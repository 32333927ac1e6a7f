//! Real descriptions of many products, read from the corpus beside the workspace when it is there.

#![allow(dead_code)]

pub mod score;

use std::io::Read;
use std::path::{Path, PathBuf};

/// A file of the corpus.
pub struct Member {
    /// Its path inside the archive.
    pub path: String,
    /// Its contents.
    pub bytes: Vec<u8>,
}

/// Where the corpus would be.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus")
}

/// The files of a suite of golden files, by path; none, with a printed line, when the corpus is not there.
pub fn suite(name: &str) -> Option<Vec<Member>> {
    let directory = directory().join("golden");
    let archive = ["open.tar.xz", "tar.xz"].map(|end| directory.join(format!("{name}.{end}")));
    let Some(path) = archive.iter().find(|path| path.exists()) else {
        println!("skipped: there is no corpus with {name} at {}", directory.display());
        return None;
    };
    let file = std::fs::File::open(path).unwrap();
    let mut tar = tar::Archive::new(liblzma::read::XzDecoder::new(file));
    let mut members = Vec::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path().unwrap().display().to_string().trim_start_matches("./").to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        members.push(Member { path, bytes });
    }
    members.sort_by(|a, b| a.path.cmp(&b.path));
    Some(members)
}

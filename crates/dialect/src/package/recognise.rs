//! What a path leads to, by its contents: the containers of [`SOURCES`], then disk images, then the dialects.

use super::{
    DirectoryGate, Error, OpenOptions, Package, Result, described, directory, lone, ova, vagrant, vma, xva,
};
use crate::dialects::{self, DIALECTS, Dialect, Head};
use block::BlockRead;
use image::Gate;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much of a file is looked at to recognise it, in bytes.
const HEAD: u64 = 64 << 10;

/// A kind of package that is more than a description with files beside it.
#[derive(Debug)]
pub struct Source {
    /// Its name: `ova`.
    pub name: &'static str,
    /// Its name for people, with an article.
    pub description: &'static str,
    /// Opens it; `None` when the file is something else.
    pub(super) open: fn(&Named) -> Option<Result<Package>>,
}

/// Every such kind, in the order in which they are tried.
pub static SOURCES: &[&Source] = &[&vma::SOURCE, &xva::SOURCE, &vagrant::SOURCE, &ova::SOURCE, &lone::SOURCE];

/// A file that the user named.
pub(super) struct Named {
    /// The path as it was named.
    pub(super) path: PathBuf,
    /// Its name in its directory.
    pub(super) name: String,
    /// Opens the files of its directory.
    pub(super) gate: Arc<dyn Gate>,
    /// The file.
    pub(super) disk: Arc<dyn BlockRead>,
    /// Its beginning.
    pub(super) head: Vec<u8>,
    /// Its beginning as text.
    pub(super) text: String,
    /// What the user allows.
    pub(super) options: OpenOptions,
}

pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Package> {
    if path.is_dir() {
        return open(&directory::description_in(path)?, options);
    }
    let named = Named::new(path, options)?;
    for source in SOURCES {
        if let Some(package) = (source.open)(&named) {
            return package;
        }
    }
    match named.dialect() {
        Some(dialect) => described::open(&named, dialect),
        None if named.is_called(&["ova"]) => ova::open(&named),
        None if named.is_called(&["raw", "img", "dd", "bin"]) && named.disk.size() > 0 => lone::open(&named),
        None => Err(Error::Unrecognised { path: named.path }),
    }
}

impl Named {
    fn new(path: &Path, options: &OpenOptions) -> Result<Self> {
        let refused = |source| Error::Path { path: path.to_path_buf(), source };
        let (gate, name) = DirectoryGate::for_file(path).map_err(refused)?;
        let disk = gate.open(&name).map_err(refused)?;
        let mut head = vec![0; usize::try_from(disk.size().min(HEAD)).unwrap_or(0)];
        disk.read_at(&mut head, 0).map_err(|source| Error::Read { file: name.clone(), source })?;
        let text = text(&head);
        let (path, gate, options) = (path.to_path_buf(), Arc::new(gate) as _, options.clone());
        Ok(Self { path, name, gate, disk, head, text, options })
    }

    /// Whether its name has one of those endings.
    pub(super) fn is_called(&self, endings: &[&str]) -> bool {
        let ending = self.name.rsplit_once('.').map(|(_, ending)| ending).unwrap_or_default();
        endings.iter().any(|known| ending.eq_ignore_ascii_case(known))
    }

    /// The dialect that it is written in by its contents; where those say nothing, by its name.
    fn dialect(&self) -> Option<&'static Dialect> {
        let head = Head { bytes: &self.head, text: &self.text };
        dialects::recognise(&head).or_else(|| {
            DIALECTS
                .iter()
                .copied()
                .find(|dialect| dialect.parse.is_some() && self.is_called(&[dialect.ending]))
        })
    }

    /// The whole of a file, when it is no longer than a description may be.
    pub(super) fn bytes(&self, disk: &dyn BlockRead, limit: usize) -> Result<Vec<u8>> {
        let size = disk.size();
        let length = usize::try_from(size).ok().filter(|&length| length <= limit);
        let length = length.ok_or_else(|| Error::TooLarge { path: self.path.clone(), size })?;
        let mut bytes = vec![0; length];
        disk.read_at(&mut bytes, 0).map_err(|source| Error::Read { file: self.name.clone(), source })?;
        Ok(bytes)
    }
}

/// Bytes as text: UTF-16 by its mark, anything else as UTF-8 as far as it is.
pub(super) fn text(bytes: &[u8]) -> String {
    let encoding = match bytes {
        [0xff, 0xfe, ..] => encoding_rs::UTF_16LE,
        [0xfe, 0xff, ..] => encoding_rs::UTF_16BE,
        _ => encoding_rs::UTF_8,
    };
    encoding.decode(bytes).0.into_owned()
}

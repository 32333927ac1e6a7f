//! The libraries that programs are linked with, found in an unpacked tree of packages.

use crate::elf;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The loader, which programs name by its path.
const LOADER: &str = "ld-linux-x86-64.so.2";
/// The library that a thread's end needs, which nothing is linked with.
const UNWINDER: &str = "libgcc_s.so.1";
/// More than Xen's tools have.
const MOST: usize = 128;

/// The libraries of `programs`, by name; with those that they need, and the loader.
///
/// # Errors
/// The name of one that is in none of `directories`.
pub(super) fn closure(
    programs: &[Vec<u8>],
    directories: &[PathBuf],
) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut found = BTreeMap::new();
    let mut next: Vec<String> =
        programs.iter().flat_map(|program| elf::needed(program).unwrap_or_default()).collect();
    next.extend([LOADER, UNWINDER].map(String::from));
    while let Some(name) = next.pop() {
        if found.contains_key(&name) || found.len() >= MOST {
            continue;
        }
        let contents = read(&name, directories).ok_or_else(|| name.clone())?;
        next.extend(elf::needed(&contents).unwrap_or_default());
        found.insert(name, contents);
    }
    Ok(found)
}

fn read(name: &str, directories: &[PathBuf]) -> Option<Vec<u8>> {
    // A library's name is a file's; a path in its place would lead out.
    let name = Path::new(name).file_name().filter(|file| *file == name)?;
    directories.iter().find_map(|directory| std::fs::read(directory.join(name)).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_missing_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let directories = [directory.path().to_path_buf()];
        std::fs::write(directory.path().join(LOADER), b"loader").unwrap();
        assert_eq!(closure(&[], &directories).unwrap_err(), UNWINDER);
        std::fs::write(directory.path().join(UNWINDER), b"unwinder").unwrap();
        assert_eq!(closure(&[b"script".to_vec()], &directories).unwrap().len(), 2);
        assert_eq!(read("../x", &directories), None);
    }
}

//! A kernel's modules: finding them, and what they need first.
//!
//! What a module needs stands in the module itself (its `.modinfo` section), which is where `depmod` takes it from for
//! `modules.dep`. Read from there, it is also at hand for a kernel package that was only unpacked.

use crate::decompress::decompress;
use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// How deep modules lie below their kernel's directory, with room to spare.
const DEPTH: usize = 12;

/// The modules of one kernel.
pub(crate) struct Modules {
    version: String,
    /// Files by the module's name.
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
}

/// A module, ready to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) contents: Vec<u8>,
}

impl Modules {
    /// Those in a kernel's directory `lib/modules/VERSION`.
    pub(crate) fn scan(directory: &Path, version: &str) -> Result<Self> {
        let mut files = BTreeMap::new();
        collect(&directory.join("kernel"), DEPTH, &mut files)?;
        let list = std::fs::read_to_string(directory.join("modules.builtin")).unwrap_or_default();
        let builtin = list.lines().filter_map(|line| name_of(Path::new(line))).collect();
        Ok(Self { version: version.to_string(), files, builtin })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name) || self.builtin.contains(name)
    }

    /// These modules and those that they need, each after what it needs. What is built into the kernel is left out.
    ///
    /// # Errors
    /// [`Error::NoModule`] when the kernel lacks one.
    pub(crate) fn closure(&self, names: &[&str]) -> Result<Vec<Module>> {
        let mut modules = Vec::new();
        let mut seen = BTreeSet::new();
        for name in names {
            self.add(name, &mut seen, &mut modules)?;
        }
        Ok(modules)
    }

    /// Depth first; `seen` ends a circle, which a kernel does not have.
    fn add(&self, name: &str, seen: &mut BTreeSet<String>, modules: &mut Vec<Module>) -> Result<()> {
        if !seen.insert(name.to_string()) || self.builtin.contains(name) {
            return Ok(());
        }
        let file = self
            .files
            .get(name)
            .ok_or_else(|| Error::NoModule { version: self.version.clone(), module: name.to_string() })?;
        let mut contents = read(file)?;
        drop_signature(&mut contents);
        // A module whose sections cannot be read is the kernel's to refuse.
        let _ = hide_type_information(&mut contents);
        for needed in dependencies(&contents) {
            self.add(&needed, seen, modules)?;
        }
        modules.push(Module { name: name.to_string(), contents });
        Ok(())
    }
}

fn collect(directory: &Path, depth: usize, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let unreadable = |error| Error::io("list", directory)(error);
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        if entry.file_type().map_err(unreadable)?.is_dir() {
            if depth > 0 {
                collect(&path, depth - 1, files)?;
            }
        } else if let Some(name) = name_of(&path) {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// `virtio_blk` of `…/virtio-blk.ko.xz`: names have underscores where files may have dashes.
fn name_of(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let stem = [".ko", ".ko.gz", ".ko.xz", ".ko.zst"].iter().find_map(|end| file.strip_suffix(end))?;
    Some(stem.replace('-', "_"))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(file).map_err(Error::io("read", file))?;
    match decompress(&bytes) {
        None => Ok(bytes),
        Some(result) => {
            result.map_err(|error| Error::Compressed { path: file.to_path_buf(), reason: error.to_string() })
        }
    }
}

/// Ends a module before its signature (the kernel's `Documentation/admin-guide/module-signing.rst`). No kernel that is
/// started directly insists on one, and to hash two megabytes takes an emulated processor half a second.
fn drop_signature(module: &mut Vec<u8>) {
    const MARK: &[u8] = b"~Module signature appended~\n";
    /// `struct module_signature`: five bytes and three of padding, then the signature's length, big-endian.
    const TAIL: usize = 12;
    let Some((rest, tail)) = module.strip_suffix(MARK).and_then(|rest| rest.split_last_chunk::<TAIL>())
    else {
        return;
    };
    let [.., a, b, c, d] = *tail;
    if let Some(length) = rest.len().checked_sub(u32::from_be_bytes([a, b, c, d]) as usize) {
        module.truncate(length);
    }
}

/// Renames a module's section `.BTF`, so that the kernel does not find it: else it checks the types of the module and,
/// for the first one, of the whole kernel, for the sake of BPF programs that there are none of. `None` when the module
/// is no ELF file of 64 bits whose section names can be found.
fn hide_type_information(module: &mut [u8]) -> Option<()> {
    // "System V Application Binary Interface", "ELF Header" and "Sections".
    const HEADER: usize = 64;
    let word = |at: usize| Some(u64::from_le_bytes(module.get(at..at.checked_add(8)?)?.try_into().ok()?));
    let half = |at: usize| Some(u16::from_le_bytes(module.get(at..at.checked_add(2)?)?.try_into().ok()?));
    let at = |value: u64| usize::try_from(value).ok();
    let (sections, strings) = (at(word(0x28)?)?, usize::from(half(0x3e)?));
    let names = sections.checked_add(strings * HEADER)?;
    let (offset, size) = (at(word(names.checked_add(0x18)?)?)?, at(word(names.checked_add(0x20)?)?)?);
    let table = module.get_mut(offset..offset.checked_add(size)?)?;
    const NAME: &[u8] = b".BTF\0";
    let found = table.windows(NAME.len()).position(|window| window == NAME)?;
    table.get_mut(found..found + NAME.len())?.make_ascii_lowercase();
    Some(())
}

/// The value of `depends=` among the NUL-terminated strings of `.modinfo`.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value = module.get(at + KEY.len()..).unwrap_or_default();
    let value = value.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(depends: &str) -> Vec<u8> {
        format!("\x7fELF\0license=GPL\0depends={depends}\0name=x\0").into_bytes()
    }

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let directory = tempfile::tempdir().unwrap();
        let kernel = directory.path().join("kernel/drivers");
        std::fs::create_dir_all(&kernel).unwrap();
        std::fs::write(kernel.join("virtio-blk.ko"), module("virtio-ring,virtio")).unwrap();
        std::fs::write(kernel.join("virtio_ring.ko"), module("virtio,built_in")).unwrap();
        std::fs::write(kernel.join("virtio.ko"), module("")).unwrap();
        std::fs::write(directory.path().join("modules.builtin"), "kernel/lib/built-in.ko\n").unwrap();
        let modules = Modules::scan(directory.path(), "1").unwrap();
        let names = |names: &[&str]| -> Vec<String> {
            modules.closure(names).unwrap().into_iter().map(|module| module.name).collect()
        };
        assert_eq!(names(&["virtio_blk", "virtio"]), ["virtio", "virtio_ring", "virtio_blk"]);
        assert!(names(&["built_in"]).is_empty() && modules.has("built_in") && !modules.has("xfs"));
        assert!(matches!(modules.closure(&["xfs"]), Err(Error::NoModule { module, .. }) if module == "xfs"));
    }

    #[test]
    fn a_signature_is_dropped_whatever_it_says() {
        let signed = |length: u32| {
            let tail = [&[0; 8][..], &length.to_be_bytes(), b"~Module signature appended~\n"].concat();
            [b"module", &[9; 4][..], &tail].concat()
        };
        let mut module = signed(4);
        drop_signature(&mut module);
        assert_eq!(module, b"module");
        for mut other in [signed(u32::MAX), b"module".to_vec(), b"~Module signature appended~\n".to_vec()] {
            let before = other.clone();
            drop_signature(&mut other);
            assert_eq!(other, before);
        }
    }

    #[test]
    fn type_information_is_hidden_where_the_section_names_stand() {
        let mut module = vec![0; 64 * 3];
        module[0x28] = 64; // section headers
        module[0x3e] = 1; // the second names them
        module[128 + 0x18] = 192;
        module[128 + 0x20] = 11;
        module.extend_from_slice(b"\0.text\0.BTF\0");
        assert_eq!(hide_type_information(&mut module), None, "cut off");
        module[128 + 0x20] = 12;
        hide_type_information(&mut module).unwrap();
        assert!(module.ends_with(b"\0.text\0.btf\0"));
        for length in 0..module.len() {
            let _ = hide_type_information(&mut module[..length]);
        }
    }

    #[test]
    fn names_of_files() {
        assert_eq!(name_of(Path::new("a/nls-cp437.ko.zst")).as_deref(), Some("nls_cp437"));
        assert_eq!(name_of(Path::new("a/modules.dep")), None);
    }
}

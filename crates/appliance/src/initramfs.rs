//! The appliance's initial RAM file system: the agent as `/init`, the modules, and what it is to do with them.

use crate::cpio::Archive;
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::modules::{Module, Modules};
use crate::ntfs;
use std::collections::BTreeSet;
use std::io::{BufWriter, Write};
use std::path::Path;

/// The agent, static, for x86-64 (see `build.rs`).
const AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/anyvisor-agent"));

/// Modules that a filesystem needs: those that it cannot do without, and those that it may ask for later.
struct Needs {
    kind: &'static str,
    modules: &'static [&'static str],
    optional: &'static [&'static str],
}

/// The checksums are loaded by name when a filesystem is mounted, so they are no dependencies of the modules.
const NEEDS: &[Needs] = &[
    Needs { kind: "ext2", modules: &["ext4"], optional: &["crc32c_generic"] },
    Needs { kind: "ext3", modules: &["ext4"], optional: &["crc32c_generic"] },
    Needs { kind: "ext4", modules: &["ext4"], optional: &["crc32c_generic"] },
    Needs { kind: "xfs", modules: &["xfs"], optional: &["crc32c_generic"] },
    Needs {
        kind: "btrfs",
        modules: &["btrfs"],
        optional: &["crc32c_generic", "xxhash_generic", "sha256_generic", "blake2b_generic"],
    },
    Needs {
        kind: "vfat",
        modules: &["vfat"],
        optional: &["nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8"],
    },
    Needs { kind: "ntfs", modules: &["fuse"], optional: &[] },
];

/// Whether the appliance mounts filesystems of this type.
pub(crate) fn mounts(kind: &str) -> bool {
    NEEDS.iter().any(|needs| needs.kind == kind)
}

/// Writes the archive for a kernel and types of filesystems; answers with its length.
///
/// # Errors
/// [`Error::NoModule`] when the kernel cannot drive the machine or one of the filesystems; [`Error::Io`].
pub(crate) fn write(to: impl Write, kernel: &Kernel, kinds: &BTreeSet<&str>) -> Result<u64> {
    let modules = kernel.modules()?;
    let modules = modules.closure(&names(&modules, kinds))?;
    let with_ntfs = kinds.contains("ntfs");
    archive(BufWriter::with_capacity(1 << 20, to), &modules, with_ntfs)
        .map_err(Error::io("write", format!("the initial RAM file system for {}", kernel.version)))
}

fn names(modules: &Modules, kinds: &BTreeSet<&str>) -> Vec<&'static str> {
    let mut names = vec!["virtio_pci", "virtio_console", "virtio_blk"];
    for needs in NEEDS.iter().filter(|needs| kinds.contains(needs.kind)) {
        names.extend(needs.optional.iter().copied().filter(|name| modules.has(name)));
        names.extend(needs.modules);
    }
    names
}

fn archive(to: impl Write, modules: &[Module], with_ntfs: bool) -> std::io::Result<u64> {
    let mut archive = Archive::new(to);
    for directory in ["dev", "proc", "sys", "bin", "modules"] {
        archive.directory(directory)?;
    }
    // The kernel opens it before init could mount anything.
    archive.device("dev/console", 5, 1)?;
    archive.file("init", 0o755, AGENT)?;
    let mut setup = agent::Setup::default();
    for module in modules {
        let file = format!("modules/{}.ko", module.name);
        archive.file(&file, 0o644, &module.contents)?;
        setup.modules.push(agent::Module { file: format!("/{file}"), parameters: String::new() });
    }
    if with_ntfs {
        let mut made = BTreeSet::from(["bin".to_string()]);
        for (source, target) in ntfs::files() {
            for parent in parents(&target) {
                if made.insert(parent.to_string()) {
                    archive.directory(parent)?;
                }
            }
            archive.file(&target, 0o755, &std::fs::read(source)?)?;
        }
    }
    let setup = serde_json::to_vec(&setup)?;
    archive.file(agent::SETUP.trim_start_matches('/'), 0o644, &setup)?;
    archive.finish()
}

/// The directories above a relative path, the outermost first.
fn parents(path: &str) -> Vec<&str> {
    let mut parents: Vec<&str> = Path::new(path).ancestors().skip(1).filter_map(Path::to_str).collect();
    parents.retain(|parent| !parent.is_empty());
    parents.reverse();
    parents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_a_static_program() {
        assert!(AGENT.starts_with(b"\x7fELF"));
        // Program headers follow the ELF header, 56 bytes each; PT_INTERP, 3, would name a loader.
        let count = usize::from(AGENT[0x38]);
        let kinds: Vec<u8> = (0..count).map(|index| AGENT[0x40 + index * 56]).collect();
        assert!(kinds.contains(&1) && !kinds.contains(&3), "{kinds:?}");
    }

    #[test]
    fn directories_above_a_path() {
        assert_eq!(parents("lib/x86/a.so"), ["lib", "lib/x86"]);
    }
}

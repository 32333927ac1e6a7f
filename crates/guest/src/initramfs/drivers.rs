//! Adding drivers to an initramfs by one more segment at its end.
//!
//! The segment holds the modules that are missing, the `modules.*` indices of all modules that are then inside (a
//! later file replaces an earlier one of the same name), and the list of modules to load first. A module that is compressed
//! in the guest is unpacked, so that neither the initramfs' `modprobe` nor the kernel has to know its compression.

use super::compression::{self, Compression};
use super::cpio::{self, Entry, Kind};
use super::flavour::Facts;
use super::modules::{ModuleTree, is_module, name_of};
use super::{Contents, Error, kmod_index};
use crate::fs::FsError;
use std::collections::{BTreeMap, BTreeSet};

/// No module is larger than this, in bytes.
const MAX_MODULE: u64 = 64 << 20;
/// The segment starts at a multiple of this, which is what plain archives need and others do not mind.
const ALIGNMENT: usize = 4;

/// What [`segment`] has to be told.
pub struct Request<'a> {
    /// The kernel's version.
    pub version: &'a str,
    /// The guest's modules for it.
    pub tree: &'a ModuleTree,
    /// What the initramfs holds now; its `modules.*` files and load list are among the files kept.
    pub contents: &'a Contents,
    /// Who made it.
    pub flavour: &'a Facts,
    /// The modules to load, in order.
    pub load: &'a [String],
}

/// Whether [`super::read`] has to keep a file for a [`Request`].
pub fn is_needed(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    path == "conf/modules" || matches!(file, "modules.dep" | "modules.alias" | "modules.softdep")
}

/// Makes the entries of the segment; `None` when the initramfs already loads the modules. `fetch` reads a module by its
/// path below the guest's modules directory.
///
/// # Errors
/// When the kernel has none of a wanted module, or one cannot be read.
pub fn segment(
    request: &Request<'_>,
    fetch: &mut dyn FnMut(&str) -> Result<Vec<u8>, FsError>,
) -> Result<Option<Vec<Entry>>, Error> {
    let Request { version, tree, contents, load, .. } = *request;
    if let Some(module) = load.iter().find(|name| !tree.has(name)) {
        return Err(Error::NoModule { module: module.clone(), version: version.into() });
    }
    let place = Place::find(contents, version);
    let inside = place.modules(contents);
    let wanted = tree.closure(load.iter().map(String::as_str));
    let missing: BTreeSet<&String> = wanted.iter().filter(|name| !inside.contains_key(*name)).collect();
    let list = load_list(request);
    if missing.is_empty() && list.is_none() {
        return Ok(None);
    }

    let mut entries = Vec::new();
    let mut present = inside;
    for name in missing {
        let Some(module) = tree.get(name) else { continue };
        let path = format!("{}.ko", module.path.split(".ko").next().unwrap_or(&module.path));
        entries.push(Entry::file(place.below(&path), module_bytes(&module.path, version, fetch)?));
        present.insert(name.clone(), path);
    }
    entries.extend(indices(&place, contents, tree, &present));
    entries.extend(list);
    Ok(Some(with_directories(entries, contents)))
}

fn module_bytes(
    path: &str,
    version: &str,
    fetch: &mut dyn FnMut(&str) -> Result<Vec<u8>, FsError>,
) -> Result<Vec<u8>, Error> {
    let full = || format!("/lib/modules/{version}/{path}");
    let bytes = fetch(path).map_err(|source| Error::Module { path: full(), source })?;
    compression::unpack_all(&bytes, MAX_MODULE).map_err(|source| Error::UnpackModule { path: full(), source })
}

/// How a segment is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Compressed with gzip, which every kernel reads unless someone configured it otherwise.
    Gzip,
    /// Not compressed.
    Plain,
}

/// Appends a segment to an initramfs. Behind lz4 it is further lz4 frames whatever `packing` says: the kernel's decoder
/// takes what follows for more of its own.
pub fn append(existing: Vec<u8>, contents: &Contents, entries: &[Entry], packing: Packing) -> Vec<u8> {
    let archive = cpio::write(entries);
    let mut whole = existing;
    if contents.segments.last().is_some_and(|last| last.compression == Compression::Lz4Legacy) {
        // Zeroes would end the stream for kernels since 5.13 and break it for older ones.
        let end = contents.segments.last().map_or(whole.len(), |last| last.offset + last.length);
        whole.truncate(end);
        whole.extend(compression::lz4_legacy(&archive));
    } else {
        cpio::pad(&mut whole, ALIGNMENT);
        whole.extend(match packing {
            Packing::Gzip => compression::gzip(&archive),
            Packing::Plain => archive,
        });
    }
    whole
}

/// Where an initramfs keeps the modules of its kernel.
struct Place {
    /// The path of the modules directory, without links on the way: an entry named like a link would replace it.
    directory: String,
}

impl Place {
    fn find(contents: &Contents, version: &str) -> Self {
        let ending = format!("lib/modules/{version}");
        let known = contents
            .paths
            .iter()
            .find(|(path, kind)| **kind == Kind::Directory && path.ends_with(&ending))
            .map(|(path, _)| path.clone());
        let directory = known.unwrap_or_else(|| match contents.paths.get("lib") {
            Some(Kind::Symlink(target)) => format!("{}/modules/{version}", target.trim_matches('/')),
            _ => ending,
        });
        Self { directory }
    }

    fn below(&self, path: &str) -> String {
        format!("{}/{path}", self.directory)
    }

    /// The modules that are inside: name and path below the modules directory.
    fn modules(&self, contents: &Contents) -> BTreeMap<String, String> {
        let prefix = self.below("");
        contents
            .paths
            .iter()
            .filter(|(path, kind)| **kind == Kind::File && is_module(path))
            .filter_map(|(path, _)| path.strip_prefix(&prefix))
            .map(|path| (name_of(path), path.to_string()))
            .collect()
    }

    /// A text file of the modules directory.
    fn text<'a>(&self, contents: &'a Contents, name: &str) -> &'a str {
        let bytes = contents.files.get(&self.below(name)).map(Vec::as_slice).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

/// The `modules.*` files for the modules in `present`: what the guest's own files say of them, and for a module that
/// they do not know, what the initramfs said before.
fn indices(
    place: &Place,
    contents: &Contents,
    tree: &ModuleTree,
    present: &BTreeMap<String, String>,
) -> Vec<Entry> {
    let before = ModuleTree::parse(super::modules::Texts {
        dep: place.text(contents, "modules.dep"),
        alias: place.text(contents, "modules.alias"),
        softdep: place.text(contents, "modules.softdep"),
        builtin: "",
    });

    let mut dependencies = Vec::new();
    for (name, path) in present {
        let needs = tree.get(name).or_else(|| before.get(name)).map(|module| module.needs.as_slice());
        let needs = needs.unwrap_or_default().iter().filter_map(|needed| present.get(&name_of(needed)));
        let line = needs.fold(format!("{path}:"), |line, needed| line + " " + needed);
        dependencies.push((name.clone(), line));
    }

    let mut aliases = Vec::new();
    let mut known = BTreeSet::new();
    for (pattern, module) in before.aliases().iter().chain(tree.aliases()) {
        if present.contains_key(module) && known.insert((pattern, module)) {
            aliases.push((pattern, module));
        }
    }

    let mut soft = Vec::new();
    for line in before.soft_dependencies().iter().chain(tree.soft_dependencies()) {
        if present.contains_key(&line.module) && !soft.contains(&&line.line) {
            soft.push(&line.line);
        }
    }

    let mut entries = Vec::new();
    let text: String = dependencies.iter().map(|(_, line)| format!("{line}\n")).collect();
    entries.push(Entry::file(place.below("modules.dep"), text));
    let index = kmod_index::write(dependencies.iter().map(|(name, line)| (name.as_str(), line.as_str())));
    entries.extend(index.map(|index| Entry::file(place.below("modules.dep.bin"), index)));

    let text: String =
        aliases.iter().map(|(pattern, module)| format!("alias {pattern} {module}\n")).collect();
    entries.push(Entry::file(place.below("modules.alias"), text));
    let normal: Vec<_> = aliases.iter().map(|(pattern, module)| (normalise(pattern), module)).collect();
    let index = kmod_index::write(normal.iter().map(|(pattern, module)| (pattern.as_str(), module.as_str())));
    entries.extend(index.map(|index| Entry::file(place.below("modules.alias.bin"), index)));

    let text: String = soft.iter().map(|line| format!("{line}\n")).collect();
    entries.push(Entry::file(place.below("modules.softdep"), text));
    entries
}

/// `modprobe` looks aliases up with `_` for `-`, except in ranges of characters.
fn normalise(pattern: &str) -> String {
    let mut in_range = false;
    pattern
        .chars()
        .map(|character| {
            match character {
                '[' => in_range = true,
                ']' => in_range = false,
                _ => {}
            }
            if character == '-' && !in_range { '_' } else { character }
        })
        .collect()
}

/// The load list with the modules that it lacks, where the flavour has one; `None` when it lacks none.
fn load_list(request: &Request<'_>) -> Option<Entry> {
    let path = request.flavour.load_list?;
    let before = request.contents.files.get(path).map(Vec::as_slice).unwrap_or_default();
    let before = String::from_utf8_lossy(before);
    let after = with_lines(&before, request.load.iter().filter(|name| !request.tree.is_builtin(name)))?;
    Some(Entry::file(path, after))
}

/// A list of modules, one a line, with those of `names` that it lacks; `None` when it lacks none.
pub fn with_lines<'a>(text: &str, names: impl IntoIterator<Item = &'a String>) -> Option<String> {
    let listed: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(|name| name.replace('-', "_"))
        .collect();
    let mut after = text.to_string();
    for name in names {
        if !listed.contains(&name.replace('-', "_")) {
            if !after.is_empty() && !after.ends_with('\n') {
                after.push('\n');
            }
            after.push_str(name);
            after.push('\n');
        }
    }
    (after != text).then_some(after)
}

/// Puts in front of the entries the directories that they need and the initramfs lacks.
pub(crate) fn with_directories(entries: Vec<Entry>, contents: &Contents) -> Vec<Entry> {
    let mut directories = BTreeSet::new();
    for entry in &entries {
        for (at, _) in entry.path.match_indices('/') {
            let directory = entry.path.get(..at).unwrap_or_default();
            if !contents.paths.contains_key(directory) {
                directories.insert(directory.to_string());
            }
        }
    }
    directories.into_iter().map(Entry::directory).chain(entries).collect()
}

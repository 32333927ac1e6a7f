//! Adding drivers to an initramfs by one more segment at its end.
//!
//! The segment holds the modules that are missing, the `modules.*` indices of all modules that are then inside (a
//! later file replaces an earlier one of the same name), and the list of modules to load first. A module that is compressed
//! in the guest is unpacked, so that neither the initramfs' `modprobe` nor the kernel has to know its compression.

use super::compression::{self, Compression};
use super::cpio::{self, Entry, Kind};
use super::flavour::{FLAVOURS, Facts, Load};
use super::modules::{ModuleTree, is_module, name_of};
use super::{Contents, Error, kmod_index, nash};
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
    let says_what_to_load = |facts: &Facts| match facts.load {
        Load::Alias => false,
        Load::List(own) | Load::Insmod(own) => own == path,
        Load::Assignment { files, .. } => files.contains(&path),
    };
    matches!(file, "modules.dep" | "modules.alias" | "modules.softdep")
        || FLAVOURS.iter().any(says_what_to_load)
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
    let Request { version, tree, contents, flavour, load } = *request;
    if let Some(module) = load.iter().find(|name| !tree.has(name)) {
        return Err(Error::NoModule { module: module.clone(), version: version.into() });
    }
    let place = Place::find(contents, version);
    let has_indices = !matches!(flavour.load, Load::Insmod(_));
    let inside = if has_indices { place.modules(contents) } else { nash::modules(contents) };
    let wanted = tree.closure(load.iter().map(String::as_str));
    let missing: BTreeSet<&String> = wanted.iter().filter(|name| !inside.contains_key(*name)).collect();

    let mut entries = Vec::new();
    let mut present = inside;
    for &name in &missing {
        let Some(module) = tree.get(name) else { continue };
        let bytes = module_bytes(&module.path, version, fetch)?;
        let path = if has_indices {
            format!("{}.ko", module.path.split(".ko").next().unwrap_or(&module.path))
        } else {
            nash::path_of(&module.path)
        };
        let full = if has_indices { place.below(&path) } else { path.clone() };
        entries.push(Entry::file(full, bytes));
        present.insert(name.clone(), path);
    }
    if has_indices && !missing.is_empty() {
        entries.extend(indices(&place, contents, tree, &present));
    }
    entries.extend(orders(request, &present));
    Ok((!entries.is_empty()).then(|| with_directories(entries, contents)))
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

/// The files that say which modules to load, with those that they lack.
fn orders(request: &Request<'_>, present: &BTreeMap<String, String>) -> Vec<Entry> {
    let Request { tree, contents, load, .. } = *request;
    let text = |path: &str| contents.files.get(path).map(|bytes| String::from_utf8_lossy(bytes));
    let modules = || load.iter().filter(|name| !tree.is_builtin(name));
    match request.flavour.load {
        Load::Alias => Vec::new(),
        Load::List(path) => with_lines(&text(path).unwrap_or_default(), modules())
            .map(|after| Entry::file(path, after))
            .into_iter()
            .collect(),
        Load::Insmod(path) => nash::script(path, contents, tree, load, present).into_iter().collect(),
        Load::Assignment { files, key } => files
            .iter()
            .filter_map(|path| Some(Entry::program(*path, with_words(&text(path)?, key, modules())?)))
            .collect(),
    }
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

/// A script with the words of `names` that the values of `key` lack; `None` when none lacks any, or none is there. A value
/// stands behind `=`, in quotes or parentheses.
pub fn with_words<'a>(
    text: &str,
    key: &str,
    names: impl IntoIterator<Item = &'a String> + Clone,
) -> Option<String> {
    let with = |line: &str| -> Option<String> {
        let start = assigned(line, key)?;
        let (head, value) = line.split_at(start);
        let close = match value.chars().next()? {
            '(' => ')',
            quote @ ('"' | '\'') => quote,
            _ => return None,
        };
        let end = value.get(1..)?.find(close)? + 1;
        let listed: BTreeSet<String> =
            value.get(1..end)?.split_whitespace().map(|name| name.replace('-', "_")).collect();
        let missing: Vec<&str> = names
            .clone()
            .into_iter()
            .map(String::as_str)
            .filter(|name| !listed.contains(&name.replace('-', "_")))
            .collect();
        let blank = if listed.is_empty() { "" } else { " " };
        let (value, tail) = value.split_at(end);
        (!missing.is_empty()).then(|| format!("{head}{}{blank}{}{tail}", value.trim_end(), missing.join(" ")))
    };
    let mut changed = false;
    let after: String = text
        .split_inclusive('\n')
        .map(|line| match with(line) {
            Some(after) => {
                changed = true;
                after
            }
            None => line.to_string(),
        })
        .collect();
    changed.then_some(after)
}

/// Where the value of `key` starts in a line that assigns it.
fn assigned(line: &str, key: &str) -> Option<usize> {
    if line.trim_start().starts_with('#') {
        return None;
    }
    let (at, _) = line.match_indices(key).find(|(at, _)| {
        let before = line.get(..*at).and_then(|head| head.chars().last());
        let after = line.get(at + key.len()..).unwrap_or_default();
        after.starts_with('=') && before.is_none_or(|c| c.is_whitespace())
    })?;
    Some(at + key.len() + 1)
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

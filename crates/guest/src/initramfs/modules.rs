//! A kernel's modules, as its `modules.*` files describe them (kmod, `modules.dep(5)`).

use std::collections::{BTreeMap, BTreeSet};

/// No module needs more others than this, directly or through them.
const MAX_CHAIN: usize = 200;

/// The modules of one kernel.
#[derive(Clone, Debug, Default)]
pub struct ModuleTree {
    /// By name: path below the modules directory, and the paths that it needs, as `modules.dep` has them.
    dependencies: BTreeMap<String, Module>,
    /// The names of modules that are part of the kernel.
    builtin: BTreeSet<String>,
    /// Lines of `modules.alias`: pattern and module.
    aliases: Vec<(String, String)>,
    /// Lines of `modules.softdep`.
    soft_dependencies: Vec<SoftDependency>,
}

/// A module that is a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its path below the modules directory.
    pub path: String,
    /// The paths of the modules that it needs, all of them, in the order of `modules.dep`: the last is loaded first.
    pub needs: Vec<String>,
}

/// A line of `modules.softdep`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoftDependency {
    /// The module that has it.
    pub module: String,
    /// The modules, or aliases of modules, to load before or after it.
    pub others: Vec<String>,
    /// The whole line.
    pub line: String,
}

/// The text files that describe a kernel's modules; those that are missing are empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Texts<'a> {
    /// `modules.dep`.
    pub dep: &'a str,
    /// `modules.builtin`.
    pub builtin: &'a str,
    /// `modules.alias`.
    pub alias: &'a str,
    /// `modules.softdep`.
    pub softdep: &'a str,
}

/// A module's name: the stem of its file, with `_` for `-` as the kernel has it.
pub fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split_once(".ko").map_or(file, |(stem, _)| stem);
    stem.replace('-', "_")
}

/// Whether a path is that of a module, compressed or not.
pub fn is_module(path: &str) -> bool {
    [".ko", ".ko.xz", ".ko.zst", ".ko.gz"].iter().any(|ending| path.ends_with(ending))
}

impl ModuleTree {
    /// Reads the texts. Lines that make no sense are passed over.
    pub fn parse(texts: Texts<'_>) -> Self {
        let mut dependencies: BTreeMap<String, Module> = BTreeMap::new();
        for (name, module) in texts.dep.lines().filter_map(parse_dependency) {
            match dependencies.get(&name) {
                Some(other) if precedence(&other.path) <= precedence(&module.path) => {}
                _ => drop(dependencies.insert(name, module)),
            }
        }
        Self {
            dependencies,
            builtin: texts.builtin.lines().map(|line| name_of(line.trim())).collect(),
            aliases: texts.alias.lines().filter_map(parse_alias).collect(),
            soft_dependencies: texts.softdep.lines().filter_map(parse_soft_dependency).collect(),
        }
    }

    /// The module of that name.
    pub fn get(&self, name: &str) -> Option<&Module> {
        self.dependencies.get(&name.replace('-', "_"))
    }

    /// Every module with its name.
    pub fn modules(&self) -> impl Iterator<Item = (&str, &Module)> {
        self.dependencies.iter().map(|(name, module)| (name.as_str(), module))
    }

    /// Whether a module is part of the kernel.
    pub fn is_builtin(&self, name: &str) -> bool {
        self.builtin.contains(&name.replace('-', "_"))
    }

    /// The names of the modules that are part of the kernel.
    pub fn builtin(&self) -> impl Iterator<Item = &str> {
        self.builtin.iter().map(String::as_str)
    }

    /// Whether the kernel has a driver, as a module or built in.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some() || self.is_builtin(name)
    }

    /// The alias lines: pattern and module.
    pub fn aliases(&self) -> &[(String, String)] {
        &self.aliases
    }

    /// The soft dependencies of modules.
    pub fn soft_dependencies(&self) -> &[SoftDependency] {
        &self.soft_dependencies
    }

    /// Everything that loading `names` loads: themselves, what they need, and what their soft dependencies name,
    /// as far as it is a module. Names that are built in or unknown are left out.
    pub fn closure<'a>(&'a self, names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut todo: Vec<String> = names.into_iter().map(|name| name.replace('-', "_")).collect();
        while let Some(name) = todo.pop() {
            let Some(module) = self.dependencies.get(&name) else { continue };
            if !found.insert(name.clone()) {
                continue;
            }
            todo.extend(module.needs.iter().map(|path| name_of(path)));
            for soft in self.soft_dependencies.iter().filter(|soft| soft.module == name) {
                todo.extend(soft.others.iter().map(|other| self.by_alias(other)));
            }
        }
        found
    }

    /// The modules of [`Self::closure`] in an order in which `insmod` can load them: each behind what it needs.
    pub fn load_order<'a>(&'a self, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for name in names {
            self.push_in_order(&name.replace('-', "_"), &mut seen, &mut order);
        }
        order
    }

    fn push_in_order(&self, name: &str, seen: &mut BTreeSet<String>, order: &mut Vec<String>) {
        let Some(module) = self.dependencies.get(name) else { return };
        if !seen.insert(name.into()) || seen.len() > MAX_CHAIN {
            return;
        }
        // The last one named is loaded first; older indices name only those that are needed at once.
        for needed in module.needs.iter().rev() {
            self.push_in_order(&name_of(needed), seen, order);
        }
        order.push(name.into());
    }

    /// The module that an alias without wildcards stands for; itself, when there is none.
    fn by_alias(&self, alias: &str) -> String {
        let name = alias.replace('-', "_");
        if self.dependencies.contains_key(&name) {
            return name;
        }
        let matching = self.aliases.iter().find(|(pattern, _)| pattern.replace('-', "_") == name);
        matching.map_or(name, |(_, module)| module.clone())
    }
}

/// The place of a module's directory in `depmod`'s search order, where two have the same name (`depmod.d(5)`, as Red Hat
/// and SUSE set it).
fn precedence(path: &str) -> usize {
    const ORDER: &[&str] = &["updates/", "extra/", "kernel/"];
    let position = ORDER.iter().position(|start| path.starts_with(start));
    let is_weak = path.starts_with("weak-updates/");
    position.unwrap_or(ORDER.len() + usize::from(is_weak))
}

/// Paths in `modules.dep` are relative to its directory, and were absolute before module-init-tools 3.4.
fn relative(path: &str) -> &str {
    let below = path.strip_prefix("/lib/modules/").and_then(|rest| rest.split_once('/'));
    below.map_or(path, |(_, relative)| relative)
}

/// A line of `modules.dep`: `path: needed needed`.
fn parse_dependency(line: &str) -> Option<(String, Module)> {
    let (path, needs) = line.split_once(':')?;
    let path = relative(path.trim());
    if !is_module(path) || !is_tame(path) {
        return None;
    }
    let needs: Vec<String> = needs.split_whitespace().map(|path| relative(path).into()).collect();
    if !needs.iter().all(|path| is_tame(path)) {
        return None;
    }
    Some((name_of(path), Module { path: path.into(), needs }))
}

/// Whether a path stays below the modules directory.
fn is_tame(path: &str) -> bool {
    !path.starts_with('/') && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// A line of `modules.alias`: `alias pattern module`.
fn parse_alias(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace();
    match (words.next()?, words.next()?, words.next()?, words.next()) {
        ("alias", pattern, module, None) => Some((pattern.into(), module.replace('-', "_"))),
        _ => None,
    }
}

/// A line of `modules.softdep`: `softdep module pre: one two post: three`.
fn parse_soft_dependency(line: &str) -> Option<SoftDependency> {
    let mut words = line.split_whitespace();
    if words.next()? != "softdep" {
        return None;
    }
    let module = words.next()?.replace('-', "_");
    let others = words.filter(|word| !matches!(*word, "pre:" | "post:")).map(Into::into).collect();
    Some(SoftDependency { module, others, line: line.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_dependencies_of_every_kind() {
        let tree = ModuleTree::parse(Texts {
            dep: "kernel/a/virtio_scsi.ko.xz: kernel/a/scsi-mod.ko.xz\nkernel/a/scsi-mod.ko.xz:\n\
                  kernel/b/hash.ko:\n../../etc/passwd.ko:\n/abs.ko:\n",
            builtin: "kernel/fs/ext4/ext4.ko\n",
            alias: "alias crypto-hash hash\nalias pci:v00001AF4d* virtio_scsi\n",
            softdep: "# comment\nsoftdep scsi_mod pre: crypto-hash nothing\n",
        });
        let closure: Vec<_> = tree.closure(["virtio-scsi", "ext4", "absent"]).into_iter().collect();
        assert_eq!(closure, ["hash", "scsi_mod", "virtio_scsi"]);
        assert_eq!(tree.load_order(["virtio_scsi"]), ["scsi_mod", "virtio_scsi"]);
        assert!(tree.has("ext4") && tree.is_builtin("ext4") && !tree.has("passwd") && !tree.has("abs"));
    }

    #[test]
    fn the_first_directory_of_depmods_order_wins() {
        let tree = ModuleTree::parse(Texts {
            dep: "kernel/x.ko:\nupdates/x.ko:\nweak-updates/y.ko:\nextra/y.ko:\n\
                  /lib/modules/2.6.18-8.el5/kernel/z.ko: /lib/modules/2.6.18-8.el5/kernel/x.ko\n",
            ..Texts::default()
        });
        let path = |name| tree.get(name).map(|module| module.path.as_str());
        assert_eq!((path("x"), path("y")), (Some("updates/x.ko"), Some("extra/y.ko")));
        assert_eq!(path("z"), Some("kernel/z.ko"));
        assert_eq!(tree.load_order(["z"]), ["x", "z"]);
    }

    #[test]
    fn modules_that_need_each_other_end() {
        let tree = ModuleTree::parse(Texts { dep: "a.ko: b.ko\nb.ko: a.ko\n", ..Texts::default() });
        assert_eq!(tree.load_order(["a"]), ["b", "a"]);
    }
}

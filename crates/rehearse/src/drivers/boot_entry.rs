//! Which kernel of a Linux guest starts by default, as its boot loader's configuration says: [`find`].

use guest::fs::{ErrorKind, FsError, GuestFs};
use guest::inspect::{Inspection, Kernel};
use serde::{Deserialize, Serialize};

/// The most bytes of a configuration file that are read.
const LONGEST: u64 = 4 << 20;
/// Directories of entries by the Boot Loader Specification (type 1).
const ENTRIES: &[&str] = &["/boot/loader/entries", "/boot/efi/loader/entries", "/efi/loader/entries"];
/// GRUB's environment block, where a choice is kept.
const ENVIRONMENTS: &[&str] = &["/boot/grub2/grubenv", "/boot/grub/grubenv"];

/// How it is known which kernel starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChosenBy {
    /// The boot loader's default entry names it.
    BootLoader,
    /// It is the newest; the boot loader's configuration says nothing that is understood.
    Newest,
}

/// What starts by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BootEntry {
    /// The kernel's version.
    pub(super) version: String,
    /// The name of the initramfs that is loaded with it, without its directory.
    pub(super) initramfs: Option<String>,
    /// How that is known.
    pub(super) chosen_by: ChosenBy,
}

/// Finds the default entry; the newest kernel where none is understood, `None` where there is no kernel.
pub(super) fn find(fs: &mut dyn GuestFs, inspection: &Inspection) -> Result<Option<BootEntry>, FsError> {
    let kernels = &inspection.kernels;
    let main = inspection.boot.as_ref().and_then(|boot| boot.configuration.first());
    let text = match main {
        Some(path) => read(fs, path)?,
        None => String::new(),
    };
    let mut saved = None;
    for path in ENVIRONMENTS {
        saved = saved.or(assignment(&read(fs, path)?, "saved_entry"));
    }
    let chosen = in_menu(&text, saved.as_deref(), kernels);
    let chosen = match chosen {
        Some(entry) => Some(entry),
        None => in_entries(fs, saved.as_deref(), kernels)?,
    };
    Ok(chosen.or_else(|| {
        let newest = kernels.first()?;
        let initramfs = newest.initramfs.as_ref().map(|image| file_name(&image.path).to_string());
        Some(BootEntry { version: newest.version.clone(), initramfs, chosen_by: ChosenBy::Newest })
    }))
}

/// The default entry of a configuration that is one menu: GRUB's, GRUB legacy's, extlinux'.
fn in_menu(text: &str, saved: Option<&str>, kernels: &[Kernel]) -> Option<BootEntry> {
    let entries = entries(text);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let settings = lines.iter().filter_map(|line| {
        let line = line.strip_prefix("set ").unwrap_or(line);
        let value = line.strip_prefix("default").or_else(|| line.strip_prefix("DEFAULT"))?;
        let value = value.strip_prefix(['=', ' ', '\t'])?;
        Some(value.trim().trim_matches(['"', '\'']))
    });
    // GRUB's own scripts set what was saved first, and the usual one last.
    let mut chosen = entries.first();
    for value in settings {
        let value = if value.starts_with('$') { saved.unwrap_or_default() } else { value };
        let by_number = value.parse().ok().and_then(|number: usize| entries.get(number));
        let by_name = entries.iter().find(|entry| !value.is_empty() && entry.is_called(value));
        chosen = by_number.or(by_name).or(chosen);
    }
    chosen?.kernel(kernels)
}

/// An entry of a menu: its title line, and the lines up to the next.
struct Entry<'a> {
    title: &'a str,
    lines: Vec<&'a str>,
}

/// The entries of a menu; those of a submenu are a part of it, as its number stands for it.
fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for line in text.lines() {
        let is_title = ["menuentry ", "submenu ", "title ", "title\t", "label ", "LABEL "]
            .iter()
            .any(|keyword| line.starts_with(keyword));
        match (is_title, entries.last_mut()) {
            (true, _) => entries.push(Entry { title: line, lines: Vec::new() }),
            (false, Some(entry)) => entry.lines.push(line.trim()),
            (false, None) => {}
        }
    }
    entries
}

impl Entry<'_> {
    fn is_called(&self, name: &str) -> bool {
        let quoted = [format!("'{name}'"), format!("\"{name}\"")];
        quoted.iter().any(|quoted| self.title.contains(quoted))
            || self.title.split_once(char::is_whitespace).is_some_and(|(_, title)| title.trim() == name)
    }

    /// The first kernel that it starts, when that is one of `kernels`.
    fn kernel(&self, kernels: &[Kernel]) -> Option<BootEntry> {
        let argument = |line: &&str, commands: &[&str]| {
            let mut words = line.split_whitespace();
            let is_one =
                words.next().is_some_and(|word| commands.contains(&word.to_ascii_lowercase().as_str()));
            words.next().filter(|_| is_one).map(|path| file_name(path).to_string())
        };
        let loads = ["linux", "linux16", "linuxefi", "kernel"];
        let at = self.lines.iter().position(|line| {
            argument(line, &loads)
                .is_some_and(|image| kernels.iter().any(|kernel| file_name(&kernel.image) == image))
        })?;
        let image = argument(self.lines.get(at)?, &loads)?;
        let kernel = kernels.iter().find(|kernel| file_name(&kernel.image) == image)?;
        let rest = self.lines.get(at + 1..).unwrap_or_default();
        let rest = rest.iter().take_while(|line| argument(line, &loads).is_none());
        let initramfs = rest.filter_map(|line| argument(line, &["initrd", "initrd16", "initrdefi"])).next();
        Some(BootEntry { version: kernel.version.clone(), initramfs, chosen_by: ChosenBy::BootLoader })
    }
}

/// The default one of the entries that are a file each: the one that was saved, else the one with the newest kernel.
fn in_entries(
    fs: &mut dyn GuestFs,
    saved: Option<&str>,
    kernels: &[Kernel],
) -> Result<Option<BootEntry>, FsError> {
    let mut found = Vec::new();
    for directory in ENTRIES {
        for name in names(fs, directory)? {
            let text = read(fs, &format!("{directory}/{name}"))?;
            let entry = Entry { title: "", lines: text.lines().map(str::trim).collect() };
            if let Some(entry) = entry.kernel(kernels) {
                found.push((name, entry));
            }
        }
    }
    let is_saved = |name: &str| saved.is_some_and(|saved| name.strip_suffix(".conf") == Some(saved));
    let age = |entry: &BootEntry| kernels.iter().position(|kernel| kernel.version == entry.version);
    found.sort_by_key(|(name, entry)| (!is_saved(name), age(entry)));
    Ok(found.into_iter().next().map(|(_, entry)| entry))
}

fn names(fs: &mut dyn GuestFs, directory: &str) -> Result<Vec<String>, FsError> {
    match fs.list(directory) {
        Ok(entries) => {
            let names = entries.into_iter().map(|entry| entry.name);
            Ok(names.filter(|name| name.ends_with(".conf")).take(256).collect())
        }
        Err(error) if is_absence(error.kind) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn read(fs: &mut dyn GuestFs, path: &str) -> Result<String, FsError> {
    read_up_to(fs, path, LONGEST)
}

/// The text at `path`; nothing when there is none, or more than `limit` bytes of it.
pub(super) fn read_up_to(fs: &mut dyn GuestFs, path: &str, limit: u64) -> Result<String, FsError> {
    match fs.read(path, limit) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if is_absence(error.kind) => Ok(String::new()),
        Err(error) => Err(error),
    }
}

fn is_absence(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::WrongKind | ErrorKind::TooLarge)
}

fn assignment(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim().to_string()).filter(|value| !value.is_empty())
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use guest::fs::memory::MemoryTree;

    fn kernels(versions: &[&str]) -> Vec<Kernel> {
        let kernel = |version: &&str| Kernel {
            version: (*version).into(),
            image: format!("/boot/vmlinuz-{version}"),
            modules: None,
            drivers: Default::default(),
            initramfs: None,
        };
        versions.iter().map(kernel).collect()
    }

    const GRUB: &str = "if [ \"${next_entry}\" ] ; then\n   set default=\"${next_entry}\"\nelse\n   set default=\"0\"\nfi\n\
        menuentry 'Debian' --class debian $menuentry_id_option 'simple' {\n\tlinux\t/boot/vmlinuz-6.1 root=x\n\
        \tinitrd\t/boot/initrd.img-6.1\n}\nsubmenu 'more' {\n\tmenuentry 'old' {\n\t\tlinux /boot/vmlinuz-5.10\n\
        \t\tinitrd /boot/initrd.img-5.10\n\t}\n}\n";

    fn chosen(text: &str, saved: Option<&str>) -> (String, Option<String>) {
        let entry = in_menu(text, saved, &kernels(&["6.1", "5.10"])).unwrap();
        (entry.version, entry.initramfs)
    }

    #[test]
    fn grub_says_which_entry_is_the_default() {
        let newest = ("6.1".to_string(), Some("initrd.img-6.1".to_string()));
        let older = ("5.10".to_string(), Some("initrd.img-5.10".to_string()));
        assert_eq!(chosen(GRUB, None), newest);
        assert_eq!(chosen(&GRUB.replace("default=\"0\"", "default=\"1\""), None), older);
        let saved = GRUB.replace("default=\"0\"", "default=\"${saved_entry}\"");
        assert_eq!(chosen(&saved, Some("more")), older);
        assert_eq!(chosen(&saved, Some("simple")), newest);
        let legacy = "default=1\ntitle A\n\tkernel /vmlinuz-6.1 ro\n\tinitrd /initrd-6.1\ntitle B\n\
            \tkernel /vmlinuz-5.10 ro\n\tinitrd /initrd.img-5.10\n";
        assert_eq!(chosen(legacy, None), older);
    }

    #[test]
    fn an_entry_that_was_saved_wins_over_a_newer_kernel() {
        let mut tree = MemoryTree::single();
        tree.put("/boot/loader/entries/a.conf", "linux /vmlinuz-6.1\ninitrd /i-6.1\n").unwrap();
        tree.put("/boot/loader/entries/b.conf", "linux /vmlinuz-5.10\ninitrd /i-5.10\n").unwrap();
        let kernels = kernels(&["6.1", "5.10"]);
        let entry = in_entries(&mut tree, None, &kernels).unwrap().unwrap();
        assert_eq!(entry.version, "6.1");
        let entry = in_entries(&mut tree, Some("b"), &kernels).unwrap().unwrap();
        assert_eq!((entry.version.as_str(), entry.initramfs.as_deref()), ("5.10", Some("i-5.10")));
    }
}

//! The menu in a boot loader's configuration, GRUB's, GRUB legacy's or extlinux', and what it starts by default: [`default`].

use super::boot_entry::{BootEntry, ChosenBy, file_name};
use guest::inspect::Kernel;

/// The most entries of a menu that are looked at.
const MOST_ENTRIES: usize = 1024;
/// The most settings of a default that are looked at.
const MOST_SETTINGS: usize = 32;
/// How deep a default in a submenu may lie.
const DEEPEST: usize = 4;

/// The entry that starts by default; `saved` is what a choice was kept as.
pub(super) fn default<'a>(text: &'a str, saved: Option<&str>) -> Option<Entry<'a>> {
    // GRUB's own scripts set what was saved first, and the usual one last.
    let mut chosen = None;
    for value in settings(text).take(MOST_SETTINGS) {
        let value = if value.starts_with('$') { saved.unwrap_or_default() } else { value };
        chosen = at(text, value).or(chosen);
    }
    chosen.or_else(|| entries(text.lines()).into_iter().next())
}

/// What a configuration says is the default, in the order of its lines.
pub(super) fn settings(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("set ").unwrap_or(line);
        let value = line.strip_prefix("default").or_else(|| line.strip_prefix("DEFAULT"))?;
        let value = value.strip_prefix(['=', ' ', '\t'])?;
        Some(value.trim().trim_matches(['"', '\'']))
    })
}

/// The entry that `path` leads to: a number, a name, or such steps through submenus (`1>2`).
fn at<'a>(text: &'a str, path: &str) -> Option<Entry<'a>> {
    let mut steps = path.split('>').take(DEEPEST);
    let mut found = step(entries(text.lines()), steps.next()?)?;
    for name in steps {
        // Where a submenu has no such entry, its first one is started.
        let Some(inner) = step(entries(found.lines.iter().copied()), name) else { break };
        found = inner;
    }
    Some(found)
}

fn step<'a>(entries: Vec<Entry<'a>>, name: &str) -> Option<Entry<'a>> {
    let by_number = name.parse().ok().filter(|number: &usize| *number < entries.len());
    let at = by_number.or_else(|| entries.iter().position(|entry| !name.is_empty() && entry.is_called(name)));
    entries.into_iter().nth(at?)
}

/// An entry of a menu: its title line, and the lines up to the next.
pub(super) struct Entry<'a> {
    title: &'a str,
    lines: Vec<&'a str>,
}

/// The entries of a menu; those of a submenu are a part of it, as its number stands for it.
fn entries<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Entry<'a>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for line in lines {
        let is_title = ["menuentry ", "submenu ", "title ", "title\t", "label ", "LABEL "]
            .iter()
            .any(|keyword| line.starts_with(keyword));
        if is_title && entries.len() == MOST_ENTRIES {
            break;
        }
        match (is_title, entries.last_mut()) {
            (true, _) => entries.push(Entry { title: line, lines: Vec::new() }),
            (false, Some(entry)) => entry.lines.push(line.trim()),
            (false, None) => {}
        }
    }
    entries
}

impl<'a> Entry<'a> {
    /// A file that is one entry, by the Boot Loader Specification.
    pub(super) fn file(text: &'a str) -> Self {
        Self { title: "", lines: text.lines().map(str::trim).collect() }
    }

    fn is_called(&self, name: &str) -> bool {
        // Names can be long, and titles many.
        let fits = name.len() < self.title.len();
        let quoted = |quote| fits && self.title.contains(&format!("{quote}{name}{quote}"));
        quoted('\'')
            || quoted('"')
            || self.title.split_once(char::is_whitespace).is_some_and(|(_, title)| title.trim() == name)
    }

    /// The first kernel that it starts, when that is one of `kernels`.
    pub(super) fn kernel(&self, kernels: &[Kernel]) -> Option<BootEntry> {
        let mut lines = self.lines.iter();
        let kernel = lines.find_map(|line| {
            arguments(line, &KERNEL).and_then(|mut words| words.next()).and_then(|path| called(path, kernels))
        })?;
        let rest = lines.take_while(|line| arguments(line, &KERNEL).is_none());
        let images = rest.filter_map(|line| arguments(line, &INITRAMFS)).flatten();
        let images: Vec<&str> = images.filter(|path| !path.contains('$')).map(file_name).collect();
        // Of several the last is the initramfs; microcode comes first.
        let found = kernel.initramfs.as_ref().map(|image| file_name(&image.path));
        let initramfs = images.iter().find(|name| Some(**name) == found).or(images.last());
        Some(BootEntry {
            version: kernel.version.clone(),
            initramfs: initramfs.map(ToString::to_string),
            chosen_by: ChosenBy::BootLoader,
        })
    }
}

/// The commands that name a kernel, and those that name its initramfs.
const KERNEL: [&str; 4] = ["linux", "linux16", "linuxefi", "kernel"];
const INITRAMFS: [&str; 3] = ["initrd", "initrd16", "initrdefi"];

/// The arguments of a line with one of `commands`.
fn arguments<'a>(line: &'a str, commands: &[&str]) -> Option<impl Iterator<Item = &'a str> + use<'a>> {
    let mut words = line.split_whitespace();
    let command = words.next()?;
    commands.iter().any(|known| known.eq_ignore_ascii_case(command)).then_some(words)
}

/// The kernel with the image at `path`, which begins at the root of some filesystem: the rest of it tells images of one name
/// apart, as the Boot Loader Specification has them.
fn called<'k>(path: &str, kernels: &'k [Kernel]) -> Option<&'k Kernel> {
    let mut same = kernels.iter().filter(|kernel| file_name(&kernel.image) == file_name(path));
    let at_path =
        same.clone().find(|kernel| kernel.image.ends_with(path) || path.ends_with(kernel.image.as_str()));
    at_path.or_else(|| same.next())
}

#[cfg(test)]
mod tests {
    use super::super::boot_entry::tests::{kernel, kernels};
    use super::*;

    const GRUB: &str = "if [ \"${next_entry}\" ] ; then\n   set default=\"${next_entry}\"\nelse\n   set default=\"0\"\nfi\n\
        menuentry 'Debian' --class debian $menuentry_id_option 'simple' {\n\tlinux\t/boot/vmlinuz-6.1 root=x\n\
        \tinitrd\t/boot/initrd.img-6.1\n}\nsubmenu 'more' {\n\tmenuentry 'old' {\n\t\tlinux /boot/vmlinuz-5.10\n\
        \t\tinitrd /boot/initrd.img-5.10\n\t}\n\tmenuentry 'oldest' {\n\t\tlinux /boot/vmlinuz-4.19\n\
        \t\tinitrd /boot/initrd.img-4.19\n\t}\n}\n";

    fn chosen(text: &str, saved: Option<&str>) -> (String, Option<String>) {
        let entry = default(text, saved).unwrap().kernel(&kernels(&["6.1", "5.10", "4.19"])).unwrap();
        (entry.version, entry.initramfs)
    }

    fn pair(version: &str) -> (String, Option<String>) {
        (version.to_string(), Some(format!("initrd.img-{version}")))
    }

    #[test]
    fn grub_says_which_entry_is_the_default() {
        assert_eq!(chosen(GRUB, None), pair("6.1"));
        assert_eq!(chosen(&GRUB.replace("default=\"0\"", "default=\"1\""), None), pair("5.10"));
        let saved = GRUB.replace("default=\"0\"", "default=\"${saved_entry}\"");
        assert_eq!(chosen(&saved, Some("more")), pair("5.10"));
        assert_eq!(chosen(&saved, Some("simple")), pair("6.1"));
        let legacy = "default=1\ntitle A\n\tkernel /vmlinuz-6.1 ro\n\tinitrd /initrd-6.1\ntitle B\n\
            \tkernel /vmlinuz-5.10 ro\n\tinitrd /initrd.img-5.10\n";
        assert_eq!(chosen(legacy, None), pair("5.10"));
    }

    #[test]
    fn a_default_can_lie_in_a_submenu() {
        let saved = GRUB.replace("default=\"0\"", "default=\"${saved_entry}\"");
        for path in ["1>1", "more>oldest", "more>1"] {
            assert_eq!(chosen(&saved, Some(path)), pair("4.19"), "{path}");
        }
        assert_eq!(chosen(&saved, Some("1>7")), pair("5.10"));
        assert_eq!(chosen(&saved, Some("7>1")), pair("6.1"));
    }

    #[test]
    fn microcode_is_no_initramfs() {
        let menu = "menuentry 'a' {\n\tlinux /vmlinuz-6.1\n\tinitrd /ucode.img /initrd.img-6.1 $more\n}\n";
        assert_eq!(chosen(menu, None), pair("6.1"));
    }

    #[test]
    fn kernels_of_one_name_are_told_apart() {
        let kernels = [kernel("6.1", "/boot/efi/id/6.1/linux"), kernel("5.10", "/boot/efi/id/5.10/linux")];
        let entry = Entry::file("version 5.10\nlinux /id/5.10/linux\ninitrd /id/5.10/initrd\n");
        assert_eq!(entry.kernel(&kernels).unwrap().version, "5.10");
    }

    #[test]
    fn a_menu_of_many_entries_costs_little() {
        let menu = "title a\n".repeat(200_000) + &"default=b\n".repeat(200_000);
        assert_eq!(default(&menu, None).unwrap().title, "title a");
    }
}

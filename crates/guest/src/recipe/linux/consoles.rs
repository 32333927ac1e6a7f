//! Consoles that a guest has to be told of: the target's own is added to the kernel's command line, and none is taken away.

use super::paths::expand;
use super::{Conversion, during, grub_environment};
use crate::inspect::read_text;
use crate::recipe::RecipeError;

const STEP: &str = "name the target's consoles";

/// Files that hold command lines, and files whose variables become part of them.
const FILES: &[(&str, &[&str])] = &[
    ("/etc/default/grub", &["GRUB_CMDLINE_LINUX"]),
    ("/etc/sysconfig/bootloader", &["DEFAULT_APPEND"]),
    ("/etc/kernel/cmdline", &[]),
    ("/boot/grub/grub.cfg", &[]),
    ("/boot/grub2/grub.cfg", &[]),
    ("/boot/efi/EFI/*/grub.cfg", &[]),
    ("/boot/grub/grub.conf", &[]),
    ("/boot/grub/menu.lst", &[]),
    ("/boot/efi/EFI/*/grub.conf", &[]),
    ("/boot/grub/grubenv", &[]),
    ("/boot/grub2/grubenv", &[]),
    ("/boot/efi/EFI/*/grubenv", &[]),
    ("/boot/loader/entries/*.conf", &[]),
    ("/boot/efi/loader/entries/*.conf", &[]),
    ("/efi/loader/entries/*.conf", &[]),
    ("/boot/extlinux/extlinux.conf", &[]),
    ("/boot/extlinux.conf", &[]),
    ("/boot/syslinux/syslinux.cfg", &[]),
];
/// Consoles of hypervisors: a guest that knows no other one has none on another hypervisor.
const FOREIGN: &[&str] = &["hvc0", "xvc0"];
/// The console that every machine with a display has.
const DISPLAY: &str = "tty0";

/// Adds the consoles that the profile names to every command line.
pub(super) fn name_consoles(conversion: &mut Conversion<'_>) -> Result<(), RecipeError> {
    let consoles = &conversion.target.profile.consoles;
    for (pattern, variables) in FILES {
        for path in expand(conversion.mounter.tree(), pattern).map_err(during(STEP))? {
            let Some(before) = read_text(conversion.mounter.tree(), &path).map_err(during(STEP))? else {
                continue;
            };
            let lines = before.split_inclusive('\n');
            let text: String = lines.map(|line| with_consoles(line, variables, consoles)).collect();
            let after = match grub_environment::is_one(&before) {
                true => grub_environment::refit(&text, before.len()),
                false => Some(text),
            };
            let Some(after) = after else {
                conversion.note(format!("{path} has no room for the target's consoles"));
                continue;
            };
            if conversion.editor().replace_text(&path, &before, &after).map_err(during(STEP))? {
                conversion.note(format!("{path} names a console that the target has"));
            }
        }
    }
    Ok(())
}

/// A line with the consoles that its command line lacks. They come first, so that the one that was the last, the main one,
/// stays it.
fn with_consoles(line: &str, variables: &[&str], consoles: &[String]) -> String {
    let Some(start) = command_line(line, variables) else { return line.into() };
    let (head, arguments) = line.split_at(start);
    let known = |name: &str| {
        arguments
            .split(|c: char| c.is_whitespace() || matches!(c, '"' | '\''))
            .any(|word| word.strip_prefix("console=").is_some_and(|own| own.split(',').next() == Some(name)))
    };
    let mut missing: Vec<&str> = consoles.iter().map(String::as_str).filter(|name| !known(name)).collect();
    let first = named(arguments).next();
    let is_other = |name: &&&str| known(name) && !consoles.iter().any(|own| own == **name);
    let only_foreign = named(arguments).count() == FOREIGN.iter().filter(is_other).count();
    // The display is the kernel's console when none is named, and has to be named beside another.
    if (first.is_none() && !missing.is_empty()) || (first.is_some() && only_foreign) {
        missing.push(DISPLAY);
    }
    if missing.is_empty() {
        return line.into();
    }
    let words: String = missing.iter().map(|name| format!("console={name} ")).collect();
    let (before, after) = arguments.split_at(first.unwrap_or(0));
    format!("{head}{before}{words}{after}")
}

/// Where consoles are named: `console=` at a word's start, for `netconsole=` is none.
fn named(arguments: &str) -> impl Iterator<Item = usize> {
    let starts = |at: &usize| {
        let before = arguments.get(..*at).and_then(|before| before.chars().next_back());
        before.is_none_or(|c| c.is_whitespace() || matches!(c, '"' | '\''))
    };
    arguments.match_indices("console=").map(|(at, _)| at).filter(starts)
}

/// Where the arguments of a command line start: behind the `root=` of a line that has one, or at the start of the value of
/// one of `variables`.
fn command_line(line: &str, variables: &[&str]) -> Option<usize> {
    const ROOTS: &[&str] = &["root=/dev/", "root=UUID=", "root=LABEL=", "root=PARTUUID=", "root=PARTLABEL="];
    if line.starts_with('#') && !line.starts_with("# kopt=") {
        return None;
    }
    let assigned = variables.iter().find_map(|name| {
        let value = line.strip_prefix(name)?.strip_prefix('=')?;
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        Some(line.len() - value.len() + quote.len_utf8())
    });
    assigned.or_else(|| {
        let root = ROOTS.iter().find_map(|root| line.find(root))?;
        // An earlier console stands in front of the root.
        let start = line.find(" console=").map_or(root, |console| console.min(root));
        if start < root {
            return Some(start + 1);
        }
        let length = line.get(root..)?.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
        let end = length.map(|length| root + length)?;
        // What ends the root is a blank, or a quote that has to stay behind what is added.
        line.get(end..)?.starts_with(' ').then_some(end + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consoles_are_added_once_and_none_is_lost() {
        let hvc = vec!["hvc0".to_string()];
        for (line, expected) in [
            (
                "\tlinux /vmlinuz root=UUID=1 ro quiet\n",
                "\tlinux /vmlinuz root=UUID=1 console=hvc0 console=tty0 ro quiet\n",
            ),
            (
                "options root=/dev/sda1 ro console=tty0 console=ttyS0,115200\n",
                "options root=/dev/sda1 ro console=hvc0 console=tty0 console=ttyS0,115200\n",
            ),
            (
                "options console=ttyS0 root=LABEL=a ro\n",
                "options console=hvc0 console=ttyS0 root=LABEL=a ro\n",
            ),
            (
                "options root=/dev/sda1 netconsole=@/eth0,@10.0.0.1/\n",
                "options root=/dev/sda1 console=hvc0 console=tty0 netconsole=@/eth0,@10.0.0.1/\n",
            ),
            ("GRUB_CMDLINE_LINUX=\"\"\n", "GRUB_CMDLINE_LINUX=\"console=hvc0 console=tty0 \"\n"),
            ("GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n", "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n"),
            ("\tset root='hd0,msdos1'\n", "\tset root='hd0,msdos1'\n"),
        ] {
            let once = with_consoles(line, &["GRUB_CMDLINE_LINUX"], &hvc);
            assert_eq!(once, expected);
            assert_eq!(with_consoles(&once, &["GRUB_CMDLINE_LINUX"], &hvc), expected);
        }
    }

    #[test]
    fn a_guest_with_a_foreign_console_alone_gets_the_display() {
        let line = "kernel /vmlinuz ro root=/dev/xvda1 console=hvc0\n";
        let expected = "kernel /vmlinuz ro root=/dev/xvda1 console=tty0 console=hvc0\n";
        assert_eq!(with_consoles(line, &[], &[]), expected);
        assert_eq!(with_consoles(expected, &[], &[]), expected);
        let both = "kernel /vmlinuz ro root=/dev/xvda1 console=hvc0 console=ttyS0\n";
        assert_eq!(with_consoles(both, &[], &[]), both);
    }
}

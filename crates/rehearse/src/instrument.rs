//! What is put into a guest for its rehearsal, in the throwaway overlay only: the report, and a console that can
//! be read.

use crate::report;
use guest::fs::{ErrorKind, FsError, GuestFs};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where the script goes: `/etc` is on the root filesystem everywhere.
const SCRIPT: &str = "/etc/anyvisor-report.sh";
const UNIT: &str = "anyvisor-report.service";
/// Where distributions keep their units, the merged `/usr` first. Not `/etc`: a first boot may reset what is
/// enabled there to the distribution's presets.
const UNIT_DIRECTORIES: &[&str] = &["/usr/lib/systemd/system", "/lib/systemd/system"];
/// Targets that start the report, whichever is reached.
const TARGETS: &[&str] = &["multi-user.target", "emergency.target", "rescue.target"];
/// The longest configuration file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// After the targets and not before them: a target is not kept waiting for the report on it.
const SERVICE: &str = "[Unit]\n\
    Description=Report to the rehearsal that the system is up\n\
    DefaultDependencies=no\n\
    After=multi-user.target graphical.target emergency.target rescue.target\n\
    \n\
    [Service]\n\
    Type=simple\n\
    StandardInput=null\n\
    StandardOutput=null\n\
    StandardError=null\n\
    ExecStart=/bin/sh /etc/anyvisor-report.sh\n";

const UPSTART_JOB: &str = "/etc/init/anyvisor-report.conf";
const UPSTART: &str = "start on stopped rc RUNLEVEL=[2345]\ntask\nexec /bin/sh /etc/anyvisor-report.sh\n";

/// What starts the report in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// systemd, by a unit.
    Systemd,
    /// Upstart, by a job.
    Upstart,
    /// An init that reads inittab(5), System V's or busybox', by a line there.
    Inittab,
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Systemd => "systemd",
            Self::Upstart => "Upstart",
            Self::Inittab => "inittab",
        })
    }
}

/// The serial port that the report is sent to where nothing else is said: the second.
pub(crate) const PORT: &str = "/dev/ttyS1";

/// Adds the report to the guest, which sends it to the device `port`; `None` when its init is none of those that are known, and nothing was changed.
pub(crate) fn add_report(fs: &mut dyn GuestFs, port: &str) -> Result<Option<Init>, FsError> {
    let init = if let Some(directory) = unit_directory(fs)? {
        add_unit(fs, directory)?;
        Init::Systemd
    } else if fs.exists("/etc/init/rc.conf")? {
        fs.write(UPSTART_JOB, UPSTART.as_bytes(), 0o644)?;
        copy_label(fs, "/etc/init/rc.conf", UPSTART_JOB)?;
        Init::Upstart
    } else if let Some(inittab) = read_text(fs, "/etc/inittab")? {
        fs.write("/etc/inittab", with_report(&inittab).as_bytes(), 0o644)?;
        Init::Inittab
    } else {
        return Ok(None);
    };
    let script = report::SCRIPT.replace("PORT=/dev/ttyS1", &format!("PORT={port}"));
    fs.write(SCRIPT, script.as_bytes(), 0o755)?;
    copy_label(fs, "/etc/fstab", SCRIPT)?;
    Ok(Some(init))
}

fn unit_directory(fs: &mut dyn GuestFs) -> Result<Option<&'static str>, FsError> {
    for directory in UNIT_DIRECTORIES {
        if fs.exists(&format!("{directory}/multi-user.target"))? {
            return Ok(Some(directory));
        }
    }
    Ok(None)
}

fn add_unit(fs: &mut dyn GuestFs, directory: &str) -> Result<(), FsError> {
    let unit = format!("{directory}/{UNIT}");
    fs.write(&unit, SERVICE.as_bytes(), 0o644)?;
    copy_label(fs, &format!("{directory}/multi-user.target"), &unit)?;
    for target in TARGETS {
        let wants = format!("{directory}/{target}.wants");
        fs.create_dir(&wants)?;
        fs.symlink(&format!("../{UNIT}"), &format!("{wants}/{UNIT}"))?;
    }
    Ok(())
}

/// Gives `path` the SELinux label of a file of the same kind, when that has one: an enforcing guest would not read
/// it otherwise.
fn copy_label(fs: &mut dyn GuestFs, from: &str, path: &str) -> Result<(), FsError> {
    const LABEL: &str = "security.selinux";
    match fs.xattr(from, LABEL) {
        Ok(Some(label)) => fs.set_xattr(path, LABEL, &label),
        Ok(None) => Ok(()),
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Unsupported) => Ok(()),
        Err(error) => Err(error),
    }
}

/// An inittab with the report as its last line, which its init runs once everything before it has been waited for.
fn with_report(inittab: &str) -> String {
    // busybox' lines name a terminal first, and mostly none; System V's name themselves.
    let busybox = inittab.lines().any(|line| line.starts_with("::"));
    let line = if busybox {
        "::once:/bin/sh /etc/anyvisor-report.sh"
    } else {
        "avrp:2345:once:/bin/sh /etc/anyvisor-report.sh"
    };
    format!("{}\n{line}\n", inittab.trim_end_matches('\n'))
}

/// Directories with one boot loader configuration a file, and how these files' names end.
const ENTRY_DIRECTORIES: &[(&str, &str)] = &[
    ("/boot/loader/entries", ".conf"),
    ("/boot/efi/loader/entries", ".conf"),
    ("/efi/loader/entries", ".conf"),
];
/// Files with the whole configuration of a boot loader.
const LOADER_FILES: &[&str] = &[
    "/boot/grub/grub.cfg",
    "/boot/grub2/grub.cfg",
    "/boot/grub/menu.lst",
    "/boot/grub/grub.conf",
    "/boot/extlinux.conf",
    "/boot/extlinux/extlinux.conf",
    "/boot/syslinux/syslinux.cfg",
];
/// The commands whose arguments are a kernel's command line, or end in one.
const COMMANDS: &[&str] = &["linux", "linux16", "linuxefi", "kernel", "options", "append"];
const CONSOLE: &str = " console=tty0 console=ttyS0,115200";
/// Makes the serial port, which is a console already, the one that `/dev/console` is: the last that is named.
const CONSOLE_LAST: &str = " console=ttyS0,115200";
/// Where a boot partition stands in the tree.
const BOOT: &str = "/boot";

/// Sends the kernel's messages to the serial port too, and makes it the console on which a passphrase is asked for, where the
/// boot loader's configuration does not say so already; answers with the files that were changed. Without it many a guest
/// that does not boot dies silently. The tree may be that of a boot partition alone.
pub(crate) fn add_console(fs: &mut dyn GuestFs) -> Result<Vec<String>, FsError> {
    let alone = |path: &&'static str| path.strip_prefix(BOOT);
    let loader_files =
        LOADER_FILES.iter().copied().chain(LOADER_FILES.iter().copied().filter_map(|path| alone(&path)));
    let mut files: Vec<String> = loader_files.map(str::to_string).collect();
    let own = ENTRY_DIRECTORIES.iter().filter_map(|(path, ending)| Some((alone(path)?, *ending)));
    for (directory, ending) in ENTRY_DIRECTORIES.iter().copied().chain(own) {
        if let Ok(entries) = fs.list(directory) {
            let names = entries.into_iter().map(|entry| entry.name).filter(|name| name.ends_with(ending));
            files.extend(names.map(|name| format!("{directory}/{name}")));
        }
    }
    let mut changed = Vec::new();
    for file in files {
        let Some(before) = read_text(fs, &file)? else { continue };
        let after = with_console(&before);
        if after != before {
            fs.write(&file, after.as_bytes(), 0o600)?;
            changed.push(file);
        }
    }
    Ok(changed)
}

fn with_console(configuration: &str) -> String {
    let mut after = String::with_capacity(configuration.len() + 256);
    for line in configuration.split_inclusive('\n') {
        let text = line.trim_end_matches(['\r', '\n']);
        let command = text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        after.push_str(text);
        if COMMANDS.contains(&command.as_str()) {
            after.push_str(console_for(text));
        }
        after.push_str(line.get(text.len()..).unwrap_or_default());
    }
    after
}

/// What a command line lacks so that the serial port is the console.
fn console_for(command_line: &str) -> &'static str {
    let consoles: Vec<&str> =
        command_line.split_whitespace().filter_map(|word| word.strip_prefix("console=")).collect();
    let is_port = |console: &&str| console.split(',').next() == Some("ttyS0");
    match (consoles.iter().any(|console| console.starts_with("ttyS")), consoles.last().is_some_and(is_port)) {
        (false, _) => CONSOLE,
        (true, false) if consoles.iter().any(is_port) => CONSOLE_LAST,
        (true, _) => "",
    }
}

/// A text file, or `None` when it is not there, is no file, is too long or is no text.
fn read_text(fs: &mut dyn GuestFs, path: &str) -> Result<Option<String>, FsError> {
    match fs.read(path, LONGEST) {
        Ok(bytes) => Ok(String::from_utf8(bytes).ok()),
        Err(error) => match error.kind {
            ErrorKind::NotFound | ErrorKind::WrongKind | ErrorKind::TooLarge => Ok(None),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guest::fs::memory::MemoryTree;

    fn tree(files: &[&str]) -> MemoryTree {
        let mut tree = MemoryTree::single();
        for file in files {
            tree.put(file, "x\n").unwrap();
        }
        tree
    }

    #[test]
    fn systemd_starts_the_report_with_whatever_target_is_reached() {
        let mut tree = tree(&["/usr/lib/systemd/system/multi-user.target", "/etc/fstab", "/etc/inittab"]);
        tree.set_xattr("/etc/fstab", "security.selinux", b"etc_t").unwrap();
        assert_eq!(add_report(&mut tree, PORT).unwrap(), Some(Init::Systemd));
        for target in TARGETS {
            let link = format!("/usr/lib/systemd/system/{target}.wants/{UNIT}");
            assert_eq!(tree.read_link(&link).unwrap(), "../anyvisor-report.service");
            assert_eq!(tree.read(&link, LONGEST).unwrap(), SERVICE.as_bytes());
        }
        assert_eq!(tree.read(SCRIPT, LONGEST).unwrap(), report::SCRIPT.as_bytes());
        assert_eq!(tree.xattr(SCRIPT, "security.selinux").unwrap().as_deref(), Some(b"etc_t".as_slice()));
        assert_eq!(tree.read("/etc/inittab", LONGEST).unwrap(), b"x\n");
    }

    #[test]
    fn other_inits_are_known_by_their_files() {
        assert_eq!(
            add_report(&mut tree(&["/etc/init/rc.conf", "/etc/inittab"]), PORT).unwrap(),
            Some(Init::Upstart)
        );
        assert_eq!(add_report(&mut tree(&["/etc/inittab"]), PORT).unwrap(), Some(Init::Inittab));
        let mut unknown = tree(&["/etc/hostname"]);
        assert_eq!(add_report(&mut unknown, PORT).unwrap(), None);
        assert!(!unknown.exists(SCRIPT).unwrap());
    }

    #[test]
    fn the_console_is_added_to_each_boot_loader() {
        let mut tree = MemoryTree::single();
        tree.put("/boot/grub/grub.cfg", "linux /vmlinuz root=x\n").unwrap();
        tree.put("/boot/loader/entries/a.conf", "options root=x\n").unwrap();
        tree.put("/boot/loader/entries/readme", "options root=x\n").unwrap();
        let changed = add_console(&mut tree).unwrap();
        assert_eq!(changed, ["/boot/grub/grub.cfg", "/boot/loader/entries/a.conf"]);
        assert!(add_console(&mut tree).unwrap().is_empty());
    }

    #[test]
    fn the_console_is_added_on_a_boot_partition_alone() {
        let mut tree = MemoryTree::single();
        tree.put("/grub/grub.cfg", "linux /vmlinuz root=x console=ttyS0 console=tty0\n").unwrap();
        tree.put("/loader/entries/a.conf", "options root=x console=tty0 console=ttyS0\n").unwrap();
        assert_eq!(add_console(&mut tree).unwrap(), ["/grub/grub.cfg"]);
        let after = tree.read("/grub/grub.cfg", LONGEST).unwrap();
        assert!(after.ends_with(b"console=ttyS0 console=tty0 console=ttyS0,115200\n"));
    }

    #[test]
    fn the_console_goes_to_every_kernel_that_has_none() {
        let before = "menuentry 'Debian' {\n\tlinux\t/vmlinuz root=UUID=x ro quiet\n\tinitrd /i\n}\n\
            linux /b console=ttyS1\nsubmenu linux {";
        let after = with_console(before);
        assert_eq!(after.matches("console=ttyS0,115200").count(), 1);
        assert!(after.contains("ro quiet console=tty0 console=ttyS0,115200\n\tinitrd"), "{after}");
        assert_eq!(with_console(&after), after);
        assert_eq!(
            with_console("options root=x\r\n"),
            "options root=x console=tty0 console=ttyS0,115200\r\n"
        );
    }

    #[test]
    fn the_report_is_the_last_line_of_an_inittab() {
        let system_v = with_report("id:2:initdefault:\nl2:2:wait:/etc/init.d/rc 2\n\n");
        assert!(system_v.ends_with("rc 2\navrp:2345:once:/bin/sh /etc/anyvisor-report.sh\n"));
        let busybox = with_report("::sysinit:/sbin/openrc sysinit\ntty1::respawn:/sbin/getty 38400 tty1");
        assert!(busybox.ends_with("tty1\n::once:/bin/sh /etc/anyvisor-report.sh\n"));
    }
}

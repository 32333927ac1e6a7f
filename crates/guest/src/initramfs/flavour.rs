//! Who made an initramfs, and how it is told which modules to load.

use super::Contents;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The program that makes a guest's initramfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flavour {
    /// Debian's and Ubuntu's.
    InitramfsTools,
    /// Fedora's, Red Hat's, SUSE's.
    Dracut,
    /// Arch's.
    Mkinitcpio,
    /// SUSE's, up to SLES 11: a sequence of shell scripts with udev.
    Mkinitrd,
    /// Red Hat's, up to RHEL 5: one script for the interpreter `nash`, which loads modules by name and has no udev.
    Nash,
    /// Alpine's.
    Mkinitfs,
    /// None of these.
    Unknown,
}

/// What is to be known of a flavour.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The flavour.
    pub flavour: Flavour,
    /// Its name.
    pub name: &'static str,
    /// Paths inside, one of which gives it away.
    pub inside: &'static [&'static str],
    /// How it comes to load a module before the root is looked for.
    pub load: Load,
    /// How the guest keeps a module for the next time that it is made; `None` where its defaults hold all drivers.
    pub rebuild: Option<Rebuild>,
    /// The program that makes it anew, for people.
    pub program: &'static str,
}

/// How an initramfs comes to load a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// By the aliases of the hardware that the kernel finds: to be in the indices is enough.
    Alias,
    /// It is a line of this file.
    List(&'static str),
    /// It is a word in the value that these scripts assign to a variable.
    Assignment {
        /// The scripts.
        files: &'static [&'static str],
        /// The variable.
        key: &'static str,
    },
    /// This script loads it from `/lib` by an `insmod` of its own.
    Insmod(&'static str),
}

/// How a guest keeps a module for the next time that its initramfs is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuild {
    /// It is a line of this file.
    Lines(&'static str),
    /// A file of its own names it.
    DropIn {
        /// The file.
        path: &'static str,
        /// What stands in front of the modules.
        before: &'static str,
        /// What stands behind them.
        after: &'static str,
    },
    /// It is a word in the value of a variable, in quotes or parentheses.
    Assignment {
        /// The file.
        path: &'static str,
        /// The variable.
        key: &'static str,
    },
    /// `modprobe.conf` calls it the adapter of a disk.
    Aliases(&'static str),
}

impl Rebuild {
    /// The file.
    pub fn path(self) -> &'static str {
        match self {
            Self::Lines(path)
            | Self::DropIn { path, .. }
            | Self::Assignment { path, .. }
            | Self::Aliases(path) => path,
        }
    }
}

/// All that is known. The facts are those of each program's own scripts: `load_modules` of initramfs-tools'
/// `scripts/functions` runs `modprobe` for every line of `/conf/modules`; dracut's, Arch's and Alpine's load what matches
/// the hardware; SUSE's mkinitrd puts its settings and the calls of its scripts into `run_all.sh`; Red Hat's mkinitrd
/// writes every `insmod` into `init` and takes up every `scsi_hostadapter` of `modprobe.conf`.
pub const FLAVOURS: &[Facts] = &[
    Facts {
        flavour: Flavour::InitramfsTools,
        name: "initramfs-tools",
        inside: &["conf/initramfs.conf", "conf/arch.conf"],
        load: Load::List("conf/modules"),
        rebuild: Some(Rebuild::Lines("/etc/initramfs-tools/modules")),
        program: "update-initramfs",
    },
    Facts {
        flavour: Flavour::Dracut,
        name: "dracut",
        inside: &[
            "usr/lib/dracut/hooks",
            "lib/dracut/hooks",
            "var/lib/dracut/hooks",
            "usr/lib/dracut/build-parameter.txt",
            "lib/dracut/build-parameter.txt",
            "usr/lib/dracut-lib.sh",
            "lib/dracut-lib.sh",
        ],
        load: Load::Alias,
        rebuild: Some(Rebuild::DropIn {
            path: "/etc/dracut.conf.d/anyvisor.conf",
            before: "add_drivers+=\" ",
            after: " \"\n",
        }),
        program: "dracut",
    },
    Facts {
        flavour: Flavour::Mkinitcpio,
        name: "mkinitcpio",
        inside: &["init_functions"],
        load: Load::Alias,
        rebuild: Some(Rebuild::Assignment { path: "/etc/mkinitcpio.conf", key: "MODULES" }),
        program: "mkinitcpio",
    },
    Facts {
        flavour: Flavour::Mkinitrd,
        name: "SUSE's mkinitrd",
        inside: &["mkinitrd.config", "run_all.sh"],
        load: Load::Assignment { files: &["run_all.sh", "config/start.sh"], key: "RESOLVED_INITRD_MODULES" },
        rebuild: Some(Rebuild::Assignment { path: "/etc/sysconfig/kernel", key: "INITRD_MODULES" }),
        program: "mkinitrd",
    },
    Facts {
        flavour: Flavour::Nash,
        name: "Red Hat's mkinitrd",
        inside: &["bin/nash", "sbin/nash"],
        load: Load::Insmod("init"),
        rebuild: Some(Rebuild::Aliases("/etc/modprobe.conf")),
        program: "mkinitrd",
    },
    Facts {
        flavour: Flavour::Mkinitfs,
        name: "mkinitfs",
        inside: &["sbin/nlplug-findfs", "usr/sbin/nlplug-findfs"],
        load: Load::Alias,
        rebuild: None,
        program: "mkinitfs",
    },
];

impl Flavour {
    /// By what an initramfs holds.
    pub fn of(contents: &Contents) -> Self {
        let has = |path: &&str| contents.paths.contains_key(*path);
        FLAVOURS
            .iter()
            .find(|facts| facts.inside.iter().any(has))
            .map_or(Self::Unknown, |facts| facts.flavour)
    }

    /// What is known of it.
    pub fn facts(self) -> Option<&'static Facts> {
        FLAVOURS.iter().find(|facts| facts.flavour == self)
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.facts().map_or("an unknown program", |facts| facts.name))
    }
}

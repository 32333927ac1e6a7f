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
    /// Of older Red Hat and SUSE systems.
    Mkinitrd,
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
    /// The file inside that lists modules to load before the root is looked for, where the flavour has one; others
    /// leave it to udev and the aliases.
    pub load_list: Option<&'static str>,
    /// The file of the guest that lists modules for the next time that it is made.
    pub rebuild_list: Option<&'static str>,
}

/// All that is known. The facts of initramfs-tools are those of its scripts: `load_modules` of `scripts/functions`
/// runs `modprobe` for every line of `/conf/modules`; `mkinitramfs` reads `/etc/initramfs-tools/modules`.
pub const FLAVOURS: &[Facts] = &[
    Facts {
        flavour: Flavour::InitramfsTools,
        name: "initramfs-tools",
        inside: &["conf/initramfs.conf", "conf/arch.conf"],
        load_list: Some("conf/modules"),
        rebuild_list: Some("/etc/initramfs-tools/modules"),
    },
    Facts {
        flavour: Flavour::Dracut,
        name: "dracut",
        inside: &["usr/lib/dracut/hooks", "lib/dracut/hooks", "usr/lib/dracut/build-parameter.txt"],
        load_list: None,
        rebuild_list: None,
    },
    Facts {
        flavour: Flavour::Mkinitcpio,
        name: "mkinitcpio",
        inside: &["init_functions"],
        load_list: None,
        rebuild_list: None,
    },
    Facts {
        flavour: Flavour::Mkinitrd,
        name: "mkinitrd",
        inside: &["mkinitrd.config", "run_all.sh"],
        load_list: None,
        rebuild_list: None,
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

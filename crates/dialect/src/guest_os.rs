//! Names of guest operating systems, between the lists of the hypervisors: [`translate`].
//!
//! Every hypervisor has a list of its own, and none has all of another's. A system that the wanted list lacks becomes the
//! nearest that it has: another release of the same system, else the family in general.

mod libosinfo;
mod table;

pub use libosinfo::libosinfo_url;

use machine::{GuestOs, Machine};
use table::{Row, TABLE};

/// What kind of system it is: what drivers, clock and firmware hang on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Microsoft Windows.
    Windows,
    /// Linux.
    Linux,
    /// FreeBSD, NetBSD, OpenBSD.
    Bsd,
    /// Solaris.
    Solaris,
    /// Anything else.
    Other,
}

/// Whose list an identifier is from: [`GuestOs::vocabulary`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    /// VMware's, as a `.vmx` spells them (`debian12-64`). Read in vSphere's spelling too.
    Vmware,
    /// The vSphere API's and `vmw:osType`'s (`debian12_64Guest`). They are VMware's: read as `vmware`.
    Vsphere,
    /// The numbers of CIM_OperatingSystem.OSType, as OVF has them (`96`).
    Cim,
    /// libosinfo's short identifiers (`debian12`), and the URLs that libvirt's metadata hold.
    Libosinfo,
    /// VirtualBox's (`Debian12_64`).
    Virtualbox,
    /// Proxmox' `ostype` (`l26`).
    Proxmox,
}

/// A system in another vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The system there.
    pub os: GuestOs,
    /// Whether it says the same: translated back, it gives the first.
    pub exact: bool,
}

const VOCABULARIES: [(Vocabulary, &str); 6] = [
    (Vocabulary::Vmware, "vmware"),
    (Vocabulary::Vsphere, "vsphere"),
    (Vocabulary::Cim, "cim"),
    (Vocabulary::Libosinfo, "libosinfo"),
    (Vocabulary::Virtualbox, "virtualbox"),
    (Vocabulary::Proxmox, "proxmox"),
];

impl Vocabulary {
    /// Its name in [`GuestOs::vocabulary`].
    pub fn name(self) -> &'static str {
        VOCABULARIES.iter().find(|(vocabulary, _)| *vocabulary == self).map_or("", |(_, name)| name)
    }

    /// The vocabulary of that name.
    pub fn named(name: &str) -> Option<Self> {
        VOCABULARIES.iter().find(|(_, known)| *known == name).map(|(vocabulary, _)| *vocabulary)
    }

    /// What a row is called in it.
    fn column(self, row: &Row) -> &'static str {
        match self {
            Self::Vmware => row.vmware,
            Self::Vsphere => row.vsphere,
            Self::Cim => row.cim,
            Self::Libosinfo => row.libosinfo,
            Self::Virtualbox => row.virtualbox,
            Self::Proxmox => row.proxmox,
        }
    }

    fn is_called(self, row: &Row, id: &str) -> bool {
        match self {
            Self::Vmware | Self::Vsphere => [row.vmware, row.vsphere].iter().any(|name| same(name, id)),
            _ => same(self.column(row), id),
        }
    }
}

fn same(name: &str, id: &str) -> bool {
    name.eq_ignore_ascii_case(id)
}

/// The system in the words of `vocabulary`; `None` when nothing is known of it at all.
pub fn translate(os: &GuestOs, vocabulary: Vocabulary) -> Option<Translation> {
    let from = Vocabulary::named(&os.vocabulary)?;
    let id = plain(from, &os.id);
    let named = |row: &&Row| from.is_called(row, &id);
    let found = TABLE.iter().find(named);
    let row = found.or_else(|| nearest(from, &id))?;
    let target = vocabulary.column(row);
    let back = TABLE.iter().find(|row| vocabulary.is_called(row, target));
    let exact = found.is_some() && back.is_some_and(|back| from.is_called(back, &id));
    Some(Translation {
        os: GuestOs { vocabulary: vocabulary.name().to_owned(), id: target.to_owned() },
        exact,
    })
}

/// What kind of system it is, as far as its name tells.
pub fn family(os: &GuestOs) -> Option<Family> {
    row(os).map(|row| row.family)
}

/// Whether it is a 64-bit system, as far as its name tells.
pub fn is_64_bit(os: &GuestOs) -> Option<bool> {
    row(os).map(|row| row.bits == 64)
}

/// Whether the machine's guest is a Windows.
pub fn is_windows(machine: &Machine) -> bool {
    machine.guest_os.as_ref().and_then(family) == Some(Family::Windows)
}

fn row(os: &GuestOs) -> Option<&'static Row> {
    let from = Vocabulary::named(&os.vocabulary)?;
    let id = plain(from, &os.id);
    TABLE.iter().find(|row| from.is_called(row, &id)).or_else(|| nearest(from, &id))
}

/// An identifier without what surrounds it: libvirt writes `http://debian.org/debian/12` for `debian12`.
fn plain(vocabulary: Vocabulary, id: &str) -> String {
    let id = id.trim();
    match id.split_once("://") {
        Some((_, path)) if vocabulary == Vocabulary::Libosinfo => path.split('/').skip(1).collect(),
        _ => id.to_owned(),
    }
}

/// The row for a name that no row has: the same system in the same major release, in another, or its family.
fn nearest(vocabulary: Vocabulary, id: &str) -> Option<&'static Row> {
    // Numbers have no neighbours.
    if vocabulary == Vocabulary::Cim {
        return None;
    }
    let wanted = Stem::of(id);
    let wide = is_wide(vocabulary, id);
    let known = |row: &&Row| Stem::of(vocabulary.column(row)).name == wanted.name && !wanted.name.is_empty();
    let release = |row: &&Row| Stem::of(vocabulary.column(row)).major == wanted.major;
    let width = |row: &&Row| wide.is_none_or(|wide| (row.bits == 64) == wide);
    let rows = || TABLE.iter().filter(known);
    rows()
        .filter(release)
        .find(width)
        .or_else(|| rows().find(release))
        .or_else(|| rows().find(width))
        .or_else(|| rows().next())
        .or_else(|| in_general(id, wide))
}

/// The general row of the family that the name speaks of.
fn in_general(id: &str, wide: Option<bool>) -> Option<&'static Row> {
    let id = id.to_ascii_lowercase();
    let words = [
        ("win", Family::Windows),
        ("linux", Family::Linux),
        ("bsd", Family::Bsd),
        ("solaris", Family::Solaris),
        ("sunos", Family::Solaris),
    ];
    let (_, family) = words.iter().find(|(word, _)| id.contains(word) && !id.contains("darwin"))?;
    let bits = if wide == Some(false) { 32 } else { 64 };
    TABLE.iter().find(|row| row.family == *family && row.bits == bits)
}

/// Whether a name is of a 64-bit system, where the vocabulary's names tell.
fn is_wide(vocabulary: Vocabulary, id: &str) -> Option<bool> {
    match vocabulary {
        Vocabulary::Vmware | Vocabulary::Vsphere | Vocabulary::Virtualbox => Some(id.contains("64")),
        Vocabulary::Cim | Vocabulary::Libosinfo | Vocabulary::Proxmox => None,
    }
}

/// The word with which a name begins, and the number after it.
#[derive(PartialEq, Eq)]
struct Stem {
    name: String,
    major: String,
}

impl Stem {
    fn of(id: &str) -> Self {
        let id = id.to_ascii_lowercase();
        let name: String = id.chars().take_while(char::is_ascii_alphabetic).collect();
        let rest = id.chars().skip(name.len());
        Self { major: rest.take_while(char::is_ascii_digit).collect(), name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(vocabulary: &str, id: &str, target: Vocabulary) -> Option<(String, bool)> {
        let os = GuestOs { vocabulary: vocabulary.to_owned(), id: id.to_owned() };
        translate(&os, target).map(|found| (found.os.id, found.exact))
    }

    fn some(id: &str, exact: bool) -> Option<(String, bool)> {
        Some((id.to_owned(), exact))
    }

    #[test]
    fn systems_are_named_in_every_vocabulary() {
        assert_eq!(to("vmware", "debian12-64", Vocabulary::Vsphere), some("debian12_64Guest", true));
        assert_eq!(to("vmware", "debian12_64Guest", Vocabulary::Vmware), some("debian12-64", true));
        assert_eq!(to("vmware", "debian12-64", Vocabulary::Virtualbox), some("Debian12_64", true));
        assert_eq!(to("vmware", "debian11-64", Vocabulary::Cim), some("96", false));
        assert_eq!(to("vmware", "windows9Server64Guest", Vocabulary::Libosinfo), some("win2k16", true));
        assert_eq!(
            to("libosinfo", "http://microsoft.com/win/2k19", Vocabulary::Proxmox),
            some("win10", false)
        );
        assert_eq!(to("cim", "36", Vocabulary::Vmware), some("otherlinux", true));
        assert_eq!(to("proxmox", "l26", Vocabulary::Vmware), some("otherlinux-64", true));
        assert_eq!(
            to("virtualbox", "Windows2003_64", Vocabulary::Vsphere),
            some("winNetStandard64Guest", true)
        );
    }

    #[test]
    fn what_is_not_listed_becomes_the_nearest() {
        assert_eq!(to("vmware", "debian13-64", Vocabulary::Virtualbox), some("Debian12_64", false));
        assert_eq!(to("libosinfo", "rhel8.6", Vocabulary::Vmware), some("rhel8-64", false));
        assert_eq!(to("libosinfo", "ubuntu22.04", Vocabulary::Vmware), some("ubuntu-64", false));
        assert_eq!(to("vmware", "rhel10_64Guest", Vocabulary::Vmware), some("rhel9-64", false));
        assert_eq!(to("vmware", "asianux4-64", Vocabulary::Vmware), None);
        assert_eq!(to("vmware", "genericLinuxGuest", Vocabulary::Vmware), some("otherlinux", false));
        assert_eq!(to("vmware", "darwin21-64", Vocabulary::Cim), None);
        assert_eq!(to("virtualbox", "", Vocabulary::Cim), None);
        assert_eq!(to("klingon", "debian12", Vocabulary::Cim), None);
    }

    #[test]
    fn families_and_widths_are_told() {
        let os =
            |vocabulary: &str, id: &str| GuestOs { vocabulary: vocabulary.to_owned(), id: id.to_owned() };
        assert_eq!(family(&os("vmware", "longhorn-64")), Some(Family::Windows));
        assert_eq!(is_64_bit(&os("vmware", "winLonghornGuest")), Some(false));
        assert_eq!(family(&os("cim", "78")), Some(Family::Bsd));
        assert_eq!(family(&os("proxmox", "solaris")), Some(Family::Solaris));
        assert_eq!(family(&os("cim", "9999")), None);
        assert_eq!(plain(Vocabulary::Libosinfo, "http://ubuntu.com/ubuntu/22.04"), "ubuntu22.04");
    }

    #[test]
    fn every_row_is_whole_and_reached() {
        for row in TABLE {
            let names = VOCABULARIES.map(|(vocabulary, _)| vocabulary.column(row));
            assert!(names.iter().all(|name| !name.is_empty()), "{row:?}");
            assert!(row.cim.parse::<u16>().is_ok() && matches!(row.bits, 32 | 64), "{row:?}");
            let first = TABLE.iter().find(|other| other.vmware == row.vmware);
            assert_eq!(first.map(|first| first.vsphere), Some(row.vsphere), "{row:?}");
        }
    }
}

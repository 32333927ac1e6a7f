//! What is asked about: a guest system and a place to run it.

use super::matrix::Matrix;
use super::statement::{Guest, Host};
use super::version::{Cover, cover};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A guest system, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// The [`Guest`]'s name.
    pub id: String,
    /// Its version, where that is known: `9.4`, `2012r2`.
    pub version: Option<String>,
}

/// Where a guest is to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The profile.
    pub profile: String,
    /// The product, where one is meant: a [`Host`]'s name.
    pub host: Option<String>,
    /// Its release, where one is meant.
    pub release: Option<String>,
}

/// A name on the command line that means nothing here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is none of: {}", known.join(", "))]
pub struct UnknownName {
    /// The name.
    pub name: String,
    /// What there is.
    pub known: Vec<String>,
}

impl System {
    /// Whether `other` can be the same system: the versions agree as far as both go.
    pub(super) fn may_be(&self, other: &Self) -> bool {
        let (Some(mine), Some(theirs)) = (&self.version, &other.version) else { return true };
        let covers = |one: &String, other| cover(std::slice::from_ref(one), Some(other), false);
        covers(mine, theirs) != Cover::None || covers(theirs, mine) != Cover::None
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}-{version}", self.id),
            None => f.write_str(&self.id),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host.as_ref().unwrap_or(&self.profile))?;
        match &self.release {
            Some(release) => write!(f, ":{release}"),
            None => Ok(()),
        }
    }
}

impl Guest {
    fn is_called(&self, name: &str) -> bool {
        self.id == name || self.names.iter().any(|other| other == name)
    }

    /// Whether it has that version, as far as its versions are counted here.
    fn has(&self, version: &str) -> bool {
        match self.versions.is_empty() {
            true => version.starts_with(|first: char| first.is_ascii_digit()),
            false => self.versions.iter().any(|known| known.name == version),
        }
    }

    fn system(&self, version: Option<String>) -> System {
        System { id: self.id.clone(), version: version.filter(|version| !version.is_empty()) }
    }
}

impl Matrix {
    /// The system that a name means: `rhel-9`, `windows-2019`, `debian`. A family without a version is the first of that
    /// name.
    ///
    /// # Errors
    /// [`UnknownName`] with the names that there are.
    pub fn system(&self, name: &str) -> Result<System, UnknownName> {
        let lower = name.to_lowercase();
        let whole =
            || self.guests().iter().find(|guest| guest.is_called(&lower)).map(|guest| guest.system(None));
        let split = || {
            let (name, version) = lower.rsplit_once('-')?;
            let guest = self.guests().iter().find(|guest| guest.is_called(name) && guest.has(version))?;
            Some(guest.system(Some(version.to_owned())))
        };
        whole().or_else(split).ok_or_else(|| UnknownName {
            name: name.to_owned(),
            known: self.guests().iter().map(|guest| guest.id.clone()).collect(),
        })
    }

    /// The system of `ID` and `VERSION_ID` in `os-release(5)`, or of its pretty name where that is a line of
    /// `/etc/redhat-release` (`Red Hat Enterprise Linux Server release 5.4 (Tikanga)`).
    pub fn linux(&self, id: Option<&str>, version: Option<&str>, name: Option<&str>) -> Option<System> {
        let by_id = |guest: &&Guest| id.is_some_and(|id| guest.os_release.iter().any(|known| known == id));
        if let Some(guest) = self.guests().iter().find(by_id) {
            return Some(guest.system(version.map(ToOwned::to_owned)));
        }
        let name = name.filter(|_| id.is_none())?;
        let by_name = |guest: &&Guest| {
            guest.release_file.as_ref().is_some_and(|start| name.starts_with(start.as_str()))
        };
        let guest = self.guests().iter().find(by_name)?;
        let release = name.split_once(" release ").and_then(|(_, rest)| rest.split_whitespace().next());
        Some(guest.system(release.map(ToOwned::to_owned)))
    }

    /// The system of libosinfo's short identifier: `rhel9.2`, `sles15sp3`, `win2k19`.
    pub fn libosinfo(&self, id: &str) -> Option<System> {
        for guest in self.guests() {
            if let Some(version) = guest.versions.iter().find(|version| version.libosinfo == id) {
                return Some(guest.system(Some(version.name.clone())));
            }
        }
        let begins = |(_, start): &(&Guest, &String)| id.starts_with(start.as_str());
        let starts =
            self.guests().iter().flat_map(|guest| guest.libosinfo.iter().map(move |start| (guest, start)));
        let (guest, start) = starts.filter(begins).max_by_key(|(_, start)| start.len())?;
        let version = id.strip_prefix(start.as_str())?;
        // `rhel9-unknown` is some release of 9.
        let version = version.strip_suffix("-unknown").unwrap_or(version).replace("sp", ".");
        (version.is_empty() || guest.has(&version)).then(|| guest.system(Some(version)))
    }

    /// The place that `NAME` or `NAME:RELEASE` means; a name is a profile's or a host's. A release is not checked: one that no
    /// statement names has none.
    ///
    /// # Errors
    /// [`UnknownName`] with the names that there are.
    pub fn place(&self, name: &str) -> Result<Place, UnknownName> {
        let (name, release) = match name.split_once(':') {
            Some((name, release)) => (name, Some(release.to_lowercase())),
            None => (name, None),
        };
        if crate::find(name).is_some() {
            return Ok(Place { profile: name.to_owned(), host: None, release });
        }
        let host = self.hosts().iter().find(|host| host.id == name).ok_or_else(|| {
            let profiles = crate::all().iter().map(|profile| profile.id.clone());
            let hosts = self.hosts().iter().map(|host: &Host| host.id.clone());
            let mut known: Vec<_> = profiles.chain(hosts).collect();
            known.sort();
            known.dedup();
            UnknownName { name: name.to_owned(), known }
        })?;
        Ok(Place { profile: host.profile.clone(), host: Some(host.id.clone()), release })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(id: &str, version: &str) -> Option<System> {
        let version = (!version.is_empty()).then(|| version.to_owned());
        Some(System { id: id.to_owned(), version })
    }

    #[test]
    fn names_on_the_command_line() {
        for (name, expected) in [
            ("rhel-9", system("rhel", "9")),
            ("RHEL-5.4", system("rhel", "5.4")),
            ("ol-8", system("oracle-linux", "8")),
            ("oracle-linux-8", system("oracle-linux", "8")),
            ("opensuse-leap", system("opensuse-leap", "")),
            ("windows-2019", system("windows-server", "2019")),
            ("windows-2012R2", system("windows-server", "2012r2")),
            ("windows-11", system("windows-client", "11")),
            ("windows-server-2003", system("windows-server", "2003")),
            ("debian", system("debian", "")),
            ("debian-sid", None),
            ("plan9", None),
            ("windows-3.11", None),
        ] {
            assert_eq!(Matrix::builtin().system(name).ok(), expected, "{name}");
        }
    }

    #[test]
    fn what_a_guest_says_of_itself() {
        let matrix = Matrix::builtin();
        for (id, version, name, expected) in [
            (Some("debian"), Some("12"), None, system("debian", "12")),
            (Some("ol"), Some("8.5"), None, system("oracle-linux", "8.5")),
            (Some("arch"), None, Some("Arch Linux"), None),
            (
                None,
                None,
                Some("Red Hat Enterprise Linux Server release 5.4 (Tikanga)"),
                system("rhel", "5.4"),
            ),
            (None, None, Some("CentOS release 6.10 (Final)"), system("centos", "6.10")),
            (None, None, Some("Linux"), None),
        ] {
            assert_eq!(matrix.linux(id, version, name), expected, "{id:?} {name:?}");
        }
        for (id, expected) in [
            ("rhel9.2", system("rhel", "9.2")),
            ("rhel9-unknown", system("rhel", "9")),
            ("sles15sp3", system("sles", "15.3")),
            ("sle15", system("sles", "15")),
            ("win2k12r2", system("windows-server", "2012r2")),
            ("win8.1", system("windows-client", "8.1")),
            ("centos-stream9", system("centos", "9")),
            ("debiantesting", None),
            ("unknown", None),
        ] {
            assert_eq!(matrix.libosinfo(id), expected, "{id}");
        }
    }

    #[test]
    fn a_place_is_a_profile_or_a_product() {
        let matrix = Matrix::builtin();
        let place = matrix.place("sles-kvm:15").unwrap();
        assert_eq!((place.profile.as_str(), place.host.as_deref()), ("kvm", Some("sles-kvm")));
        assert_eq!(place.release.as_deref(), Some("15"));
        assert_eq!(matrix.place("hyperv:2012R2").unwrap().release.as_deref(), Some("2012r2"));
        assert!(matrix.place("bochs").unwrap_err().to_string().contains("sles-kvm"));
    }
}

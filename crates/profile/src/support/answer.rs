//! Putting together what bears on one guest in one place.

use super::evidence::Seen;
use super::matrix::Matrix;
use super::statement::{Source, Statement, Verdict};
use super::system::{Place, System};
use super::version::{Cover, cover};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::fmt;

/// What is known of a guest in a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The guest.
    pub guest: System,
    /// The place.
    pub place: Place,
    /// The statements in one word.
    pub verdict: Verdict,
    /// What the vendors say: what covers all that was asked for first, then the newest.
    pub statements: Vec<Stated>,
    /// What was seen here, the newest first.
    pub seen: Vec<Seen>,
}

/// A statement that bears on what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated {
    /// Whether it covers all that was asked for, rather than some versions, releases or products.
    pub whole: bool,
    /// What is said.
    pub verdict: Verdict,
    /// Who says so.
    pub by: Vec<String>,
    /// The versions of the guest; empty for all.
    pub versions: Vec<String>,
    /// The host's name for people.
    pub host: String,
    /// Its releases; empty for all.
    pub releases: Vec<String>,
    /// From which drivers or integration services on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drivers: Option<String>,
    /// What else is asked for, or limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Where it stands.
    pub source: Source,
}

impl Matrix {
    /// What is known of `guest` in `place`.
    ///
    /// What covers all that was asked for decides; several that disagree make it conditional. When nothing does, what covers
    /// a part makes it conditional: some release of the host, or some host of the profile, has to be chosen first.
    pub fn answer(&self, guest: &System, place: &Place) -> Answer {
        let mut statements: Vec<Stated> =
            self.statements().iter().filter_map(|statement| self.stated(statement, guest, place)).collect();
        statements.sort_by_key(|stated| Reverse((stated.whole, stated.source.date.clone())));
        let mut seen: Vec<Seen> = self
            .seen()
            .iter()
            .filter(|seen| {
                seen.profile == place.profile && seen.is_about(guest, |name| self.system(name).ok())
            })
            .filter(|seen| place.release.is_none() || seen.release.is_none() || seen.release == place.release)
            .cloned()
            .collect();
        seen.sort_by(|one, other| other.when.cmp(&one.when));
        let verdict = verdict(&statements);
        Answer { guest: guest.clone(), place: place.clone(), verdict, statements, seen }
    }

    fn stated(&self, statement: &Statement, guest: &System, place: &Place) -> Option<Stated> {
        let host = self.host(&statement.host).filter(|host| host.profile == place.profile)?;
        let hosts = self.hosts().iter().filter(|other| other.profile == place.profile).count();
        let on_host = match &place.host {
            Some(asked) if *asked != host.id => return None,
            None if hosts > 1 => Cover::Part,
            _ => Cover::Whole,
        };
        let system = self.guest(&statement.guest).filter(|known| known.id == guest.id)?;
        let in_version = cover(&statement.versions, guest.version.as_deref(), !system.versions.is_empty());
        let on_release = cover(&statement.releases, place.release.as_deref(), false);
        let covered = on_host.min(in_version).min(on_release);
        let source = self.source(&statement.source)?.clone();
        let by = match statement.by.is_empty() {
            true => vec![source.publisher.clone()],
            false => statement.by.clone(),
        };
        (covered != Cover::None).then(|| Stated {
            whole: covered == Cover::Whole,
            verdict: statement.verdict,
            by,
            versions: statement.versions.clone(),
            host: host.name.clone(),
            releases: statement.releases.clone(),
            drivers: statement.drivers.clone(),
            condition: statement.condition.clone(),
            source,
        })
    }
}

fn verdict(statements: &[Stated]) -> Verdict {
    let mut whole = statements.iter().filter(|stated| stated.whole).map(|stated| stated.verdict);
    match whole.next() {
        Some(first) if whole.all(|other| other == first) => first,
        Some(_) => Verdict::Conditional,
        None if statements.is_empty() => Verdict::Unknown,
        None if statements.iter().all(|stated| stated.verdict == Verdict::Unsupported) => {
            Verdict::Unsupported
        }
        None => Verdict::Conditional,
    }
}

impl Answer {
    /// The verdict on one line: `supported, says Microsoft (2025-06-19); drivers: built in`.
    pub fn line(&self) -> String {
        let stated = self.statements.first();
        let said = match stated {
            None => "no statement of a vendor's is known here".to_owned(),
            Some(stated) => stated.said(),
        };
        match self.verdict {
            Verdict::Unknown => format!("unknown: {said}"),
            verdict => format!("{verdict}, says {said}"),
        }
    }
}

impl Stated {
    /// Who says it of what, without the verdict: `Microsoft of rhel 8, 9 on …`.
    fn said(&self) -> String {
        let mut text = self.by.join(" and ");
        if let Some(date) = &self.source.date {
            text += &format!(" ({date})");
        }
        if !self.whole {
            text += &format!(", {}", self.scope());
        }
        for (name, value) in [("drivers", &self.drivers), ("condition", &self.condition)] {
            if let Some(value) = value {
                text += &format!("; {name}: {value}");
            }
        }
        text
    }

    /// Of which versions, on what: `versions 5.2-5.4 on Hyper-V of Windows Server 2008`.
    pub fn scope(&self) -> String {
        let versions = match self.versions.as_slice() {
            [] => "every version".to_owned(),
            [one] if !one.contains('-') => format!("version {one}"),
            several => format!("versions {}", several.join(", ")),
        };
        let releases = match self.releases.is_empty() {
            true => String::new(),
            false => format!(" {}", self.releases.join(", ")),
        };
        format!("{versions} on {}{releases}", self.host)
    }
}

impl fmt::Display for Stated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: {}", self.verdict, self.scope(), self.by.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(guest: &str, place: &str) -> Answer {
        let matrix = Matrix::builtin();
        matrix.answer(&matrix.system(guest).unwrap(), &matrix.place(place).unwrap())
    }

    #[test]
    fn pairs() {
        use Verdict::{Conditional, Supported, Unknown, Unsupported};
        for (guest, place, expected) in [
            // The agreement of 2009, both ways.
            ("windows-2003", "rhel-kvm:5.4", Supported),
            ("windows-2008r2", "rhel-kvm:5.4", Supported),
            ("rhel-5.4", "hyperv:2008", Conditional),
            ("rhel-5.5", "hyperv:2008r2", Supported),
            ("rhel-5.1", "hyperv:2008", Unknown),
            ("windows-2003", "rhel-kvm:5.3", Unknown),
            // One release of Windows Server is not another.
            ("rhel-9.4", "hyperv:2022", Supported),
            ("rhel-9", "hyperv:2012r2", Unknown),
            ("rhel-9", "hyperv", Conditional),
            ("rhel-6.2", "hyperv:2019", Conditional),
            ("windows-2025", "hyperv:2019", Unknown),
            ("windows-11", "hyperv:2025", Conditional),
            ("debian-11", "hyperv:2019", Supported),
            ("debian-12", "hyperv:2019", Unknown),
            // Which product is behind KVM decides.
            ("sles-15.4", "kvm", Conditional),
            ("sles-15.4", "sles-kvm:15", Supported),
            ("debian-12", "kvm", Unknown),
            ("sles-15.2", "esxi:6.7", Supported),
            ("sles-15", "esxi:8.0", Supported),
            ("rhel-9", "sles-kvm:15", Conditional),
            ("windows-2012r2", "xcp-ng", Unsupported),
            ("windows-2022", "xcp-ng:8.3", Conditional),
        ] {
            assert_eq!(ask(guest, place).verdict, expected, "{guest} on {place}");
        }
    }

    #[test]
    fn an_answer_names_who_says_so_and_where() {
        let answer = ask("rhel-5.4", "hyperv:2008");
        let agreement = answer.statements.iter().find(|stated| stated.by.len() == 2).unwrap();
        assert_eq!(agreement.by, ["Red Hat", "Microsoft"]);
        assert!(agreement.source.url.starts_with("https://"));
        assert_eq!(ask("debian-12", "kvm").line(), "unknown: no statement of a vendor's is known here");
        let line = ask("rhel-9", "hyperv:2022").line();
        assert_eq!(line, "supported, says Microsoft (2025-06-19); drivers: built in");
    }

    #[test]
    fn what_was_seen_stands_beside_it() {
        let seen = r#"[
            {"guest": "debian-12", "profile": "kvm", "grade": "booted", "when": "2026-11-22"},
            {"guest": "debian-12", "profile": "esxi", "grade": "booted-equivalent", "when": "2026-11-23"},
            {"guest": "debian-11", "profile": "kvm", "grade": "booted", "when": "2026-11-23"}
        ]"#;
        let guests = include_str!("../../../../support/guests.toml");
        let hosts = include_str!("../../../../support/hosts.toml");
        let matrix = Matrix::read(guests, hosts, &[], seen).unwrap();
        let ask = |guest| matrix.answer(&matrix.system(guest).unwrap(), &matrix.place("kvm").unwrap()).seen;
        assert_eq!(ask("debian-12").len(), 1);
        assert_eq!(ask("debian-12.5").len(), 1);
        assert_eq!(ask("debian").len(), 2);
        assert_eq!(ask("ubuntu-22.04").len(), 0);
    }
}

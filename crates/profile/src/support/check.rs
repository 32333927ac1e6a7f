//! What the matrix's data has to hold.

use super::evidence::Seen;
use super::matrix::{DataError, Matrix};
use super::statement::{Source, Statement, Verdict};
use super::version::{bounds, overlap};
use std::collections::BTreeSet;

impl Matrix {
    /// Refuses the first row that is wrong.
    pub(super) fn check(&self) -> Result<(), DataError> {
        unique("the guest", self.guests().iter().map(|guest| &guest.id))?;
        unique("the host", self.hosts().iter().map(|host| &host.id))?;
        unique("the source", self.sources().iter().map(|source| &source.id))?;
        for host in self.hosts() {
            if crate::find(&host.profile).is_none() {
                return Err(missing(format!("the host {}", host.id), "profile", &host.profile));
            }
        }
        self.sources().iter().try_for_each(check_source)?;
        self.statements().iter().try_for_each(|statement| self.check_statement(statement))?;
        self.seen().iter().try_for_each(|seen| self.check_seen(seen))?;
        self.check_contradictions()
    }

    fn check_statement(&self, statement: &Statement) -> Result<(), DataError> {
        let whose = || format!("a statement of {:?} on {}", statement.source, statement.guest);
        self.source(&statement.source).ok_or_else(|| missing(whose(), "source", &statement.source))?;
        let guest =
            self.guest(&statement.guest).ok_or_else(|| missing(whose(), "guest", &statement.guest))?;
        let host = self.host(&statement.host).ok_or_else(|| missing(whose(), "host", &statement.host))?;
        for version in &statement.versions {
            let known = match guest.versions.is_empty() {
                true => bounds(version).is_some(),
                false => guest.versions.iter().any(|known| known.name == *version),
            };
            if !known {
                return Err(value(whose(), "version", version));
            }
        }
        for release in &statement.releases {
            let (low, high) = release.split_once('-').unwrap_or((release, release));
            if ![low, high].iter().all(|end| host.releases.iter().any(|known| known == end)) {
                return Err(missing(whose(), "release", release));
            }
        }
        let said = statement.condition.is_some();
        match statement.verdict {
            Verdict::Unknown => Err(value(whose(), "verdict", "unknown")),
            Verdict::Conditional if !said => Err(value(whose(), "condition", "")),
            _ => Ok(()),
        }
    }

    fn check_seen(&self, seen: &Seen) -> Result<(), DataError> {
        let whose = || format!("the evidence of {}", seen.guest);
        self.system(&seen.guest).map_err(|_| missing(whose(), "guest", &seen.guest))?;
        crate::find(&seen.profile).ok_or_else(|| missing(whose(), "profile", &seen.profile))?;
        let day = seen.when.get(..10).unwrap_or(&seen.when);
        if is_date(day) { Ok(()) } else { Err(value(whose(), "when", &seen.when)) }
    }

    /// One source has one thing to say of a guest's version on a host's release.
    fn check_contradictions(&self) -> Result<(), DataError> {
        for (index, one) in self.statements().iter().enumerate() {
            let others = self.statements().iter().skip(index + 1);
            if let Some(other) =
                others.clone().find(|other| one.source == other.source && self.meet(one, other))
            {
                return Err(DataError::Contradiction {
                    source_id: one.source.clone(),
                    guest: one.guest.clone(),
                    version: other.versions.join(", "),
                    host: one.host.clone(),
                });
            }
        }
        Ok(())
    }

    /// Whether two statements speak of the same guest in some version, on the same host in some release.
    fn meet(&self, one: &Statement, other: &Statement) -> bool {
        let names = self.guest(&one.guest).is_some_and(|guest| !guest.versions.is_empty());
        one.guest == other.guest
            && one.host == other.host
            && overlap(&one.versions, &other.versions, names)
            && overlap(&one.releases, &other.releases, false)
    }
}

fn check_source(source: &Source) -> Result<(), DataError> {
    let whose = || format!("the source {}", source.id);
    for (field, text) in [("title", &source.title), ("publisher", &source.publisher)] {
        if text.trim().is_empty() {
            return Err(value(whose(), field, text));
        }
    }
    if !source.url.starts_with("https://") && !source.url.starts_with("http://") {
        return Err(value(whose(), "url", &source.url));
    }
    for (field, date) in [("date", source.date.as_ref()), ("seen", Some(&source.seen))] {
        if let Some(date) = date.filter(|date| !is_date(date)) {
            return Err(value(whose(), field, date));
        }
    }
    Ok(())
}

/// Whether it is a year, a month or a day: `2009`, `2009-10`, `2009-10-07`.
fn is_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut part = |length: usize, range: std::ops::RangeInclusive<u32>| {
        parts
            .next()
            .map(|part| part.len() == length && part.parse().is_ok_and(|value| range.contains(&value)))
    };
    part(4, 2000..=2999) == Some(true)
        && part(2, 1..=12).unwrap_or(true)
        && part(2, 1..=31).unwrap_or(true)
        && parts.next().is_none()
}

fn unique<'a>(what: &'static str, names: impl Iterator<Item = &'a String>) -> Result<(), DataError> {
    let mut known = BTreeSet::new();
    for name in names {
        if !known.insert(name) {
            return Err(DataError::Twice { what, name: name.clone() });
        }
    }
    Ok(())
}

fn missing(whose: String, what: &'static str, name: &str) -> DataError {
    DataError::Missing { whose, what, name: name.to_owned() }
}

fn value(whose: String, field: &'static str, text: &str) -> DataError {
    DataError::Value { whose, field, value: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (text, expected) in
            [("2009", true), ("2009-10", true), ("2009-10-07", true), ("2009-13", false), ("", false)]
        {
            assert_eq!(is_date(text), expected, "{text}");
        }
    }

    /// Vendors may disagree, and documents grow old; but each such pair is known.
    #[test]
    fn sources_that_disagree_are_known() {
        let matrix = Matrix::builtin();
        let mut pairs = BTreeSet::new();
        for one in matrix.statements() {
            for other in matrix.statements() {
                if one.source < other.source && one.verdict != other.verdict && matrix.meet(one, other) {
                    pairs.insert((one.source.as_str(), other.source.as_str(), one.guest.as_str()));
                }
            }
        }
        let known = [
            // Validated, but only with the drivers that came half a year later, and then on one processor.
            ("internetnews-2009", "virtualization-info-2010", "rhel"),
            ("mynavi-2011", "virtualization-info-2010", "rhel"),
            // Red Hat says whose agreements that takes.
            ("internetnews-2009", "redhat-svvp-2009", "rhel"),
        ];
        assert_eq!(pairs, BTreeSet::from(known));
    }
}

//! The tables of the matrix: read, checked, held.

use super::evidence::Seen;
use super::statement::{Guest, Host, Source, Statement};
use serde::Deserialize;
use std::sync::LazyLock;

/// The support matrix.
#[derive(Clone, Debug)]
pub struct Matrix {
    guests: Vec<Guest>,
    hosts: Vec<Host>,
    sources: Vec<Source>,
    statements: Vec<Statement>,
    seen: Vec<Seen>,
}

/// What is wrong with the matrix's data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// A file is not what it should be.
    #[error("a file of the support matrix cannot be read: {0}")]
    Syntax(String),
    /// A name is given twice.
    #[error("{what} {name:?} is there twice")]
    Twice {
        /// Of what kind.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A statement or a host names what there is not.
    #[error("{whose} names the {what} {name:?}, which there is not")]
    Missing {
        /// Which row.
        whose: String,
        /// Of what kind.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A field says nothing that can be used.
    #[error("{whose} has {value:?} as its {field}")]
    Value {
        /// Which row.
        whose: String,
        /// The field.
        field: &'static str,
        /// What it says.
        value: String,
    },
    /// Two statements of one source say different things of the same guest on the same host.
    #[error("{source_id:?} says two things of {guest} {version} on {host}")]
    Contradiction {
        /// The source.
        source_id: String,
        /// The guest.
        guest: String,
        /// Its version.
        version: String,
        /// The host.
        host: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Guests {
    guest: Vec<Guest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hosts {
    host: Vec<Host>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statements {
    source: Vec<Source>,
    statement: Vec<Statement>,
}

static BUILTIN: LazyLock<Matrix> = LazyLock::new(|| {
    let read = Matrix::read(
        include_str!("../../../../support/guests.toml"),
        include_str!("../../../../support/hosts.toml"),
        &[
            include_str!("../../../../support/statements/2009.toml"),
            include_str!("../../../../support/statements/microsoft.toml"),
            include_str!("../../../../support/statements/suse.toml"),
            include_str!("../../../../support/statements/virtualbox.toml"),
            include_str!("../../../../support/statements/xcp-ng.toml"),
        ],
        include_str!("../../../../support/evidence/index.json"),
    );
    read.unwrap_or_else(|error| panic!("the built-in support matrix is wrong: {error}"))
});

impl Matrix {
    /// The matrix that comes with the program.
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// Reads a matrix from the texts of its files: TOML, and JSON for what was seen.
    ///
    /// # Errors
    /// [`DataError`] for the first row that is wrong.
    pub fn read(guests: &str, hosts: &str, statements: &[&str], seen: &str) -> Result<Self, DataError> {
        let syntax = |error: toml::de::Error| DataError::Syntax(error.to_string());
        let Guests { guest: guests } = toml::from_str(guests).map_err(syntax)?;
        let Hosts { host: hosts } = toml::from_str(hosts).map_err(syntax)?;
        let seen = serde_json::from_str(seen).map_err(|error| DataError::Syntax(error.to_string()))?;
        let mut matrix = Self { guests, hosts, sources: Vec::new(), statements: Vec::new(), seen };
        for text in statements {
            let Statements { source, statement } = toml::from_str(text).map_err(syntax)?;
            matrix.sources.extend(source);
            matrix.statements.extend(statement);
        }
        matrix.check()?;
        Ok(matrix)
    }

    /// The guests, in the order in which they are listed.
    pub fn guests(&self) -> &[Guest] {
        &self.guests
    }

    /// The hosts, in the order in which they are listed.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Where the statements stand.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Every statement.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// What was seen here.
    pub fn seen(&self) -> &[Seen] {
        &self.seen
    }

    /// The guest of that name.
    pub fn guest(&self, id: &str) -> Option<&Guest> {
        self.guests.iter().find(|guest| guest.id == id)
    }

    /// The host of that name.
    pub fn host(&self, id: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| host.id == id)
    }

    /// The source of that name.
    pub fn source(&self, id: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUESTS: &str = "[[guest]]\nid = 'a'\nname = 'A'\nvendor = 'V'\n";
    const HOSTS: &str = "[[host]]\nid = 'k'\nprofile = 'kvm'\nname = 'K'\nreleases = ['1']\n";
    const SOURCE: &str =
        "[[source]]\nid = 's'\ntitle = 'T'\npublisher = 'P'\nseen = '2026-11-23'\nurl = 'https://e.org'\n";
    const GOOD: &str = "[[statement]]\nsource = 's'\nguest = 'a'\nversions = ['1']\nhost = 'k'\nreleases = ['1']\nverdict = 'supported'\n";

    fn read(statements: &str, seen: &str) -> Result<Matrix, DataError> {
        Matrix::read(GUESTS, HOSTS, &[&format!("{SOURCE}{statements}")], seen)
    }

    #[test]
    fn the_builtin_matrix_is_whole() {
        let matrix = Matrix::builtin();
        assert!(matrix.statements().len() > 60);
        for guest in matrix.guests() {
            assert_eq!(matrix.system(&guest.id).unwrap().id, guest.id);
        }
        for source in &matrix.sources {
            assert!(
                matrix.statements().iter().any(|one| one.source == source.id),
                "{} is not used",
                source.id
            );
        }
    }

    #[test]
    fn a_wrong_row_is_refused() {
        assert!(read(GOOD, "[]").is_ok());
        for (from, to) in [
            ("guest = 'a'", "guest = 'b'"),
            ("source = 's'", "source = 't'"),
            ("host = 'k'", "host = 'l'"),
            ("releases = ['1']", "releases = ['2']"),
            ("versions = ['1']", "versions = ['one']"),
            ("'supported'", "'unknown'"),
            ("'supported'", "'conditional'"),
            ("verdict", "verdikt"),
        ] {
            assert!(read(&GOOD.replace(from, to), "[]").is_err(), "{to}");
        }
        let twice = format!("{GOOD}{}", GOOD.replace("'supported'", "'unsupported'"));
        assert!(matches!(read(&twice, "[]"), Err(DataError::Contradiction { .. })));
        let bad = "[{\"guest\": \"a-1\", \"profile\": \"kvm\", \"grade\": \"booted\", \"when\": \"today\"}]";
        assert!(read(GOOD, bad).is_err());
        assert!(read(GOOD, &bad.replace("today", "2026-11-23T06:00:00Z")).is_ok());
    }
}

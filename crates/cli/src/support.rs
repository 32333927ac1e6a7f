//! `anyvisor support`.

use crate::args::Support;
use crate::ask;
use crate::exit::{Exit, Usage};
use crate::output::{clean, print, print_json};
use crate::progress;
use anyhow::Result;
use migrate::keys::Keys;
use profile::support::{Answer, Guest, Matrix, Place, Stated, Statement, System, Verdict};
use serde::Serialize;
use std::path::Path;

/// The place that `--on` means.
pub(crate) fn place(text: &str) -> std::result::Result<Place, String> {
    Matrix::builtin().place(text).map_err(|error| error.to_string())
}

/// Runs the command.
pub(crate) fn run(args: &Support) -> Result<Exit> {
    let matrix = Matrix::builtin();
    let Some(name) = &args.guest else {
        return list(args, matrix);
    };
    let guest = system(matrix, name, args)?;
    let places = match &args.on {
        Some(place) => vec![place.clone()],
        None => profile::all().iter().filter_map(|profile| matrix.place(&profile.id).ok()).collect(),
    };
    let answers: Vec<Answer> = places.iter().map(|place| matrix.answer(&guest, place)).collect();
    match args.json {
        true => print_json(&answers)?,
        false => print(&text(&guest, &answers))?,
    }
    Ok(Exit::Done)
}

/// The system that is meant: by its name, else the one in a source of that path.
fn system(matrix: &Matrix, name: &str, args: &Support) -> Result<System> {
    let unknown = match matrix.system(name) {
        Ok(system) => return Ok(system),
        Err(unknown) => unknown,
    };
    let path = Path::new(name);
    if !path.exists() {
        let why = format!("there is no file of that name, and as a system {unknown}, each with its version");
        return Err(Usage(format!("{name}: {why}")).into());
    }
    let secrets = args.access.secrets()?;
    let keys = Keys { given: &secrets, ask: ask::somebody() };
    let open = (&args.access).into();
    let facts = migrate::inspect::inspect(path, &open, keys, progress::reporter().as_ref())?;
    migrate::support::system(&facts).ok_or_else(|| {
        let found = facts.guest.as_ref().map_or("no system".to_owned(), |guest| clean(&guest.pretty_name()));
        Usage(format!("{name} holds {found}, of which the support matrix knows nothing")).into()
    })
}

/// Every guest, and on which hypervisors something is known of it.
fn list(args: &Support, matrix: &Matrix) -> Result<Exit> {
    let rows: Vec<Row<'_>> =
        matrix.guests().iter().map(|guest| Row::of(matrix, guest, args.on.as_ref())).collect();
    match args.json {
        true => print_json(&rows)?,
        false => print(&rows.iter().map(Row::text).collect::<String>())?,
    }
    Ok(Exit::Done)
}

/// A guest with what is said of it.
#[derive(Serialize)]
struct Row<'a> {
    guest: &'a Guest,
    statements: Vec<&'a Statement>,
}

impl<'a> Row<'a> {
    fn of(matrix: &'a Matrix, guest: &'a Guest, on: Option<&Place>) -> Self {
        let there = |statement: &&Statement| {
            on.is_none_or(|place| match &place.host {
                Some(host) => *host == statement.host,
                None => matrix.host(&statement.host).is_some_and(|host| host.profile == place.profile),
            })
        };
        let about = |statement: &&Statement| statement.guest == guest.id;
        Self { guest, statements: matrix.statements().iter().filter(about).filter(there).collect() }
    }

    fn text(&self) -> String {
        let mut hosts: Vec<&str> = self.statements.iter().map(|statement| statement.host.as_str()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let known = if hosts.is_empty() { "no statement known".to_owned() } else { hosts.join(", ") };
        format!("{:<16} {known}\n", self.guest.id)
    }
}

fn text(guest: &System, answers: &[Answer]) -> String {
    let mut text = String::new();
    let guest = clean(&guest.to_string());
    let (known, unknown): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.verdict != Verdict::Unknown || !answer.seen.is_empty());
    for answer in known {
        text += &format!("{guest} on {}: {}\n", answer.place, answer.verdict);
        text += &answer.statements.iter().map(stated).collect::<String>();
        for seen in &answer.seen {
            text += &format!("  seen here: {} on {}, {}\n", seen.grade, seen.profile, seen.when);
        }
    }
    let places: Vec<String> = unknown.iter().map(|answer| answer.place.to_string()).collect();
    if !places.is_empty() {
        text += &format!("{guest} on {}: unknown, which is no judgement\n", places.join(", "));
    }
    text
}

/// The verdict, and what was seen last, as lines of a plan.
pub(crate) fn lines(answer: &Answer) -> String {
    let mut text =
        format!("  support   {} on {}: {}\n", clean(&answer.guest.to_string()), answer.place, answer.line());
    if let Some(seen) = answer.seen.first() {
        text += &format!("  seen      {} here on {}, {}\n", seen.grade, seen.profile, seen.when);
    }
    text
}

fn stated(stated: &Stated) -> String {
    let mut text = format!("  {stated}\n");
    for (name, value) in [("drivers", &stated.drivers), ("condition", &stated.condition)] {
        if let Some(value) = value {
            text += &format!("    {name}: {value}\n");
        }
    }
    let source = &stated.source;
    let date = source.date.as_ref().map(|date| format!(", {date}")).unwrap_or_default();
    text + &format!("    source: {}, {}{date}\n    {}\n", source.title, source.publisher, source.url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_says_cannot_drive_the_terminal() {
        let guest = System { id: "debian".into(), version: Some("12\u{1b}[2J\nrhel-9: supported".into()) };
        let places = profile::all().iter().filter_map(|profile| Matrix::builtin().place(&profile.id).ok());
        let answers: Vec<Answer> = places.map(|place| Matrix::builtin().answer(&guest, &place)).collect();
        let shown = text(&guest, &answers);
        assert!(shown.contains("debian-12·[2J·rhel-9") && !shown.contains('\u{1b}'), "{shown:?}");
        assert!(!shown.contains("\nrhel-9"), "{shown}");
    }
}

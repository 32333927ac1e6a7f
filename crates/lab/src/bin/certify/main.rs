//! The command `certify`: takes every guest of the lab to every hypervisor's hardware, keeps the signed evidence, and
//! renders what was seen.

mod cell;
mod check;
mod html;
mod key;
mod markdown;
mod process;
mod row;
mod store;
mod work;

use anyhow::{Context as _, Result, ensure};
use cell::Cell;
use clap::Parser;
use key::Key;
use profile::support::Seen;
use row::{Row, Selection};
use std::collections::VecDeque;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use store::{Entry, Store};
use work::{Done, Workshop};

/// Takes every guest of the lab to every hypervisor's hardware, and publishes what was seen. Rows whose guest, profile and
/// code are those of their evidence are not run again; stopped at any time, it goes on where it was.
#[derive(Parser)]
struct Arguments {
    /// Only a few rows: under ten minutes.
    #[arg(long)]
    quick: bool,
    /// Publish nothing: run the rows, keep their evidence until they are judged, and leave the tree as it is.
    #[arg(long, conflicts_with = "render")]
    check: bool,
    /// Only this guest; may be given several times.
    #[arg(long, value_name = "GUEST")]
    guest: Vec<String>,
    /// Only this hypervisor; may be given several times.
    #[arg(long = "on", value_name = "TARGET")]
    targets: Vec<String>,
    /// How many rows are worked on at a time; as many as there are processors by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
    /// Run nothing: only render what the evidence says.
    #[arg(long)]
    render: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let root = root()?;
    let code = key::code(&root)?;
    let selection = Selection { guests: arguments.guest, targets: arguments.targets, quick: arguments.quick };
    let rows = row::selected(&selection);
    ensure!(
        !rows.is_empty(),
        "no row is of that guest on that hypervisor: see `lab list` and `anyvisor targets`"
    );
    let jobs = arguments.jobs.map_or_else(processors, usize::from);
    process::listen()?;
    if arguments.check {
        return check::check(&root, &rows, jobs, &code);
    }
    let store = Mutex::new(Store::open(root.join("support/evidence"))?);
    let failures = match arguments.render {
        true => 0,
        false => run(&rows, jobs, &root, &store, &code)?,
    };
    let cells =
        row::all().iter().map(|row| cell::read(row, &lock(&store), &code)).collect::<Result<Vec<Cell>>>()?;
    render(&root, &cells)?;
    index(&root, &cells)?;
    ensure!(failures == 0, "{failures} rows could not be run, or came out otherwise than expected");
    Ok(())
}

/// The workspace's root: this program is run by cargo.
fn root() -> Result<PathBuf> {
    let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_directory.ancestors().nth(2).map(Path::to_path_buf).context("the crate lies in no workspace")
}

/// Builds the program that is certified, and says where it is.
fn build(root: &Path) -> Result<PathBuf> {
    let release = cfg!(not(debug_assertions));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "-p", "anyvisor"]).current_dir(root);
    if release {
        command.arg("--release");
    }
    ensure!(command.status().context("cannot run cargo")?.success(), "cannot build anyvisor");
    let own = std::env::current_exe().context("cannot find this program")?;
    Ok(own.with_file_name("anyvisor"))
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get())
}

/// The rows whose evidence is missing or stale, in their order.
fn pending(rows: &[Row], store: &Store, code: &str) -> VecDeque<Row> {
    let current = |row: &&Row| {
        let name = row.name();
        let key = Key::of(row, code);
        store.entry(&name).is_some_and(|entry| entry.key == key) && store.path(&name).is_file()
    };
    rows.iter().filter(|row| !current(row)).copied().collect()
}

/// Runs those of the rows whose evidence is missing or stale, and says how many failed.
fn run(rows: &[Row], jobs: usize, root: &Path, store: &Mutex<Store>, code: &str) -> Result<usize> {
    let cache = lab::cache_directory()?;
    let scratch = tempfile::Builder::new().prefix("certify-").tempdir_in(&cache)?;
    let workshop = Workshop { anyvisor: build(root)?, scratch: scratch.path().to_path_buf() };
    let pending = pending(rows, &lock(store), code);
    say(format_args!("{} of {} rows are to be run, {jobs} at a time", pending.len(), rows.len()));
    let failures = run_pending(pending, jobs, &workshop, store, code);
    ensure!(!process::is_stopped(), "stopped: the next run goes on with the rows that are not done");
    Ok(failures)
}

/// Runs the rows, several at a time, and says how many failed.
fn run_pending(
    pending: VecDeque<Row>,
    jobs: usize,
    workshop: &Workshop,
    store: &Mutex<Store>,
    code: &str,
) -> usize {
    let total = pending.len();
    let queue = Mutex::new(pending);
    let failures = Mutex::new(0_usize);
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(total) {
            scope.spawn(|| {
                while let Some((row, left)) = next(&queue) {
                    say(format_args!("{}: row {} of {total} begins", row.name(), total - left));
                    let done = workshop.work(&row);
                    if process::is_stopped() && done.is_err() {
                        break;
                    }
                    let left = lock(&queue).len();
                    if !keep(&row, done, store, code) {
                        *lock(&failures) += 1;
                    }
                    let mean = lock(store).mean_seconds().unwrap_or(0);
                    let minutes = (mean * left as u64).div_ceil(60 * jobs as u64);
                    say(format_args!("{left} of {total} rows wait, about {minutes} minutes"));
                }
            });
        }
    });
    failures.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The next row and how many are left then; none when there is none, or when somebody wants an end.
fn next(queue: &Mutex<VecDeque<Row>>) -> Option<(Row, usize)> {
    let mut queue = lock(queue);
    let row = queue.pop_front().filter(|_| !process::is_stopped())?;
    Some((row, queue.len()))
}

/// Keeps a row's evidence, and says whether it is what the row expects.
fn keep(row: &Row, done: Result<Done>, store: &Mutex<Store>, code: &str) -> bool {
    let name = row.name();
    let kept = done.and_then(|done| {
        let entry = Entry {
            key: Key::of(row, code),
            sha256: store::sha256(&done.document),
            seconds: done.seconds,
            conversion_seconds: done.conversion_seconds,
        };
        lock(store).keep(&name, &done.document, entry)?;
        Ok(done)
    });
    match kept {
        Ok(done) => {
            let met = row.is_met_by(done.booted);
            let what = if done.booted { "booted" } else { "did not boot" };
            let as_expected = if met { "as expected" } else { "OTHERWISE THAN EXPECTED" };
            say(format_args!("{name}: {what} in {} s, {as_expected}", done.seconds));
            met
        }
        Err(error) => {
            say(format_args!("{name}: {error:#}"));
            false
        }
    }
}

fn render(root: &Path, cells: &[Cell]) -> Result<()> {
    let pages = [("docs/matrix.md", markdown::page(cells)), ("docs/matrix.html", html::page(cells))];
    for (name, page) in pages {
        store::replace(&root.join(name), page.as_bytes())?;
        say(format_args!("rendered {name}"));
    }
    Ok(())
}

/// Writes what `anyvisor support` says was seen here: the converted guests whose evidence is current and holds.
fn index(root: &Path, cells: &[Cell]) -> Result<()> {
    let seen: Vec<Seen> = cells.iter().filter_map(Cell::seen).collect();
    let mut text = serde_json::to_string_pretty(&seen)?;
    text.push('\n');
    store::replace(&root.join("support/evidence/index.json"), text.as_bytes())
}

/// A worker that panicked has left the data whole: every change of it is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line of progress on standard error.
fn say(message: impl std::fmt::Display) {
    // That nobody can hear it is no reason to stop.
    let _ = writeln!(std::io::stderr(), "certify: {message}");
}

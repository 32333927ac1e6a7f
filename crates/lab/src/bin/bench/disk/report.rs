//! What was measured: as JSON, and as tables for people.

use super::Bench;
use super::pair::Goal;
use super::timed::Runs;
use anyhow::Result;
use serde::Serialize;
use std::fmt;

const MIB: f64 = (1 << 20) as f64;
/// The most memory that a conversion may take, in bytes.
const MEMORY: u64 = 128 << 20;
/// The longest that cloning 20 GiB may take, in seconds.
const CLONED: f64 = 1.0;
/// The longest that a huge disk may take, in seconds.
const HUGE: f64 = 3.0;

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    cpus: usize,
    qemu_img: String,
    anyvisor: String,
    rows: Vec<Row>,
    cloned: Vec<Cloned>,
    huge: Vec<Huge>,
    notes: Vec<String>,
}

/// One conversion by several tools.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    name: String,
    goal: Goal,
    /// Whether the goal is met, where there is one.
    met: Option<bool>,
    /// Anyvisor comes first.
    contenders: Vec<Runs>,
    /// The length of Anyvisor's file and of qemu-img's.
    sizes: [u64; 2],
}

/// A conversion where extents can be shared.
#[derive(Debug, Serialize)]
pub(super) struct Cloned {
    pub(super) name: String,
    pub(super) seconds: f64,
    pub(super) peak_resident: u64,
    pub(super) data_bytes: u64,
    /// How much less room the target took than it has data.
    pub(super) shared_bytes: u64,
}

/// A conversion of a disk that is nearly empty.
#[derive(Debug, Serialize)]
pub(super) struct Huge {
    pub(super) name: String,
    pub(super) virtual_bytes: u64,
    pub(super) seconds: f64,
    pub(super) peak_resident: u64,
}

impl Report {
    pub(super) fn new(
        bench: &Bench,
        rows: Vec<Row>,
        cloned: Vec<Cloned>,
        huge: Vec<Huge>,
        notes: Vec<String>,
    ) -> Result<Self> {
        Ok(Self {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            qemu_img: crate::convert::version("qemu-img".as_ref())?,
            anyvisor: crate::convert::version(&bench.anyvisor)?,
            rows,
            cloned,
            huge,
            notes,
        })
    }
}

impl Row {
    pub(super) fn new(name: String, goal: Goal, contenders: Vec<Runs>, sizes: [u64; 2]) -> Self {
        let mut row = Self { name, goal, met: None, contenders, sizes };
        row.met = row.is_met();
        row
    }

    fn of(&self, prefix: &str) -> impl Iterator<Item = &Runs> {
        self.contenders.iter().filter(move |runs| runs.name.starts_with(prefix))
    }

    /// The median of the better of those whose name begins so.
    fn best(&self, prefix: &str) -> Option<f64> {
        self.of(prefix).filter_map(Runs::wall).min_by(f64::total_cmp)
    }

    /// How large Anyvisor's file is, by qemu-img's.
    fn size(&self) -> Option<f64> {
        let [ours, theirs] = self.sizes;
        (theirs > 0).then(|| ours as f64 / theirs as f64)
    }

    fn is_met(&self) -> Option<bool> {
        let ours = self.contenders.first()?;
        let met = self.goal.is_met(ours.wall()?, self.best("qemu-img"), self.best("cp"), self.size());
        met.map(|met| met && ours.peak() <= MEMORY)
    }
}

fn seconds(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "",
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ours = self.contenders.first();
        let (wall, qemu) = (ours.and_then(Runs::wall), self.best("qemu-img"));
        let ratio = wall.and_then(|wall| Some(qemu? / wall));
        let limit = self.best("cp").or_else(|| self.best("dd"));
        write!(
            f,
            "{:<24}{:>8}{:>8}{:>8}{:>9}{:>8}{:>8}{:>8}{:>7}  {:<12}{}",
            self.name,
            seconds(wall),
            seconds(
                self.contenders.get(1).filter(|runs| runs.name.contains("1 thread")).and_then(Runs::wall)
            ),
            seconds(ours.and_then(|ours| ours.median(|run| run.cpu_seconds))),
            seconds(qemu),
            seconds(limit),
            seconds(ratio),
            seconds(self.size()),
            format!("{:.0}", ours.map_or(0, Runs::peak) as f64 / MIB),
            self.goal.text(),
            verdict(self.met)
        )?;
        for failure in self.contenders.iter().filter_map(|runs| Some((&runs.name, runs.failure.as_ref()?))) {
            write!(f, "\n    {}: {}", failure.0, failure.1)?;
        }
        Ok(())
    }
}

impl fmt::Display for Cloned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most_is_shared = self.shared_bytes >= self.data_bytes / 10 * 9;
        let met = self.seconds < CLONED && self.peak_resident <= MEMORY && most_is_shared;
        write!(
            f,
            "{:<24}{:>8.2} s {:>5.0} MiB, {:>5.1} of {:.0} GiB shared  {}",
            self.name,
            self.seconds,
            self.peak_resident as f64 / MIB,
            self.shared_bytes as f64 / MIB / 1024.0,
            self.data_bytes as f64 / MIB / 1024.0,
            verdict(Some(met))
        )
    }
}

impl fmt::Display for Huge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let met = self.seconds < HUGE && self.peak_resident <= MEMORY;
        write!(
            f,
            "{:<24}{:>8.2} s {:>5.0} MiB, {:.0} TiB  {}",
            self.name,
            self.seconds,
            self.peak_resident as f64 / MIB,
            self.virtual_bytes as f64 / MIB / MIB,
            verdict(Some(met))
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}, {}, {} CPUs; medians, in seconds; memory in MiB",
            self.anyvisor, self.qemu_img, self.cpus
        )?;
        writeln!(
            f,
            "{:<24}{:>8}{:>8}{:>8}{:>9}{:>8}{:>8}{:>8}{:>7}  {:<12}",
            "", "2 thr.", "1 thr.", "CPU", "qemu-img", "limit", "ratio", "size", "RSS", "goal"
        )?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        self.cloned.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        self.huge.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

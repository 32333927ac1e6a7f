//! Runs one process and measures it: [`time`]. Conversions take tenths of a second, so the clock stops with the process,
//! not at the next look at it.

use crate::process;
use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use std::io::{Read as _, Seek as _};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often the process's memory is looked at.
const SAMPLE: Duration = Duration::from_millis(10);
/// After so much time a tool has been run often enough, in seconds.
const ENOUGH: f64 = 60.0;
/// A first run that is shorter does not count, in seconds: it finds memory that nobody has had for a while, and takes
/// several times as long where a virtual machine has given that back to its host.
const WARMING: f64 = 10.0;

/// What one run of a command cost.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Timed {
    /// From start to end, in seconds.
    pub(super) wall_seconds: f64,
    /// Processor time of user and system, in seconds.
    pub(super) cpu_seconds: f64,
    /// The process's high-water mark of resident memory shortly before its end, in bytes.
    pub(super) peak_resident: u64,
    /// How many of the host's processors were busy with something else, on average.
    pub(super) others_busy: f64,
}

/// Runs `command` to its end.
///
/// # Errors
/// When it cannot be run or fails; with what it printed on standard error.
pub(super) fn time(command: &mut Command) -> Result<Timed> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut errors = tempfile::tempfile().context("cannot make a file for standard error")?;
    let shared = errors.try_clone().context("cannot share a file")?;
    let (ticks, host) = (process::ended_childrens_ticks(), process::host_ticks());
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(shared)
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let (id, ended) = (child.id(), AtomicBool::new(false));
    let (status, wall_seconds, peak_resident) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut peak = 0;
            while !ended.load(Ordering::Relaxed) {
                peak = peak.max(process::high_water(id).unwrap_or(0));
                std::thread::sleep(SAMPLE);
            }
            peak
        });
        let status = child.wait();
        let wall_seconds = start.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        (status, wall_seconds, sampler.join().unwrap_or(0))
    });
    let status = status.with_context(|| format!("cannot wait for {program}"))?;
    if !status.success() {
        let mut text = String::new();
        let _ = errors.rewind().and_then(|()| errors.read_to_string(&mut text));
        bail!("{program} ended with {status}: {}", text.trim());
    }
    let ticks = process::ended_childrens_ticks().saturating_sub(ticks);
    let host = process::host_ticks().saturating_sub(host);
    let seconds = |ticks: u64| ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    let others_busy = seconds(host.saturating_sub(ticks)) / wall_seconds;
    Ok(Timed { wall_seconds, cpu_seconds: seconds(ticks), peak_resident, others_busy })
}

/// One way to do a row.
pub(super) struct Contender<'a> {
    /// Who: `anyvisor`, `qemu-img -W -m 16`.
    name: String,
    /// Makes the command for one run, after making room for its result.
    command: Box<dyn Fn() -> Command + 'a>,
}

impl<'a> Contender<'a> {
    pub(super) fn new(name: &str, command: impl Fn() -> Command + 'a) -> Self {
        Self { name: name.to_owned(), command: Box::new(command) }
    }
}

/// Every run of one contender.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Runs {
    /// Who.
    pub(super) name: String,
    /// Each run.
    pub(super) runs: Vec<Timed>,
    /// Why there are none, where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
}

impl Runs {
    /// The median of some property over all runs.
    pub(super) fn median(&self, of: fn(&Timed) -> f64) -> Option<f64> {
        let mut values: Vec<f64> = self.runs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len().saturating_sub(1) / 2).copied()
    }

    /// The median wall-clock time, in seconds.
    pub(super) fn wall(&self) -> Option<f64> {
        self.median(|run| run.wall_seconds)
    }

    /// The most memory of any run, in bytes.
    pub(super) fn peak(&self) -> u64 {
        self.runs.iter().map(|run| run.peak_resident).max().unwrap_or(0)
    }
}

/// Lets every contender run `runs` times, in turns, so that what else the host does weighs on all; those that have
/// taken a minute stop. A short first run is not counted.
pub(super) fn in_turns(contenders: &[Contender<'_>], runs: u32) -> Vec<Runs> {
    let none = |contender: &Contender| Runs { name: contender.name.clone(), runs: Vec::new(), failure: None };
    let mut results: Vec<Runs> = contenders.iter().map(none).collect();
    for run in 0..=runs {
        for (contender, result) in contenders.iter().zip(&mut results) {
            let spent: f64 = result.runs.iter().map(|run| run.wall_seconds).sum();
            if spent > ENOUGH || result.failure.is_some() || result.runs.len() == runs as usize {
                continue;
            }
            match time(&mut (contender.command)()) {
                Ok(timed) if run == 0 && timed.wall_seconds < WARMING => {}
                Ok(timed) => result.runs.push(timed),
                Err(error) => result.failure = Some(format!("{error:#}")),
            }
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_measured_and_a_failure_is_told() {
        let timed = time(Command::new("sleep").arg("0.1")).unwrap();
        assert!(timed.wall_seconds >= 0.1 && timed.peak_resident > 0, "{timed:?}");
        let error = time(Command::new("sh").args(["-c", "echo no luck >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("no luck"));
    }

    #[test]
    fn contenders_take_turns_and_failures_stop() {
        let contender = |name, program| Contender::new(name, move || Command::new(program));
        let results = in_turns(&[contender("yes", "true"), contender("no", "false")], 3);
        assert_eq!((results[0].runs.len(), results[1].runs.len()), (3, 0));
        assert!(results[0].wall().is_some() && results[1].failure.is_some());
    }
}

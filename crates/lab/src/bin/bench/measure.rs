//! Runs a command and measures it with everything that it starts.

use crate::process::{self, Process};
use anyhow::{Context as _, Result, bail};
use rustix::process::WaitOptions;
use serde::Serialize;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often the processes are looked at. Peaks that are shorter may be missed; each process's own high-water mark
/// is not.
const SAMPLE: Duration = Duration::from_millis(50);

/// What a command cost, with all processes that it started. Memory is in bytes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    /// From start to end, in seconds.
    pub(crate) wall_seconds: f64,
    /// Processor time of user and system, in seconds.
    pub(crate) cpu_seconds: f64,
    /// How many of the host's processors were busy with something else meanwhile, on average. Much of it makes the
    /// wall-clock time worthless for comparisons.
    pub(crate) others_busy: f64,
    /// The largest sum of all processes' proportional set sizes at one moment.
    pub(crate) peak_proportional: u64,
    /// The largest sum of all processes' resident set sizes at one moment; shared pages count more than once.
    pub(crate) peak_resident: u64,
    /// The largest high-water mark of one process, and its name.
    pub(crate) largest_process: (String, u64),
    /// Who had how much when the sum of proportional set sizes was largest.
    pub(crate) at_peak: Vec<(String, u64)>,
}

/// Runs `command` to its end. Its output goes to `log`.
///
/// # Errors
/// When it cannot be run or fails; the error carries the log's last lines.
pub(crate) fn measure(command: &mut Command, log: &Path) -> Result<Measured> {
    // Processes whose parent ends become ours instead of init's: they stay in the tree, and their time is counted.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .context("cannot become a subreaper")?;
    let program = command.get_program().to_string_lossy().into_owned();
    let output = std::fs::File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let errors = output.try_clone().context("cannot share the log")?;
    let (ticks, host) = (process::ended_childrens_ticks(), process::host_ticks());
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let mut peak = Peak::default();
    let status = loop {
        if let Some(status) = child.try_wait().with_context(|| format!("cannot wait for {program}"))? {
            break status;
        }
        peak.take(&process::descendants(std::process::id()));
        std::thread::sleep(SAMPLE);
    };
    let wall_seconds = start.elapsed().as_secs_f64();
    // Orphans that have ended by now.
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
    if !status.success() {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(20).collect();
        bail!("{program} ended with {status}:\n{}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    let ticks = process::ended_childrens_ticks().saturating_sub(ticks);
    let host = process::host_ticks().saturating_sub(host);
    let seconds = |ticks: u64| ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    let others_busy = seconds(host.saturating_sub(ticks)) / wall_seconds;
    Ok(peak.measured(wall_seconds, seconds(ticks), others_busy))
}

/// The largest that was seen.
#[derive(Default)]
struct Peak {
    proportional: u64,
    resident: u64,
    largest: (String, u64),
    at_peak: Vec<(String, u64)>,
}

impl Peak {
    fn take(&mut self, processes: &[Process]) {
        let proportional = processes.iter().map(|process| process.proportional).sum();
        if proportional > self.proportional {
            self.proportional = proportional;
            self.at_peak =
                processes.iter().map(|process| (process.name.clone(), process.proportional)).collect();
            self.at_peak.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        }
        self.resident = self.resident.max(processes.iter().map(|process| process.resident).sum());
        if let Some(largest) = processes.iter().max_by_key(|process| process.high_water)
            && largest.high_water > self.largest.1
        {
            self.largest = (largest.name.clone(), largest.high_water);
        }
    }

    fn measured(self, wall_seconds: f64, cpu_seconds: f64, others_busy: f64) -> Measured {
        Measured {
            wall_seconds,
            cpu_seconds,
            others_busy,
            peak_proportional: self.proportional,
            peak_resident: self.resident,
            largest_process: self.largest,
            at_peak: self.at_peak,
        }
    }
}

/// The run with the median wall-clock time; of an even number, the faster of the two in the middle.
pub(crate) fn median(runs: &[Measured]) -> Option<&Measured> {
    let mut sorted: Vec<&Measured> = runs.iter().collect();
    sorted.sort_by(|a, b| a.wall_seconds.total_cmp(&b.wall_seconds));
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_of_a_child_is_measured_too() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        // About 32 MiB in a grandchild, and some processor time.
        let script = "sh -c 'x=$(head -c 16000000 /dev/zero | tr \"\\0\" x); sleep 0.5; echo ${#x}'; true";
        let measured = measure(Command::new("sh").args(["-c", script]), &log).unwrap();
        assert!(measured.peak_resident > 16_000_000, "{measured:?}");
        assert!(measured.wall_seconds >= 0.5 && measured.cpu_seconds > 0.0, "{measured:?}");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "16000000\n");
    }

    #[test]
    fn a_failure_carries_the_last_lines() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        let error = measure(command.args(["-c", "echo no luck >&2; exit 3"]), &directory.path().join("log"));
        assert!(error.unwrap_err().to_string().contains("no luck"));
    }

    #[test]
    fn the_median_is_a_run() {
        let run = |wall_seconds| Peak::default().measured(wall_seconds, 0.0, 0.0);
        let runs = [run(3.0), run(1.0), run(2.0), run(9.0)];
        assert_eq!(median(&runs).map(|run| run.wall_seconds), Some(2.0));
        assert!(median(&[]).is_none());
    }
}

//! What was measured: as JSON, and as a table for people.

use crate::measure::{Measured, median};
use anyhow::{Context as _, Result};
use qemu::Accelerator;
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// The conversion of one guest by several tools.
#[derive(Debug, Serialize)]
pub(crate) struct Conversion {
    /// The lab's name for the guest.
    pub(crate) guest: String,
    /// The size of its OVA.
    pub(crate) guest_bytes: u64,
    /// The size of its disk.
    pub(crate) disk_bytes: u64,
    /// What runs virtual machines on this host, for all tools.
    pub(crate) accelerator: Accelerator,
    /// QEMU's version.
    pub(crate) qemu: String,
    /// The host's processors.
    pub(crate) cpus: usize,
    /// Anyvisor.
    pub(crate) anyvisor: Tool,
    /// The peer, when it was measured.
    pub(crate) virt_v2v: Option<Tool>,
}

/// What one tool needed.
#[derive(Debug, Serialize)]
pub(crate) struct Tool {
    /// As it prints it.
    pub(crate) version: String,
    /// Every run.
    pub(crate) runs: Vec<Measured>,
}

/// Boots of the appliance.
#[derive(Debug, Serialize)]
pub(crate) struct Boots {
    /// What ran it.
    pub(crate) accelerator: Accelerator,
    /// Why that.
    pub(crate) accelerator_reason: String,
    /// QEMU's version.
    pub(crate) qemu: String,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// Every boot.
    pub(crate) boots: Vec<Boot>,
}

/// One boot of the appliance.
#[derive(Debug, Serialize)]
pub(crate) struct Boot {
    /// From the call to the agent's answer.
    pub(crate) boot_to_ready_seconds: f64,
    /// The most memory that its QEMU had resident, in bytes.
    pub(crate) peak_memory: u64,
    /// The size of the initial RAM file system, in bytes.
    pub(crate) initramfs: u64,
}

/// Writes a report as JSON.
pub(crate) fn write(report: &impl Serialize, path: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(report).context("cannot make JSON of the report")?;
    std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    crate::say(&format!("the report is in {}", path.display()));
    Ok(())
}

const MIB: f64 = (1 << 20) as f64;

impl fmt::Display for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: an OVA of {:.0} MiB, a disk of {:.0} MiB; {} with QEMU {}, {} CPUs; medians",
            self.guest,
            self.guest_bytes as f64 / MIB,
            self.disk_bytes as f64 / MIB,
            self.accelerator,
            self.qemu,
            self.cpus
        )?;
        writeln!(
            f,
            "{:<20}{:>5} {:>10} {:>10} {:>12} {:>12}",
            "", "runs", "wall", "CPU", "peak PSS", "peak RSS"
        )?;
        let ours = row(f, &self.anyvisor)?;
        let Some(peer) = &self.virt_v2v else { return Ok(()) };
        let theirs = row(f, peer)?;
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return Ok(()) };
        writeln!(
            f,
            "anyvisor is {:.1} times faster, with {:.1} times less processor time, and {:.0} % of the memory (PSS)",
            theirs.wall_seconds / ours.wall_seconds,
            theirs.cpu_seconds / ours.cpu_seconds,
            100.0 * ours.peak_proportional as f64 / theirs.peak_proportional as f64
        )
    }
}

fn row<'a>(f: &mut fmt::Formatter<'_>, tool: &'a Tool) -> Result<Option<&'a Measured>, fmt::Error> {
    let Some(run) = median(&tool.runs) else { return Ok(None) };
    writeln!(
        f,
        "{:<20}{:>5} {:>8.1} s {:>8.1} s {:>8.0} MiB {:>8.0} MiB {:>12.1}",
        tool.version,
        tool.runs.len(),
        run.wall_seconds,
        run.cpu_seconds,
        run.peak_proportional as f64 / MIB,
        run.peak_resident as f64 / MIB,
        run.others_busy
    )?;
    let at_peak = run.at_peak.iter().filter(|(_, bytes)| *bytes as f64 >= MIB);
    let at_peak: Vec<String> =
        at_peak.map(|(name, bytes)| format!("{name} {:.0} MiB", *bytes as f64 / MIB)).collect();
    writeln!(f, "{:<20}      at the peak: {}", "", at_peak.join(", "))?;
    Ok(Some(run))
}

impl fmt::Display for Boots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "the appliance, Linux {} on {} ({})",
            self.kernel, self.accelerator, self.accelerator_reason
        )?;
        let mut seconds: Vec<f64> = self.boots.iter().map(|boot| boot.boot_to_ready_seconds).collect();
        seconds.sort_by(f64::total_cmp);
        if let (Some(least), Some(median), Some(most)) =
            (seconds.first(), seconds.get(seconds.len().saturating_sub(1) / 2), seconds.last())
        {
            writeln!(
                f,
                "boot to ready over {} runs: median {median:.2} s, {least:.2} to {most:.2} s",
                seconds.len()
            )?;
        }
        let largest = |of: fn(&Boot) -> u64| self.boots.iter().map(of).max().unwrap_or(0) as f64 / MIB;
        writeln!(
            f,
            "QEMU's memory at most {:.0} MiB, the initramfs {:.1} MiB",
            largest(|boot| boot.peak_memory),
            largest(|boot| boot.initramfs)
        )
    }
}

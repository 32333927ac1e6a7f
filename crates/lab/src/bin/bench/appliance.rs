//! `bench appliance`: from the call to the agent's first answer.

use crate::report::{Boot, Boots};
use crate::say;
use ::appliance::{Appliance, BootOptions};
use anyhow::{Context as _, Result};
use block::{BlockRead, BlockWrite, FileDisk, Overlay, OverlayOptions};
use std::sync::Arc;

/// Boots the appliance with the volumes of the lab's guest, `runs` times.
pub(crate) fn run(runs: u32) -> Result<Boots> {
    let guest = lab::guest(&lab::DEBIAN12_BIOS)?;
    let binary = qemu::Binary::find()?;
    let kernel = ::appliance::kernel::locate()?;
    let choice = qemu::accelerator::choose(&binary, &kernel.image)?;
    let mut boots = Vec::new();
    for run in 1..=runs {
        let disk: Arc<dyn BlockRead> = Arc::new(FileDisk::open(guest.path(lab::Package::Raw))?);
        let overlay: Arc<dyn BlockWrite> =
            Arc::new(Overlay::new(disk, OverlayOptions::new(std::env::temp_dir())));
        let volumes = guest::volume::scan(&[overlay]).context("cannot find the guest's volumes")?;
        let appliance = Appliance::boot(&volumes, &BootOptions::default())?;
        let measurements = appliance.shutdown()?;
        let seconds = measurements.boot_to_ready.as_secs_f64();
        say(&format!("run {run} of {runs}: {seconds:.2} s"));
        boots.push(Boot {
            boot_to_ready_seconds: seconds,
            peak_memory: measurements.peak_memory,
            initramfs: measurements.initramfs,
        });
    }
    Ok(Boots {
        accelerator: choice.accelerator,
        accelerator_reason: choice.reason,
        qemu: binary.version().to_owned(),
        kernel: kernel.version,
        boots,
    })
}

//! Boots the appliance with raw images and tells how long it took: `boot [IMAGE KIND[:SUBVOLUME]]…`, for instance
//! `boot root.img ext4 data.img btrfs:@home`. The images are mounted read-only, one after the other, but a dirty journal would
//! be replayed into them: use copies.

#![allow(clippy::print_stdout, reason = "that is its purpose")]

use appliance::{Appliance, BootOptions};
use guest::fs::{GuestFs, MountMode, Mounter};
use guest::volume::{Content, Origin, Volume, VolumeId};
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut volumes = Vec::new();
    let mut subvolumes = Vec::new();
    for (index, pair) in (0..).zip(arguments.chunks_exact(2)) {
        let [image, kind] = pair else { continue };
        let (kind, subvolume) =
            kind.split_once(':').map_or((kind.as_str(), None), |(kind, name)| (kind, Some(name)));
        subvolumes.push(subvolume);
        volumes.push(Volume {
            id: VolumeId(index),
            name: image.clone(),
            origin: Origin::Disk { disk: index },
            device: Arc::new(block::WritableFileDisk::open(image)?),
            content: Some(Content { kind: kind.to_string(), uuid: None, label: None }),
        });
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u32>().ok());
    let mut options = BootOptions { machine: std::env::var("MACHINE").ok(), ..BootOptions::default() };
    options.memory_mib = number("MEMORY").map_or(options.memory_mib, u64::from);
    options.translation_cache_mib = number("CACHE").unwrap_or(options.translation_cache_mib);
    let mut appliance = Appliance::boot(&volumes, &options)?;
    let measured = appliance.measurements();
    println!(
        "ready after {:.2} s on {}, peak {} MiB, initial RAM file system {} KiB",
        measured.boot_to_ready.as_secs_f64(),
        measured.accelerator,
        measured.peak_memory >> 20,
        measured.initramfs >> 10,
    );
    for (volume, subvolume) in volumes.iter().zip(subvolumes) {
        let start = Instant::now();
        appliance.mount(volume.id, "/", MountMode::ReadOnly, subvolume)?;
        let entries = appliance.list("/")?.len();
        println!("{}: {entries} entries, {:.2} s", volume.name, start.elapsed().as_secs_f64());
        appliance.unmount_all()?;
    }
    let start = Instant::now();
    let measured = appliance.shutdown()?;
    println!("ended after {:.2} s, peak {} MiB", start.elapsed().as_secs_f64(), measured.peak_memory >> 20);
    Ok(())
}

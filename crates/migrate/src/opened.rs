//! A source, opened: its package, its disks, and an overlay over each that takes every change.

use crate::error::{Error, Result};
use crate::plan::{DiskFacts, Facts};
use crate::reporter::Reporter;
use appliance::{Appliance, BootOptions};
use block::{BlockRead, BlockWrite, Overlay, OverlayOptions};
use dialect::package::{OpenOptions, Package};
use guest::fs::native::NativeTree;
use guest::inspect::Inspection;
use guest::volume::{self, Scan, Secret};
use image::Image;
use machine::{Disk, Objection};
use std::path::Path;
use std::sync::Arc;
use std::thread;

/// How many bytes of a disk's changes are kept in memory; the rest, a changed initramfs mostly, is as fast in the page
/// cache, behind a spill file.
const CHANGES_IN_MEMORY: u64 = 1 << 20;

/// A source with its disks open.
pub(crate) struct Opened {
    /// The package.
    pub(crate) package: Package,
    /// The facts of its disks, in the machine's order.
    pub(crate) disks: Vec<DiskFacts>,
    /// The disks themselves.
    images: Vec<Arc<Image>>,
    /// Over each disk, what takes the changes.
    pub(crate) overlays: Vec<Arc<Overlay>>,
}

impl Opened {
    /// Opens `source`, and all its disks for reading.
    ///
    /// # Errors
    /// [`Error::Source`] when the package or one of its disks cannot be read.
    pub(crate) fn open(source: &Path, options: &OpenOptions) -> Result<Self> {
        source.metadata().map_err(|error| Error::io("open", source, error))?;
        let mut package =
            Package::open_with(source, options).map_err(|error| Error::package(source, error))?;
        let mut disks = Vec::new();
        let mut images = Vec::new();
        let mut overlays = Vec::new();
        let mut losses = Vec::new();
        for disk in &package.machine.disks {
            let image = open_disk(source, &package, disk)?;
            losses.extend(package.compare_capacity(disk, &image));
            let info = image.info();
            disks.push(DiskFacts {
                id: disk.id.clone(),
                location: package.disk_location(disk),
                format: info.format.to_owned(),
                subformat: info.subformat.clone(),
                virtual_size: image.size(),
                blake3: None,
            });
            let options = OverlayOptions {
                memory_limit: CHANGES_IN_MEMORY,
                ..OverlayOptions::new(std::env::temp_dir())
            };
            let image = Arc::new(image);
            overlays.push(Arc::new(Overlay::new(Arc::clone(&image) as _, options)));
            images.push(image);
        }
        package.losses.extend(losses);
        Ok(Self { package, disks, images, overlays })
    }

    /// The BLAKE3 digests of the disks as they are, in hexadecimal.
    ///
    /// # Errors
    /// [`Error::Source`] when a disk cannot be read.
    pub(crate) fn digests(&self, reporter: &dyn Reporter) -> Result<Vec<String>> {
        reporter.begin("reading the source's disks for the evidence");
        let threads = thread::available_parallelism().map_or(1, |count| count.get());
        let digest = |image: &Arc<Image>| {
            let digest = image::digest(&**image, threads);
            digest
                .map(|digest| digest.to_hex().to_string())
                .map_err(|error| Error::image(&self.package.facts.path, error))
        };
        self.images.iter().map(digest).collect()
    }

    /// The disks with their changes, for reading.
    pub(crate) fn readable(&self) -> Vec<Arc<dyn BlockRead>> {
        self.overlays.iter().map(|disk| Arc::clone(disk) as _).collect()
    }

    /// The volumes inside the disks, with those that `secrets` unlock.
    ///
    /// # Errors
    /// [`Error::Source`] when a disk cannot be read, or the secrets unlock nothing.
    pub(crate) fn volumes(&self, secrets: &[Secret]) -> Result<Scan> {
        let disks: Vec<Arc<dyn BlockWrite>> =
            self.overlays.iter().map(|disk| Arc::clone(disk) as _).collect();
        volume::scan_unlocking(&disks, secrets)
            .map_err(|error| Error::volumes(&self.package.facts.path, error))
    }

    /// Says what system the volumes of `scan` hold, if any: at once where no kernel is needed to read them, else by the appliance.
    ///
    /// # Errors
    /// As [`inspect_to_edit`](Self::inspect_to_edit).
    pub(crate) fn inspect(&self, scan: &Scan, reporter: &dyn Reporter) -> Result<Option<Inspection>> {
        match look(scan) {
            Some(inspection) => Ok(Some(inspection)),
            None => Ok(self.inspect_to_edit(scan, reporter)?.map(|(_, inspection)| inspection)),
        }
    }

    /// Boots the appliance on the volumes of `scan` and says what system they hold, if any.
    ///
    /// # Errors
    /// [`Error::Guest`] when the appliance fails; a disk that merely holds no system is no error.
    pub(crate) fn inspect_to_edit(
        &self,
        scan: &Scan,
        reporter: &dyn Reporter,
    ) -> Result<Option<(Appliance, Inspection)>> {
        let volumes = scan.volumes.as_slice();
        if !volumes.iter().any(|volume| volume.content.is_some()) {
            return Ok(None);
        }
        reporter.begin("starting the appliance");
        let (appliance, seen) = thread::scope(|scope| {
            let looking = scope.spawn(|| look(scan));
            let appliance = Appliance::boot(volumes, &BootOptions::default());
            (appliance, looking.join().unwrap_or_default())
        });
        let mut appliance = appliance.map_err(|error| Error::guest("start the appliance for", error))?;
        if let Some(inspection) = seen {
            return Ok(Some((appliance, inspection)));
        }
        reporter.begin("looking at the guest");
        let inspection = guest::inspect::inspect(&mut appliance, volumes)
            .map_err(|error| Error::guest("inspect", error))?;
        Ok(inspection.map(|inspection| (appliance, noted(inspection, scan))))
    }

    /// What is known of the source, with what was found inside.
    pub(crate) fn facts(&self, guest: Option<Inspection>) -> Facts {
        Facts {
            machine: self.package.machine.clone(),
            losses: self.package.losses.clone(),
            disks: self.disks.clone(),
            guest,
        }
    }
}

/// A look without a kernel, where that suffices. Whatever goes wrong with it, the appliance says it better.
fn look(scan: &Scan) -> Option<Inspection> {
    let volumes = scan.volumes.as_slice();
    if !NativeTree::suffices_for(volumes) {
        return None;
    }
    let inspection = guest::inspect::inspect(&mut NativeTree::new(volumes), volumes).ok().flatten()?;
    Some(noted(inspection, scan))
}

/// An inspection with what was noted of the volumes.
fn noted(mut inspection: Inspection, scan: &Scan) -> Inspection {
    inspection.notes.extend(scan.notes.iter().cloned());
    inspection
}

/// A disk of the package. One that the description declares without an image is empty, and has to have a size.
fn open_disk(source: &Path, package: &Package, disk: &Disk) -> Result<Image> {
    if disk.source.is_none() && disk.capacity.is_none() {
        let why = "the description names neither an image nor a size for it";
        let remedy = "export the machine again, or remove the disk from its description";
        let objections = vec![Objection::new(&disk.id, why, remedy)];
        return Err(Error::Refused { source_path: source.to_path_buf(), objections });
    }
    package.open_disk(disk).map_err(|error| Error::package(source, error))
}

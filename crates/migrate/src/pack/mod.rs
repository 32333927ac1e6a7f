//! Writing what was planned into the stage, in the container that the packing wants.

mod files;
mod ova;
mod xva;

use crate::error::{Error, Result};
use crate::manifest::DiskRecord;
use crate::mapping::Mapping;
use crate::opened::Opened;
use crate::plan::{Plan, PlannedDisk};
use crate::reporter::Reporter;
use crate::stage::Stage;
use block::BlockRead;
use image::{CopyOptions, NewImage};
use profile::{Container, Profile};
use std::path::Path;
use std::sync::Arc;

/// What is packed, and where to.
pub(crate) struct Packing<'a> {
    pub(crate) opened: &'a Opened,
    pub(crate) plan: &'a Plan,
    pub(crate) profile: &'static Profile,
    pub(crate) mapping: &'a Mapping,
    pub(crate) stage: &'a Stage,
    pub(crate) reporter: &'a dyn Reporter,
}

impl Packing<'_> {
    /// Writes the disks.
    ///
    /// # Errors
    /// [`Error::Copy`], [`Error::Io`].
    pub(crate) fn disks(&self) -> Result<Vec<DiskRecord>> {
        match (self.plan.packing.container, self.plan.archive()) {
            (Container::Xva, Some(archive)) => xva::archive(self, &archive),
            _ => files::disks(self),
        }
    }

    /// Writes the descriptions, and puts everything into its archive where there is one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn descriptions(&self) -> Result<()> {
        match (self.plan.packing.container, self.plan.archive()) {
            (Container::Ova, Some(archive)) => ova::archive(self, &archive),
            // Its description went before the disks.
            (Container::Xva, Some(_)) => Ok(()),
            _ => files::descriptions(self),
        }
    }

    /// Copies one disk to `path`.
    fn copy(&self, disk: &PlannedDisk, source: Arc<dyn BlockRead>, path: &Path) -> Result<DiskRecord> {
        let progress = self.reporter.measured(&format!("copying {}", disk.id));
        let failed = |source| Error::Copy { disk: disk.id.clone(), source };
        let new = NewImage { identifier: self.plan.identifier(disk), ..new_image(disk).map_err(failed)? };
        let report = image::copy::copy(source, path, &new, &CopyOptions::default(), progress.as_ref())
            .map_err(failed)?;
        Ok(DiskRecord {
            id: disk.id.clone(),
            file: disk.file.clone(),
            format: disk.kind.format.clone(),
            virtual_size: disk.virtual_size,
            data_bytes: report.data_bytes,
            blake3: report.blake3.map(|hash| hash.to_hex().to_string()).unwrap_or_default(),
        })
    }
}

fn new_image(disk: &PlannedDisk) -> std::result::Result<NewImage, image::Error> {
    let format = image::by_name(&disk.kind.format).ok_or_else(|| image::Error::Option {
        format: "disk",
        what: format!("the unknown format {:?}", disk.kind.format),
    })?;
    Ok(NewImage { subformat: disk.kind.subformat.clone(), ..NewImage::new(format) })
}

//! Files side by side.

use super::Packing;
use crate::error::Result;
use crate::manifest::DiskRecord;
use std::sync::Arc;

pub(super) fn disks(packing: &Packing<'_>) -> Result<Vec<DiskRecord>> {
    let disks = packing.plan.disks.iter().zip(&packing.opened.overlays);
    disks
        .map(|(disk, overlay)| packing.copy(disk, Arc::clone(overlay) as _, &packing.stage.path(&disk.file)))
        .collect()
}

pub(super) fn descriptions(packing: &Packing<'_>) -> Result<()> {
    packing.plan.descriptions.iter().try_for_each(|description| {
        packing.stage.write(&description.file, description.text.as_bytes(), description.executable)
    })
}

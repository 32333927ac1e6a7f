//! XenServer's and XCP-ng's archive: its disks go into it straight from the overlays, in pieces.

use super::Packing;
use crate::error::{Error, Result};
use crate::manifest::DiskRecord;
use block::BlockRead;
use dialect::package::write_xva;
use image::CopyOptions;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::sync::Arc;

/// How much is written at once, in bytes.
const BUFFER: usize = 256 << 10;

/// Writes the archive, disks and description at once.
pub(super) fn archive(packing: &Packing<'_>, name: &str) -> Result<Vec<DiskRecord>> {
    let description =
        packing.plan.descriptions.first().ok_or_else(|| Error::Packing { packing: name.to_owned() })?;
    let disks: Vec<Arc<dyn BlockRead>> =
        packing.opened.overlays.iter().map(|overlay| Arc::clone(overlay) as _).collect();
    let path = packing.stage.path(name);
    let failed = |source| Error::Io { operation: "write", path: path.clone(), source };
    let file = File::create_new(&path).map_err(failed)?;
    let mut out = BufWriter::with_capacity(BUFFER, file);
    let progress = packing.reporter.measured(&format!("packing {name}"));
    write_xva(&mut out, &description.text, &disks, progress.as_ref())
        .map_err(|error| failed(io::Error::other(error)))?;
    out.flush().map_err(failed)?;
    out.get_ref().sync_all().map_err(failed)?;
    let threads = CopyOptions::default().threads;
    packing
        .plan
        .disks
        .iter()
        .zip(&disks)
        .map(|(disk, source)| {
            let digest = image::digest(source.as_ref(), threads)
                .map_err(|source| Error::Copy { disk: disk.id.clone(), source })?;
            Ok(DiskRecord {
                id: disk.id.clone(),
                file: name.to_owned(),
                format: disk.kind.format.clone(),
                virtual_size: disk.virtual_size,
                data_bytes: data_bytes(source.as_ref()).map_err(|error| failed(io::Error::other(error)))?,
                blake3: digest.to_hex().to_string(),
            })
        })
        .collect()
}

/// How many bytes of a disk are data.
fn data_bytes(disk: &dyn BlockRead) -> block::Result<u64> {
    let extents = disk.extents(0..disk.size())?;
    Ok(extents
        .iter()
        .filter(|extent| extent.is_data())
        .map(|extent| extent.range.end - extent.range.start)
        .sum())
}

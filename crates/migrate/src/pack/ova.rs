//! An OVF package in one archive. Its disks are written beside it first: the descriptor, which comes before them, says how
//! large they are.

use super::Packing;
use crate::description::describe;
use crate::error::{Error, Result};
use dialect::package::{Ova, OvaFile, write_ova};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;

/// Writes the archive from the disks in the stage, and removes those.
pub(super) fn archive(packing: &Packing<'_>, name: &str) -> Result<()> {
    let paths: Vec<PathBuf> = packing.plan.disks.iter().map(|disk| packing.stage.path(&disk.file)).collect();
    let mut sizes = BTreeMap::new();
    for (disk, path) in packing.plan.disks.iter().zip(&paths) {
        let metadata = fs::metadata(path).map_err(|source| Error::io("examine", path, source))?;
        sizes.insert(disk.id.clone(), metadata.len());
    }
    let described =
        describe(packing.plan, packing.profile, packing.mapping, packing.stage.directory(), &sizes);
    let (descriptions, _) = described.map_err(|source| Error::Description { source })?;
    let descriptor = descriptions.first().ok_or_else(|| Error::Packing { packing: name.to_owned() })?;
    let files: Vec<OvaFile<'_>> = packing
        .plan
        .disks
        .iter()
        .zip(&paths)
        .map(|(disk, path)| OvaFile { name: &disk.file, path })
        .collect();
    let archive = packing.stage.path(name);
    let out = File::create_new(&archive).map_err(|source| Error::io("create", &archive, source))?;
    let ova = Ova {
        descriptor_name: &descriptor.file,
        descriptor: &descriptor.text,
        files: &files,
        modified: u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0),
    };
    let progress = packing.reporter.measured(&format!("packing {name}"));
    let failed = |source| Error::Io { operation: "write", path: archive.clone(), source };
    write_ova(&out, &ova, progress.as_ref()).map_err(|error| failed(std::io::Error::other(error)))?;
    out.sync_all().map_err(failed)?;
    paths
        .iter()
        .try_for_each(|path| fs::remove_file(path).map_err(|source| Error::io("remove", path, source)))
}

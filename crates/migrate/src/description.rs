//! The descriptions of a planned machine: [`describe`].

use crate::mapping::Mapping;
use crate::plan::Plan;
use dialect::{DiskFile, RenderError, RenderOptions};
use machine::Loss;
use profile::Profile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// A description that will be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Its file.
    pub file: String,
    /// The dialect that it is written in.
    pub dialect: String,
    /// What the file will hold.
    #[serde(skip)]
    pub text: String,
    /// Whether it is a program.
    pub executable: bool,
}

/// The descriptions of a planned machine, with what they cannot say. `written` has the sizes of disks' files in bytes that
/// are known already.
///
/// # Errors
/// When the machine is not on the target's hardware, or a name cannot be written.
pub fn describe(
    plan: &Plan,
    profile: &Profile,
    mapping: &Mapping,
    output: &Path,
    written: &BTreeMap<String, u64>,
) -> Result<(Vec<Description>, Vec<Loss>), RenderError> {
    let disks = plan.disks.iter().map(|disk| DiskFile {
        id: disk.id.clone(),
        path: disk.file.clone().into(),
        storage: disk.storage.clone(),
        format: disk.kind.format.clone(),
        subformat: disk.kind.subformat.clone(),
        capacity: disk.virtual_size,
        file_size: written.get(&disk.id).copied(),
        identifier: plan.identifier(disk),
    });
    let options = RenderOptions {
        directory: Some(output.to_path_buf()),
        disks: disks.collect(),
        networks: mapping.networks.clone(),
        default_network: mapping.any_network.clone(),
        ..RenderOptions::default()
    };
    let mut descriptions = Vec::new();
    let mut losses: Vec<Loss> = Vec::new();
    for name in &plan.packing.descriptions {
        let unknown = || RenderError::Dialect { dialect: name.clone() };
        let dialect = dialect::by_name(name).ok_or_else(unknown)?;
        let rendered = dialect.render.ok_or_else(unknown)?(&plan.machine, profile, &options)?;
        // The first says it all: what it cannot say is lost. The others are for convenience.
        if descriptions.is_empty() {
            losses = rendered.losses;
        }
        descriptions.push(Description {
            file: dialect.file_name(&plan.name.to_string()),
            dialect: name.clone(),
            text: rendered.text,
            executable: dialect.executable,
        });
    }
    Ok((descriptions, losses))
}

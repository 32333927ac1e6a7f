//! Where VirtualBox keeps the parents of its differencing images, of which a VDI or a VMDK records the identifier alone.

use crate::gate::Gate;
use std::collections::BTreeSet;

/// How many files are looked into at most.
const MAX_FILES: usize = 1024;
/// Where VirtualBox keeps differencing images, below the directory of the machine and its first disk.
const SNAPSHOTS: &str = "Snapshots";

/// The names with that `ending` (`.vdi`) among which the parent of the image `name` may be.
pub(crate) fn parents(gate: &dyn Gate, name: &str, ending: &str) -> Vec<String> {
    let own = name.rsplit_once('/').map_or("", |(directory, _)| directory);
    let above = own.rsplit_once('/').map_or("", |(directory, _)| directory);
    let below = if own.is_empty() { SNAPSHOTS.to_owned() } else { format!("{own}/{SNAPSHOTS}") };
    let mut seen = BTreeSet::new();
    let directories = [own, above, &below].into_iter().filter(|directory| seen.insert(*directory));
    let files = directories.flat_map(|directory| gate.names(directory));
    let files = files.filter(|file| file != name && file.to_ascii_lowercase().ends_with(ending));
    files.take(MAX_FILES).collect()
}

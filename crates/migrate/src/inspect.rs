//! Looking at a source without changing anything.

use crate::error::Result;
use crate::keys::Keys;
use crate::opened::Opened;
use crate::plan::Facts;
use crate::reporter::Reporter;
use dialect::package::OpenOptions;
use std::path::Path;

/// What `source` is: its machine, its disks, and the system inside them.
///
/// Its disks may lie where `options` allow, too; `keys` unlock its encrypted volumes.
///
/// # Errors
/// When it cannot be read, or the appliance that looks inside cannot be started.
pub fn inspect(
    source: &Path,
    options: &OpenOptions,
    keys: Keys<'_>,
    reporter: &dyn Reporter,
) -> Result<Facts> {
    let opened = Opened::open(source, options)?;
    let volumes = opened.volumes(&keys.secrets(&opened.readable()))?;
    let found = opened.inspect(&volumes, reporter)?;
    Ok(opened.facts(found))
}

//! Free space, discarded so that it is not copied.

use super::Conversion;
use crate::fs::ErrorKind;
use crate::inspect::{Inspection, Mounted};
use crate::recipe::RecipeError;
use crate::volume::Origin;

/// Trims every filesystem that can be; one that cannot costs time later and nothing else.
pub(super) fn discard_free_space(conversion: &mut Conversion<'_>) -> Result<(), RecipeError> {
    let inspection = conversion.inspection;
    for mounted in inspection.mounts.iter().filter(|mounted| is_plain(inspection, mounted)) {
        match conversion.mounter.trim(&mounted.at) {
            Ok(bytes) => conversion.converted.trimmed = conversion.converted.trimmed.saturating_add(bytes),
            Err(error) if error.kind == ErrorKind::Unsupported => {}
            Err(error) => conversion.note(format!("the free space of {} is copied too: {error}", mounted.at)),
        }
    }
    Ok(())
}

/// Whether a filesystem's free space is free on the disk: what is encrypted is noise there, whatever it holds.
fn is_plain(inspection: &Inspection, mounted: &Mounted) -> bool {
    let unlocked = |origin: &Origin| matches!(origin, Origin::Unlocked { .. });
    let encrypted = inspection.volumes.iter().any(|volume| unlocked(&volume.origin));
    match inspection.volume(mounted.volume).map(|volume| &volume.origin) {
        Some(Origin::Logical { .. }) => !encrypted,
        Some(origin) => !unlocked(origin),
        None => true,
    }
}

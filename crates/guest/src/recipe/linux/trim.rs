//! Free space, discarded so that it is not copied.

use super::Conversion;
use crate::fs::ErrorKind;
use crate::recipe::RecipeError;

/// Trims every filesystem that can be; one that cannot costs time later and nothing else.
pub(super) fn discard_free_space(conversion: &mut Conversion<'_>) -> Result<(), RecipeError> {
    let inspection = conversion.inspection;
    for mounted in &inspection.mounts {
        match conversion.mounter.trim(&mounted.at) {
            Ok(bytes) => conversion.converted.trimmed = conversion.converted.trimmed.saturating_add(bytes),
            Err(error) if error.kind == ErrorKind::Unsupported => {}
            Err(error) => conversion.note(format!("the free space of {} is copied too: {error}", mounted.at)),
        }
    }
    Ok(())
}

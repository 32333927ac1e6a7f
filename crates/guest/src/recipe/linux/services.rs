//! Guest software of other hypervisors: left in place, and kept from starting.

use super::{Conversion, during};
use crate::recipe::RecipeError;

const STEP: &str = "mask the services of other hypervisors";
const UNITS: &str = "/etc/systemd/system";

/// Masks every unit of another hypervisor's that is installed, as `systemctl mask` does.
pub(super) fn mask_foreign(conversion: &mut Conversion<'_>) -> Result<(), RecipeError> {
    let inspection = conversion.inspection;
    let home = &conversion.target.profile.id;
    for service in inspection.services.iter().filter(|service| !service.profiles.contains(home)) {
        let path = format!("{UNITS}/{}", service.unit);
        if service.path == path {
            // An alias (a link to another unit) is masked with the unit that it stands for.
            let is_alias = conversion.mounter.tree().read_link(&path).is_ok();
            if !is_alias {
                conversion.note(format!("{} is the administrator's own and was left as it is", service.unit));
            }
            continue;
        }
        if conversion.editor().link("/dev/null", &path).map_err(during(STEP))? {
            conversion.note(format!("{} ({}) no longer starts", service.unit, service.what));
            conversion.undo(format!("systemctl unmask '{}'", service.unit));
        }
    }
    Ok(())
}

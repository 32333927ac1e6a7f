//! Guest software of hypervisors.

use crate::fs::{GuestFs, Result};
use serde::{Deserialize, Serialize};

/// Where systemd looks for units, in its order.
const UNIT_DIRECTORIES: &[&str] = &["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// A service of a hypervisor's that is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledService {
    /// The systemd unit.
    pub unit: String,
    /// What it is.
    pub what: String,
    /// The profiles of the hypervisors on which it is at home.
    pub profiles: Vec<String>,
    /// The unit's file.
    pub path: String,
}

/// The services of every profile that are installed and not masked.
pub(super) fn find(fs: &mut dyn GuestFs) -> Result<Vec<InstalledService>> {
    let mut found: Vec<InstalledService> = Vec::new();
    for profile in profile::all() {
        for service in &profile.guest_services {
            if let Some(known) = found.iter_mut().find(|known| known.unit == service.unit) {
                known.profiles.push(profile.id.clone());
            } else if let Some(path) = unit_file(fs, &service.unit)? {
                found.push(InstalledService {
                    unit: service.unit.clone(),
                    what: service.what.clone(),
                    profiles: vec![profile.id.clone()],
                    path,
                });
            }
        }
    }
    Ok(found)
}

/// The file of a unit; `None` when there is none, or it is masked.
fn unit_file(fs: &mut dyn GuestFs, unit: &str) -> Result<Option<String>> {
    for directory in UNIT_DIRECTORIES {
        let path = format!("{directory}/{unit}");
        if fs.exists(&path)? {
            let is_masked = fs.read_link(&path).is_ok_and(|target| target == "/dev/null");
            return Ok((!is_masked).then_some(path));
        }
    }
    Ok(None)
}

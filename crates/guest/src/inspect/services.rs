//! Guest software of hypervisors.

use crate::fs::{GuestFs, Result};
use profile::Profile;
use serde::{Deserialize, Serialize};

/// Where systemd looks for units, in its order.
const UNIT_DIRECTORIES: &[&str] = &["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// Where scripts and jobs of other inits start services: what stands before and behind the stem of the unit's name.
const STARTERS: &[(&str, &str)] = &[("/etc/rc.d/init.d/", ""), ("/etc/init.d/", ""), ("/etc/init/", ".conf")];

/// A service of a hypervisor's that is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledService {
    /// The systemd unit; where it is a script or a job of another init's, the unit that it would be.
    pub unit: String,
    /// What it is.
    pub what: String,
    /// The profiles of the hypervisors on which it is at home.
    pub profiles: Vec<String>,
    /// The file of the unit, the script or the job.
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
    for (before, after) in STARTERS {
        let path = format!("{before}{}{after}", stem(unit));
        if fs.exists(&path)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// The name of a unit without its type, which scripts and jobs of other inits share.
pub(crate) fn stem(unit: &str) -> &str {
    unit.rsplit_once('.').map_or(unit, |(stem, _)| stem)
}

/// The profiles of the hypervisors on which a service is at home, by the stem of its unit.
pub(crate) fn at_home(service: &str) -> Vec<&'static str> {
    let has = |profile: &&Profile| profile.guest_services.iter().any(|own| stem(&own.unit) == service);
    profile::all().iter().filter(has).map(|profile| profile.id.as_str()).collect()
}

//! Guest software of other hypervisors: left in place, and kept from starting; and software of the target's own that an earlier
//! conversion kept from starting, brought back.

use super::paths::expand;
use super::{Conversion, during};
use crate::inspect::{at_home, read_text, stem};
use crate::recipe::RecipeError;
use std::collections::BTreeSet;

const STEP: &str = "keep the software of other hypervisors from starting";
const UNITS: &str = "/etc/systemd/system";
/// What was kept from starting, so that a guest that comes back gets it back.
const RECORD: &str = "/etc/anyvisor/services";
const RECORD_HEAD: &str = "# Guest software that was kept from starting when this guest moved. It is brought back where it is at home.\n";
/// The directories of a run level's links: Red Hat's, SUSE's, Debian's.
const RUN_LEVELS: &[&str] = &["/etc/rc.d/rc*.d", "/etc/init.d/rc*.d", "/etc/rc*.d"];
/// The directory of OpenRC's run levels.
const OPENRC: &str = "/etc/runlevels/";
/// In front of the name of what was put aside: neither `rc`, upstart nor OpenRC starts a name with a dot.
const ASIDE: &str = ".anyvisor-";

/// One thing that keeps a service from starting, as the record has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Inert {
    /// A systemd unit is masked.
    Masked(String),
    /// A link of a run level, or a job of upstart's, was put aside.
    Aside(String),
}

impl Inert {
    fn parse(line: &str) -> Option<Self> {
        match line.split_once(' ')? {
            ("masked", unit) if !unit.contains('/') => Some(Self::Masked(unit.into())),
            ("aside", path) => starter_of(path).is_some().then(|| Self::Aside(path.into())),
            _ => None,
        }
    }

    fn line(&self) -> String {
        match self {
            Self::Masked(unit) => format!("masked {unit}\n"),
            Self::Aside(path) => format!("aside {path}\n"),
        }
    }

    /// The stem of the service's unit.
    fn service(&self) -> Option<&str> {
        match self {
            Self::Masked(unit) => Some(stem(unit)),
            Self::Aside(path) => starter_of(path),
        }
    }
}

/// The service that a link of a run level or a job of upstart's starts; `None` for any other path.
fn starter_of(path: &str) -> Option<&str> {
    if path.contains("/../") || path.contains("/./") {
        return None;
    }
    let (directory, name) = path.rsplit_once('/')?;
    if directory == "/etc/init" {
        return name.strip_suffix(".conf");
    }
    if directory.strip_prefix(OPENRC).is_some_and(|level| !level.is_empty() && !level.contains('/')) {
        return Some(name);
    }
    let level = directory.strip_suffix(".d")?;
    let parents = ["/etc/rc.d/rc", "/etc/init.d/rc", "/etc/rc"];
    let is_level = parents.iter().any(|parent| level.strip_prefix(parent).is_some_and(|n| n.len() == 1));
    let numbered =
        name.strip_prefix('S').filter(|rest| rest.bytes().take_while(u8::is_ascii_digit).count() == 2)?;
    is_level.then(|| numbered.get(2..)).flatten().filter(|stem| !stem.is_empty())
}

/// Where something is put aside: beside itself.
fn aside(path: &str) -> String {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    format!("{directory}/{ASIDE}{name}")
}

/// Brings back what is at home on the target, and makes inert what is not.
pub(super) fn settle(conversion: &mut Conversion<'_>) -> Result<(), RecipeError> {
    let text = read_text(conversion.mounter.tree(), RECORD).map_err(during(STEP))?;
    let before: BTreeSet<Inert> =
        text.iter().flat_map(|text| text.lines()).filter_map(Inert::parse).collect();
    let mut record = bring_back(conversion, before.clone())?;
    match conversion.inspection.init.as_deref() {
        Some("systemd") => mask_foreign(conversion, &mut record)?,
        _ => put_foreign_aside(conversion, &mut record)?,
    }
    match record.is_empty() {
        _ if record == before => {}
        true => conversion.mounter.tree().remove(RECORD).map_err(during(STEP))?,
        false => {
            let text: String = record.iter().map(Inert::line).collect();
            let text = format!("{RECORD_HEAD}{text}");
            conversion.editor().put(RECORD, text.as_bytes(), 0o644).map_err(during(STEP))?;
        }
    }
    Ok(())
}

/// Undoes what is recorded of services of the target's; answers with the rest of the record.
fn bring_back(
    conversion: &mut Conversion<'_>,
    record: BTreeSet<Inert>,
) -> Result<BTreeSet<Inert>, RecipeError> {
    let home = &conversion.target.profile.id;
    let is_at_home =
        |inert: &Inert| inert.service().is_some_and(|service| at_home(service).contains(&home.as_str()));
    let (back, rest): (Vec<_>, Vec<_>) = record.into_iter().partition(is_at_home);
    for inert in back {
        match &inert {
            Inert::Masked(unit) => {
                let path = format!("{UNITS}/{unit}");
                let tree = conversion.mounter.tree();
                if tree.read_link(&path).is_ok_and(|target| target == "/dev/null") {
                    tree.remove(&path).map_err(during(STEP))?;
                    conversion.note(format!("{unit} starts again"));
                    conversion.undo(format!("systemctl mask '{unit}'"));
                }
            }
            Inert::Aside(path) => {
                let tree = conversion.mounter.tree();
                let from = aside(path);
                let is_there = tree.exists(&from).map_err(during(STEP))?;
                if is_there && !tree.exists(path).map_err(during(STEP))? {
                    tree.rename(&from, path).map_err(during(STEP))?;
                    conversion.note(format!("{path} starts again"));
                    conversion.undo(format!("mv {path} {from}"));
                }
            }
        }
    }
    Ok(rest.into_iter().collect())
}

/// Masks every unit of another hypervisor's that is installed, as `systemctl mask` does: systemd makes units of scripts
/// too, and a mask holds for them as well.
fn mask_foreign(conversion: &mut Conversion<'_>, record: &mut BTreeSet<Inert>) -> Result<(), RecipeError> {
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
            record.insert(Inert::Masked(service.unit.clone()));
        }
    }
    Ok(())
}

/// Puts aside what starts a service of another hypervisor's where there is no systemd: links of run levels, jobs of upstart's.
fn put_foreign_aside(
    conversion: &mut Conversion<'_>,
    record: &mut BTreeSet<Inert>,
) -> Result<(), RecipeError> {
    let inspection = conversion.inspection;
    let home = &conversion.target.profile.id;
    let foreign = || inspection.services.iter().filter(|service| !service.profiles.contains(home));
    if foreign().next().is_none() {
        return Ok(());
    }
    let mut paths = Vec::new();
    let tree = conversion.mounter.tree();
    for pattern in RUN_LEVELS {
        for directory in expand(tree, pattern).map_err(during(STEP))? {
            // Red Hat has links from one place to the other.
            if tree.read_link(&directory).is_err() {
                paths.extend(expand(tree, &format!("{directory}/S*")).map_err(during(STEP))?);
            }
        }
    }
    paths.extend(expand(tree, "/etc/init/*.conf").map_err(during(STEP))?);
    for level in expand(tree, "/etc/runlevels/*").map_err(during(STEP))? {
        paths.extend(expand(tree, &format!("{level}/*")).map_err(during(STEP))?);
    }
    for service in foreign() {
        let own = |path: &&String| starter_of(path) == Some(stem(&service.unit));
        let starters: Vec<&String> = paths.iter().filter(own).collect();
        for path in &starters {
            conversion.mounter.tree().rename(path, &aside(path)).map_err(during(STEP))?;
            conversion.undo(format!("mv {} {path}", aside(path)));
            record.insert(Inert::Aside((*path).clone()));
        }
        if !starters.is_empty() {
            conversion.note(format!("{} ({}) no longer starts", stem(&service.unit), service.what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_starts_a_service_is_put_aside() {
        for (path, expected) in [
            ("/etc/rc.d/rc3.d/S03vmware-tools", Some("vmware-tools")),
            ("/etc/init.d/rc5.d/S10vboxadd", Some("vboxadd")),
            ("/etc/rc2.d/S20xe-linux-distribution", Some("xe-linux-distribution")),
            ("/etc/init/vmware-tools.conf", Some("vmware-tools")),
            ("/etc/runlevels/default/open-vm-tools", Some("open-vm-tools")),
            ("/etc/runlevels/open-vm-tools", None),
            ("/etc/rc.d/rc3.d/K03vmware-tools", None),
            ("/etc/rc.d/../shadow/S00x", None),
            ("/etc/shadow", None),
            ("/etc/rc3.d/S03", None),
        ] {
            assert_eq!(starter_of(path), expected, "{path}");
        }
        assert_eq!(Inert::parse("aside /etc/passwd"), None);
        assert_eq!(Inert::parse("masked ../../x"), None);
    }
}

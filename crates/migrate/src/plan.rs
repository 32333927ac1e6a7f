//! Deciding: facts, target and options in; a [`Plan`] or the objections out. Nothing here touches anything.

use crate::description::{Description, describe};
use crate::mapping::Unmapped;
use crate::name::{self, VmName};
use crate::request::Request;
use crate::support;
use dialect::adapt::{self, Adapted};
use guest::inspect::Inspection;
use machine::{Loss, Machine, Objection, Severity};
use profile::support::Answer;
use profile::{Container, DiskKind, FirmwareKind, Packing, Profile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use uuid::Uuid;

/// What is known of a source before anything is decided.
#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    /// The machine as the source describes it.
    pub machine: Machine,
    /// What the description could not carry into `machine`.
    pub losses: Vec<Loss>,
    /// The disks that have an image, in the machine's order.
    pub disks: Vec<DiskFacts>,
    /// What was found inside the disks; `None` when nothing there is a guest that Anyvisor knows.
    pub guest: Option<Inspection>,
}

/// What is known of one disk of the source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiskFacts {
    /// The machine's name for it.
    pub id: String,
    /// Where its image lies, for people.
    pub location: String,
    /// The image's format: `vmdk`.
    pub format: String,
    /// The format's variant: `streamOptimized`.
    pub subformat: Option<String>,
    /// The size that the guest sees, in bytes.
    pub virtual_size: u64,
    /// The BLAKE3 digest of everything that the guest sees, in hexadecimal, where it was read for that.
    #[serde(default)]
    pub blake3: Option<String>,
}

/// What will be done: immutable, printable, and complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The new machine's name, as file names carry it.
    pub name: VmName,
    /// The profile of the target.
    pub target: String,
    /// The profile's version.
    pub target_version: u32,
    /// The release of the target's product, where one was asked for.
    #[serde(default)]
    pub release: Option<String>,
    /// How the files are put together.
    pub packing: Packing,
    /// The new machine.
    pub machine: Machine,
    /// The disks that will be written.
    pub disks: Vec<PlannedDisk>,
    /// The descriptions that will be written beside them.
    pub descriptions: Vec<Description>,
    /// Whether the guest inside will be edited.
    pub guest: GuestPlan,
    /// Who supports the guest on the target; `None` when it is no system that the support matrix knows. It stands in no
    /// plan's way.
    #[serde(default)]
    pub support: Option<Answer>,
    /// The networks and storages of the source's that nobody mapped.
    #[serde(default)]
    pub unmapped: Unmapped,
    /// What the new machine will not have, or have differently.
    pub losses: Vec<Loss>,
}

/// A disk that will be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedDisk {
    /// The machine's name for it.
    pub id: String,
    /// The file that will hold it; in a package, the member.
    pub file: String,
    /// What the file will be.
    pub kind: DiskKind,
    /// The size that the guest sees, in bytes.
    pub virtual_size: u64,
    /// The target's storage that is to hold it, where one was chosen.
    #[serde(default)]
    pub storage: Option<String>,
}

/// What will be done to the guest inside the disks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuestPlan {
    /// It is converted for the target's hardware.
    Convert {
        /// What it is: `Debian GNU/Linux 12 (bookworm)`.
        system: String,
    },
    /// It is copied as it is.
    CopyOnly {
        /// Why.
        why: String,
    },
}

impl Plan {
    /// The identifier that belongs into the image of a disk, where a description refers to it.
    pub(crate) fn identifier(&self, disk: &PlannedDisk) -> Option<Uuid> {
        let refers = self.packing.descriptions.iter().any(|name| *name == dialect::vbox::DIALECT.name);
        refers.then(|| dialect::vbox::medium_id(&self.machine, Path::new(&disk.file)))
    }

    /// The files that the target will consist of, as far as they are known before, the manifest last. An image may
    /// bring further ones (`-flat.vmdk`, `-s001.vmdk`).
    pub fn files(&self) -> Vec<String> {
        let disks = self.disks.iter().map(|disk| disk.file.clone());
        let descriptions = self.descriptions.iter().map(|description| description.file.clone());
        let files: Vec<String> = match self.archive() {
            Some(archive) => vec![archive],
            None => disks.chain(descriptions).collect(),
        };
        files.into_iter().chain([self.manifest_file()]).collect()
    }

    /// The archive that holds everything but the manifest, where the packing is one.
    pub fn archive(&self) -> Option<String> {
        match self.packing.container {
            Container::Files => None,
            Container::Ova => Some(format!("{}.ova", self.name)),
            Container::Xva => Some(format!("{}.xva", self.name)),
        }
    }

    /// The file of the signed evidence of a rehearsal.
    pub fn evidence_file(&self) -> String {
        format!("{}.evidence.json", self.name)
    }

    /// The manifest's file.
    pub fn manifest_file(&self) -> String {
        format!("{}.manifest.json", self.name)
    }
}

/// Decides how the machine of `facts` becomes one of `profile` in the directory `output`, an absolute path.
///
/// # Errors
/// The objections, each with its remedy, when it cannot.
pub fn plan(
    facts: &Facts,
    profile: &Profile,
    request: &Request,
    output: &Path,
) -> Result<Plan, Vec<Objection>> {
    let source = request.hardware.of(&facts.machine);
    let Adapted { machine, losses, mut objections } = adapt::adapt(&source, profile);
    let name = planned_name(facts, request, &mut objections);
    let machine = Machine { name: request.name.clone().unwrap_or(machine.name), ..machine };
    if facts.disks.is_empty() {
        objections.push(Objection::new(
            "the machine",
            "it has no disk with an image",
            "name a source whose disks lie beside it",
        ));
    }
    let guest = guest_plan(facts.guest.as_ref(), profile, request.disks_only);
    if let (Some(guest), GuestPlan::Convert { .. }) = (&facts.guest, &guest) {
        objections
            .extend(guest.objections_for(profile, machine.disks.iter().map(|disk| disk.attachment.bus)));
    }
    if request.firmware.is_some_and(|wanted| wanted != FirmwareKind::from(&machine.firmware)) {
        let why =
            "the guest starts from the other firmware, and a machine of that generation does not have it";
        let remedy = "leave --generation out, or make the guest boot from the other firmware first";
        objections.push(Objection::new("--generation", why, remedy));
    }
    let (packing, kind) = match choose(profile, request) {
        Ok(chosen) => chosen,
        Err(objection) => {
            objections.push(objection);
            return Err(objections);
        }
    };
    let storage = |id: &str| {
        let source =
            facts.machine.disks.iter().find(|disk| disk.id == id).and_then(|disk| disk.source.as_deref());
        request.mapping.storage(source)
    };
    let disks: Vec<_> = facts
        .disks
        .iter()
        .map(|disk| PlannedDisk {
            id: disk.id.clone(),
            file: format!("{name}-{}.{}", disk.id, kind.ending),
            kind: kind.clone(),
            virtual_size: disk.virtual_size,
            storage: storage(&disk.id),
        })
        .collect();
    objections.extend(disks.iter().filter_map(too_large));
    let mut plan = Plan {
        name,
        target: profile.id.clone(),
        target_version: profile.version,
        release: profile.release.clone(),
        packing: packing.clone(),
        machine,
        disks,
        descriptions: Vec::new(),
        guest,
        support: support::system(facts).map(|guest| support::answer(&guest, profile)),
        unmapped: request.mapping.unmapped(&facts.machine),
        losses: facts.losses.iter().cloned().chain(losses).collect(),
    };
    if let Some(loss) = not_edited(&plan, facts, profile) {
        plan.losses.push(loss);
    }
    match describe(&plan, profile, &request.mapping, output, &BTreeMap::new()) {
        Ok((descriptions, unsaid)) => {
            plan.descriptions = descriptions;
            plan.losses.extend(unsaid);
        }
        Err(error) => objections.push(Objection::new(
            "the description of the new machine",
            error.to_string(),
            "choose another target, or an --output whose path is plain text",
        )),
    }
    if objections.is_empty() { Ok(plan) } else { Err(objections) }
}

fn planned_name(facts: &Facts, request: &Request, objections: &mut Vec<Objection>) -> VmName {
    let Some(wanted) = &request.name else { return name::from_untrusted(&facts.machine.name) };
    VmName::try_from(wanted.clone()).unwrap_or_else(|error| {
        let what = format!("--name {wanted}");
        objections.push(Objection::new(what, error.to_string(), "choose a plain file name"));
        name::from_untrusted(wanted)
    })
}

/// The packing and the kind of disk that are asked for.
fn choose<'a>(profile: &'a Profile, request: &Request) -> Result<(&'a Packing, &'a DiskKind), Objection> {
    let packing = profile.packing(request.packing.as_deref()).ok_or_else(|| {
        let names: Vec<&str> = profile.packing.iter().map(|packing| packing.name.as_str()).collect();
        unknown(profile, "--package", request.packing.as_deref(), &names)
    })?;
    let wanted = request.disk_kind.as_deref();
    let kind =
        packing.disks.iter().find(|kind| wanted.is_none_or(|name| kind.name == name)).ok_or_else(|| {
            let names: Vec<&str> = packing.disks.iter().map(|kind| kind.name.as_str()).collect();
            unknown(profile, "--disk-format", wanted, &names)
        })?;
    Ok((packing, kind))
}

fn unknown(profile: &Profile, option: &str, wanted: Option<&str>, names: &[&str]) -> Objection {
    let why = format!("{} has no such choice", profile.name);
    Objection::new(
        format!("{option} {}", wanted.unwrap_or_default()),
        why,
        format!("choose one of: {}", names.join(", ")),
    )
}

fn too_large(disk: &PlannedDisk) -> Option<Objection> {
    let limit = disk.kind.max_gib.filter(|limit| disk.virtual_size.div_ceil(1 << 30) > *limit)?;
    let why = format!(
        "it has {} GiB, and {} holds {limit} GiB at most",
        disk.virtual_size.div_ceil(1 << 30),
        disk.kind.name
    );
    Some(Objection::new(
        &disk.id,
        why,
        "choose another --disk-format, or make the disk smaller on the source",
    ))
}

fn guest_plan(guest: Option<&Inspection>, profile: &Profile, disks_only: bool) -> GuestPlan {
    match guest {
        _ if disks_only => GuestPlan::CopyOnly { why: "only the disks were asked for".into() },
        _ if !profile.edits_guests => {
            GuestPlan::CopyOnly { why: format!("guests are not edited for {} yet", profile.name) }
        }
        Some(guest) => GuestPlan::Convert { system: guest.pretty_name() },
        None => GuestPlan::CopyOnly {
            why: "no operating system that Anyvisor knows was found on the disks".into(),
        },
    }
}

/// What a guest needs by itself when nobody edits it for hardware that its source does not have.
fn not_edited(plan: &Plan, facts: &Facts, profile: &Profile) -> Option<Loss> {
    let copied = matches!(plan.guest, GuestPlan::CopyOnly { .. }) && !profile.edits_guests;
    let moved = facts
        .machine
        .disks
        .iter()
        .zip(&plan.machine.disks)
        .any(|(old, new)| old.attachment.bus != new.attachment.bus);
    let disks = plan.machine.disks.iter().filter_map(|disk| profile.disk_hardware(disk.attachment.bus));
    let mut modules: Vec<&str> = disks.flat_map(|hardware| &hardware.linux).map(String::as_str).collect();
    modules.sort_unstable();
    modules.dedup();
    let why = format!(
        "the guest is copied as it is: it starts there only if it has the target's drivers already (Linux: {} in its \
         initramfs)",
        modules.join(", ")
    );
    (copied && moved).then(|| Loss::dropped(Severity::Warning, "the guest's drivers", why))
}

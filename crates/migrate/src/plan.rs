//! Deciding: facts, target and options in; a [`Plan`] or the objections out. Nothing here touches anything.

use crate::name::{self, VmName};
use dialect::adapt::{self, Adapted};
use dialect::{DiskFile, RenderError, RenderOptions, libvirt, qemu_script};
use guest::inspect::Inspection;
use image::NewImage;
use machine::{Loss, Machine, Objection};
use profile::Profile;
use serde::{Deserialize, Serialize};
use std::path::Path;

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
}

/// What the administrator asks for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The new machine's name; `None` takes the source's.
    pub name: Option<String>,
    /// The format of the new disks.
    pub disk_format: DiskFormat,
    /// Whether the guest inside is left as it is.
    pub disks_only: bool,
}

/// A format that new disks can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFormat {
    /// QEMU's copy-on-write format, version 3.
    Qcow2,
    /// The bytes as the guest sees them, in a sparse file.
    Raw,
}

impl DiskFormat {
    /// Its name, which is also the ending of its files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}

impl From<DiskFormat> for NewImage {
    fn from(format: DiskFormat) -> Self {
        match format {
            DiskFormat::Qcow2 => Self::qcow2(),
            DiskFormat::Raw => Self::raw(),
        }
    }
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
    /// The new machine.
    pub machine: Machine,
    /// The disks that will be written.
    pub disks: Vec<PlannedDisk>,
    /// The descriptions that will be written beside them.
    pub descriptions: Vec<Description>,
    /// Whether the guest inside will be edited.
    pub guest: GuestPlan,
    /// What the new machine will not have, or have differently.
    pub losses: Vec<Loss>,
}

/// A disk that will be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedDisk {
    /// The machine's name for it.
    pub id: String,
    /// The file that will hold it.
    pub file: String,
    /// That file's format.
    pub format: DiskFormat,
    /// The size that the guest sees, in bytes.
    pub virtual_size: u64,
}

/// A description that will be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Its file.
    pub file: String,
    /// What the file will hold.
    #[serde(skip)]
    pub text: String,
    /// Whether it is a program.
    pub executable: bool,
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
    /// The files that the target will consist of, the manifest last.
    pub fn files(&self) -> Vec<String> {
        let disks = self.disks.iter().map(|disk| disk.file.clone());
        let descriptions = self.descriptions.iter().map(|description| description.file.clone());
        disks.chain(descriptions).chain([self.manifest_file()]).collect()
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
    let Adapted { machine, losses, mut objections } = adapt::adapt(&facts.machine, profile);
    let name = match &request.name {
        None => name::from_untrusted(&facts.machine.name),
        Some(wanted) => VmName::try_from(wanted.clone()).unwrap_or_else(|error| {
            objections.push(Objection::new(
                format!("--name {wanted}"),
                error.to_string(),
                "choose a plain file name",
            ));
            name::from_untrusted(wanted)
        }),
    };
    if facts.disks.is_empty() {
        objections.push(Objection::new(
            "the machine",
            "it has no disk with an image",
            "name a source whose disks lie beside it",
        ));
    }
    if let Some(guest) = &facts.guest {
        objections
            .extend(guest.objections_for(profile, machine.disks.iter().map(|disk| disk.attachment.bus)));
    }
    let machine = Machine { name: request.name.clone().unwrap_or(machine.name), ..machine };
    let disks: Vec<_> =
        facts.disks.iter().map(|disk| planned_disk(disk, &name, request.disk_format)).collect();
    let (descriptions, unsaid) = describe(&machine, profile, &name, &disks, output).unwrap_or_else(|error| {
        let remedy = "choose an --output whose path is plain text";
        objections.push(Objection::new("the description of the new machine", error.to_string(), remedy));
        Default::default()
    });
    if !objections.is_empty() {
        return Err(objections);
    }
    Ok(Plan {
        name,
        target: profile.id.clone(),
        target_version: profile.version,
        machine,
        disks,
        descriptions,
        guest: guest_plan(facts.guest.as_ref(), request.disks_only),
        losses: facts.losses.iter().cloned().chain(losses).chain(unsaid).collect(),
    })
}

fn planned_disk(disk: &DiskFacts, name: &VmName, format: DiskFormat) -> PlannedDisk {
    let file = format!("{name}-{}.{}", disk.id, format.name());
    PlannedDisk { id: disk.id.clone(), file, format, virtual_size: disk.virtual_size }
}

/// The libvirt domain and the QEMU script, and what they cannot say.
fn describe(
    machine: &Machine,
    profile: &Profile,
    name: &VmName,
    disks: &[PlannedDisk],
    output: &Path,
) -> Result<(Vec<Description>, Vec<Loss>), RenderError> {
    let options = |directory: &Path| {
        let files = disks.iter().map(|disk| DiskFile {
            id: disk.id.clone(),
            path: directory.join(&disk.file),
            format: disk.format.name().into(),
            capacity: disk.virtual_size,
            ..DiskFile::default()
        });
        RenderOptions { disks: files.collect(), ..RenderOptions::default() }
    };
    let domain = libvirt::render(machine, profile, &options(output))?;
    // Relative paths lie beside the script: it can be moved together with its disks.
    let script = qemu_script::render(machine, profile, &options(Path::new("")))?;
    // What the domain already cannot say is said once.
    let mut losses = domain.losses;
    let more: Vec<_> =
        script.losses.into_iter().filter(|loss| losses.iter().all(|said| said.what != loss.what)).collect();
    losses.extend(more);
    Ok((
        vec![
            Description { file: format!("{name}.xml"), text: domain.text, executable: false },
            Description { file: format!("{name}.sh"), text: script.text, executable: true },
        ],
        losses,
    ))
}

fn guest_plan(guest: Option<&Inspection>, disks_only: bool) -> GuestPlan {
    match guest {
        _ if disks_only => GuestPlan::CopyOnly { why: "only the disks were asked for".into() },
        Some(guest) => GuestPlan::Convert { system: guest.pretty_name() },
        None => GuestPlan::CopyOnly {
            why: "no operating system that Anyvisor knows was found on the disks".into(),
        },
    }
}

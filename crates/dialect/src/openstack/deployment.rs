//! What a machine becomes in OpenStack.

use super::sayable::{bus, model};
use crate::guest_os::{Family, family};
use crate::render::{RenderError, RenderOptions, path_text};
use crate::text::excerpt;
use machine::{Disk, Firmware, Loss, MacAddress, Machine};
use profile::Profile;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// QEMU's machine type when the profile names none.
const DEFAULT_MACHINE: &str = "q35";

/// Everything that is to be made, in the order in which it is.
#[derive(Debug, Serialize)]
pub(super) struct Deployment {
    pub(super) images: Vec<Image>,
    pub(super) ports: Vec<Port>,
    pub(super) flavor: Flavor,
    pub(super) server: Server,
}

/// An image in Glance, and the volume in Cinder that is made of it.
#[derive(Debug, Serialize)]
pub(super) struct Image {
    /// Which disk of the machine's.
    pub(super) disk: String,
    pub(super) name: String,
    /// Its file; a relative one lies beside the description.
    pub(super) file: PathBuf,
    pub(super) disk_format: String,
    pub(super) container_format: &'static str,
    /// In GiB.
    pub(super) min_disk: u64,
    /// In MiB.
    pub(super) min_ram: u64,
    pub(super) properties: BTreeMap<&'static str, String>,
    pub(super) volume: Volume,
}

/// A volume, and how the server has it.
#[derive(Debug, Serialize)]
pub(super) struct Volume {
    /// In GiB.
    pub(super) size: u64,
    /// The volume type; the cloud's usual one without.
    pub(super) volume_type: Option<String>,
    pub(super) disk_bus: &'static str,
    /// Its place in the boot order, from 0; -1 for none.
    pub(super) boot_index: i64,
}

/// A port in Neutron.
#[derive(Debug, Serialize)]
pub(super) struct Port {
    pub(super) name: String,
    /// The network; whoever uploads names it when nobody did.
    pub(super) network: Option<String>,
    pub(super) mac_address: Option<MacAddress>,
    pub(super) admin_state_up: bool,
}

/// What the flavor has to have.
#[derive(Debug, Serialize)]
pub(super) struct Flavor {
    pub(super) vcpus: u32,
    /// In MiB.
    pub(super) ram: u64,
}

/// A server in Nova.
#[derive(Debug, Serialize)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) description: Option<String>,
}

impl Deployment {
    pub(super) fn new(
        said: &Machine,
        profile: &Profile,
        options: &RenderOptions,
        losses: &mut Vec<Loss>,
    ) -> Result<Self, RenderError> {
        let properties = properties(said, profile);
        let mut images = Vec::new();
        for disk in &said.disks {
            images.push(image(said, disk, options, properties.clone())?);
        }
        Ok(Self {
            images,
            ports: said.nics.iter().map(|nic| port(said, nic, options, losses)).collect(),
            flavor: Flavor { vcpus: said.cpu.count(), ram: said.memory.div_ceil(MIB) },
            server: Server { name: said.name.clone(), description: said.notes.clone() },
        })
    }
}

/// What the properties say is the same for every disk but its bus: Nova reads those of the first.
fn properties(said: &Machine, profile: &Profile) -> BTreeMap<&'static str, String> {
    let machine = profile.qemu_machine((&said.firmware).into()).unwrap_or(DEFAULT_MACHINE);
    let mut properties = BTreeMap::from([
        ("architecture", "x86_64".to_owned()),
        ("hw_machine_type", machine.to_owned()),
        ("hw_cpu_sockets", said.cpu.sockets.to_string()),
        ("hw_cpu_cores", said.cpu.cores_per_socket.to_string()),
        ("hw_cpu_threads", said.cpu.threads_per_core.to_string()),
        ("hw_qemu_guest_agent", "yes".to_owned()),
        ("hw_rng_model", "virtio".to_owned()),
    ]);
    let (firmware, secure_boot) = match &said.firmware {
        Firmware::Bios => ("bios", None),
        Firmware::Uefi(uefi) => ("uefi", Some(if uefi.secure_boot { "required" } else { "disabled" })),
    };
    properties.insert("hw_firmware_type", firmware.to_owned());
    let video = said.video.as_ref();
    let os_type = match said.guest_os.as_ref().and_then(family) {
        Some(Family::Windows) => Some("windows"),
        Some(Family::Linux) => Some("linux"),
        _ => None,
    };
    let more = [
        ("os_type", os_type.map(str::to_owned)),
        ("os_secure_boot", secure_boot.map(str::to_owned)),
        ("hw_vif_model", said.nics.first().and_then(|nic| model(&nic.model)).map(str::to_owned)),
        ("hw_tpm_version", said.tpm.map(|tpm| if tpm.version == 1 { "1.2" } else { "2.0" }.to_owned())),
        ("hw_tpm_model", said.tpm.map(|tpm| if tpm.version == 1 { "tpm-tis" } else { "tpm-crb" }.to_owned())),
        ("hw_video_model", video.map_or(Some("none".to_owned()), |video| video.model.clone())),
        // An absolute pointer, so that the mouse of a viewer and of the guest agree.
        ("hw_pointer_model", video.map(|_| "usbtablet".to_owned())),
    ];
    properties.extend(more.into_iter().filter_map(|(key, value)| Some((key, value?))));
    if let Some((distribution, version)) = said.guest_os.as_ref().map(|os| distribution(&os.id)) {
        properties.insert("os_distro", distribution);
        properties.insert("os_version", version);
    }
    properties.retain(|_, value| !value.is_empty());
    properties
}

/// The distribution and its version of libosinfo's identifier: `rhel8.6`, `win2k22`.
fn distribution(id: &str) -> (String, String) {
    let (name, version) = id.split_at(id.find(|c: char| c.is_ascii_digit()).unwrap_or(id.len()));
    let name = if name == "win" { "windows" } else { name };
    (name.to_owned(), version.to_owned())
}

fn image(
    said: &Machine,
    disk: &Disk,
    options: &RenderOptions,
    mut properties: BTreeMap<&'static str, String>,
) -> Result<Image, RenderError> {
    let file = options.disk(&disk.id)?;
    path_text(&file.path)?;
    let at = disk.attachment.bus;
    let (bus, controller) = bus(at).ok_or_else(|| RenderError::bus(disk))?;
    properties.insert("hw_disk_bus", bus.to_owned());
    properties.extend(controller.map(|model| ("hw_scsi_model", model.to_owned())));
    let size = file.capacity.div_ceil(GIB).max(1);
    Ok(Image {
        disk: disk.id.clone(),
        name: part(said, &disk.id),
        file: file.path.clone(),
        disk_format: file.format.clone(),
        container_format: "bare",
        min_disk: size,
        min_ram: said.memory.div_ceil(MIB),
        properties,
        volume: Volume {
            size,
            volume_type: file.storage.clone(),
            disk_bus: bus,
            boot_index: disk.boot_order.map_or(-1, |order| i64::from(order) - 1),
        },
    })
}

fn port(said: &Machine, nic: &machine::Nic, options: &RenderOptions, losses: &mut Vec<Loss>) -> Port {
    let sent = options.network(nic.network.as_deref()).and_then(|network| network.name());
    let is_sent = nic.network.as_ref().is_some_and(|name| options.networks.contains_key(name));
    if let Some(name) = nic.network.as_deref().filter(|_| !is_sent) {
        let kept_as =
            sent.map_or_else(|| "the network in $NETWORK".to_owned(), |sent| format!("the network {sent:?}"));
        let why = format!("nothing says which network of the cloud's {:?} is", excerpt(name, 60));
        losses.push(Loss::changed(format!("{}.network", nic.id), kept_as, why));
    }
    Port {
        name: part(said, &nic.id),
        network: sent.map(str::to_owned),
        mac_address: nic.mac,
        admin_state_up: nic.connected,
    }
}

/// The name of a part of the machine's.
fn part(said: &Machine, id: &str) -> String {
    let room = 254_usize.saturating_sub(id.chars().count());
    let machine: String = said.name.chars().take(room).collect();
    format!("{machine}-{id}")
}

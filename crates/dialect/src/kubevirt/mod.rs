//! KubeVirt: a VirtualMachine, and a DataVolume for each of its disks, in one YAML stream.
//!
//! The fields are those of `kubevirt.io/v1` (KubeVirt's `schema.go`) and `cdi.kubevirt.io/v1beta1` (the Containerized Data
//! Importer's `DataVolume`). The disks wait to be uploaded; the comments at the top of the file name the commands.
//!
//! The machine is first reduced to what KubeVirt can say ([`sayable`]), and all of that is written: what the two differ in
//! is what is lost.

mod label;
mod sayable;
mod volumes;
mod yaml;

pub use label::label;

use crate::dialects::Dialect;
use crate::guest_os;
use crate::render::{RenderError, RenderOptions, Rendered};
use crate::unsaid;
use machine::{Clock, Disk, Firmware, Loss, Machine, Severity};
use profile::Profile;
use sayable::{Connection, bus, model};
use yaml::Value;

/// QEMU's machine type when the profile names none.
const DEFAULT_MACHINE: &str = "q35";

/// The dialect.
pub static DIALECT: Dialect = Dialect {
    name: "kubevirt",
    description: "a KubeVirt VirtualMachine with its DataVolumes (YAML)",
    ending: "yaml",
    executable: false,
    recognise: |_| false,
    parse: None,
    render: Some(render),
};

/// Writes the stream: the DataVolumes, then the machine.
///
/// A network that is sent somewhere is a NetworkAttachmentDefinition of that name (`namespace/name` or `name`), on a bridge.
/// The first card that nobody sent anywhere is on the pod's network, which a machine can be on but once; any further one
/// is on a NetworkAttachmentDefinition that is called like the source's network.
///
/// # Errors
/// When a disk has no file, a path cannot be written, or the machine is not on the profile's hardware.
pub fn render(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
) -> Result<Rendered, RenderError> {
    let wanted = options.name.as_deref().unwrap_or(&machine.name);
    let name = label(wanted);
    let mut losses = Vec::new();
    if name != wanted {
        let why =
            "Kubernetes' names are lower-case letters, digits and dashes; an annotation has the original";
        losses.push(Loss { severity: Severity::Note, ..Loss::changed("name", &name, why) });
    }
    let said = sayable::sayable(machine, profile)?;
    let connections = sayable::connections(&said, options, &mut losses);
    losses.extend(unsaid::losses(machine, &said, &sayable::REASONS, &losses));

    let mut text = volumes::commands(&said, options, &name)?;
    for disk in &said.disks {
        text.push_str(&volumes::volume(disk, options.disk(&disk.id)?, &name).document());
    }
    text.push_str(&virtual_machine(&said, profile, &name, &connections).document());
    Ok(Rendered { text, losses })
}

fn virtual_machine(said: &Machine, profile: &Profile, name: &str, connections: &[Connection]) -> Value {
    let annotations = Value::map()
        .with("anyvisor/name", Value::text(&said.name))
        .maybe("kubernetes.io/description", said.notes.as_ref().map(Value::text))
        .maybe("vm.kubevirt.io/os", said.guest_os.as_ref().map(|os| Value::text(&os.id)));
    let volumes = said.disks.iter().map(|disk| {
        let volume = Value::map().with("name", Value::text(volumes::name(name, &disk.id)));
        Value::map().with("name", Value::text(label(&disk.id))).with("dataVolume", volume)
    });
    let spec = Value::map()
        .with("domain", domain(said, profile, connections))
        .with("networks", Value::list(connections.iter().map(Connection::network)))
        .with("volumes", Value::list(volumes));
    let labels = Value::map().with("kubevirt.io/vm", Value::text(name));
    let template = Value::map().with("metadata", Value::map().with("labels", labels)).with("spec", spec);
    Value::map()
        .with("apiVersion", Value::text("kubevirt.io/v1"))
        .with("kind", Value::text("VirtualMachine"))
        .with("metadata", Value::map().with("name", Value::text(name)).with("annotations", annotations))
        // Its disks are not there yet.
        .with("spec", Value::map().with("runStrategy", Value::text("Halted")).with("template", template))
}

fn domain(said: &Machine, profile: &Profile, connections: &[Connection]) -> Value {
    let cpu = said.cpu;
    let per_socket = cpu.cores_per_socket.saturating_mul(cpu.threads_per_core).max(1);
    let cpu = Value::map()
        .with("sockets", Value::number(cpu.sockets))
        .with("cores", Value::number(cpu.cores_per_socket))
        .with("threads", Value::number(cpu.threads_per_core))
        .maybe("maxSockets", said.max_cpus.map(|most| Value::number(most / per_socket)));
    let kind = profile.qemu_machine((&said.firmware).into()).unwrap_or(DEFAULT_MACHINE);
    let asset = said.smbios.asset_tag.as_ref();
    Value::map()
        .with("machine", Value::map().with("type", Value::text(kind)))
        .with("cpu", cpu)
        .with("memory", Value::map().with("guest", Value::text(volumes::quantity(said.memory))))
        .with("firmware", firmware(said))
        .maybe("chassis", asset.map(|asset| Value::map().with("asset", Value::text(asset))))
        .with("clock", clock(said))
        .with("features", features(said))
        .with("devices", devices(said, connections))
}

fn firmware(said: &Machine) -> Value {
    let bootloader = match &said.firmware {
        Firmware::Bios => Value::map().with("bios", Value::map()),
        Firmware::Uefi(uefi) => {
            Value::map().with("efi", Value::map().with("secureBoot", Value::truth(uefi.secure_boot)))
        }
    };
    Value::map()
        .maybe("uuid", said.bios_uuid.map(|uuid| Value::text(uuid.to_string())))
        .maybe("serial", said.smbios.serial.as_ref().map(Value::text))
        .with("bootloader", bootloader)
}

fn clock(said: &Machine) -> Value {
    debug_assert_eq!(said.clock, Clock::Utc);
    let policy = |policy: &str| Value::map().with("tickPolicy", Value::text(policy));
    let present = |present: bool| Value::map().with("present", Value::truth(present));
    let timers = Value::map()
        .with("rtc", policy("catchup"))
        .with("pit", policy("delay"))
        .with("hpet", present(false))
        .maybe("hyperv", guest_os::is_windows(said).then(|| present(true)));
    Value::map().with("utc", Value::map()).with("timer", timers)
}

fn features(said: &Machine) -> Value {
    let secure_boot = matches!(&said.firmware, Firmware::Uefi(uefi) if uefi.secure_boot);
    let hyperv = guest_os::is_windows(said).then(|| {
        Value::map()
            .with("relaxed", Value::map())
            .with("vapic", Value::map())
            .with("spinlocks", Value::map().with("spinlocks", Value::number(8191)))
    });
    Value::map()
        .with("acpi", Value::map())
        .with("apic", Value::map())
        .maybe("hyperv", hyperv)
        // Only code in system management mode may write the variables that secure boot rests on.
        .maybe("smm", secure_boot.then(|| Value::map().with("enabled", Value::truth(true))))
}

fn devices(said: &Machine, connections: &[Connection]) -> Value {
    // An absolute pointer, so that the mouse of a viewer and of the guest agree.
    let tablet = Value::map()
        .with("name", Value::text("tablet"))
        .with("type", Value::text("tablet"))
        .with("bus", Value::text("usb"));
    let interfaces = said.nics.iter().zip(connections).map(|(nic, connection)| {
        Value::map()
            .with("name", Value::text(connection.name()))
            .with("model", Value::text(model(&nic.model).unwrap_or_default()))
            .maybe("macAddress", nic.mac.map(|mac| Value::text(mac.to_string())))
            .with(connection.binding(), Value::map())
            .maybe("bootOrder", nic.boot_order.map(Value::number))
            .maybe("state", (!nic.connected).then(|| Value::text("down")))
    });
    let has_screen = said.video.is_some();
    Value::map()
        .with("disks", Value::list(said.disks.iter().map(disk)))
        .with("interfaces", Value::list(interfaces))
        .maybe("inputs", has_screen.then(|| Value::list([tablet])))
        .with("autoattachPodInterface", Value::truth(false))
        .with("autoattachGraphicsDevice", Value::truth(has_screen))
        .with("autoattachSerialConsole", Value::truth(true))
        // What was sealed by a TPM that forgets is lost at the next start.
        .maybe("tpm", said.tpm.map(|_| Value::map().with("persistent", Value::truth(true))))
        .with("rng", Value::map())
}

fn disk(disk: &Disk) -> Value {
    let target = Value::map()
        .with("bus", Value::text(bus(disk.attachment.bus).unwrap_or_default()))
        .maybe("readonly", disk.read_only.then(|| Value::truth(true)));
    Value::map()
        .with("name", Value::text(label(&disk.id)))
        .with("disk", target)
        .maybe("bootOrder", disk.boot_order.map(Value::number))
        .maybe("serial", disk.serial.as_ref().map(Value::text))
        .maybe("cache", disk.cache.and_then(sayable::cache).map(Value::text))
        .maybe("shareable", disk.shared.then(|| Value::truth(true)))
}

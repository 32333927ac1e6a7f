//! Arbitrary machines on a profile's hardware.

use dialect::adapt;
use machine::{
    Attachment, Bus, Cache, Clock, Cpu, Disk, Firmware, GuestOs, MacAddress, Machine, Nic, NicModel,
    NumaNode, Property, Removable, RemovableKind, ScsiModel, SerialPort, SerialTarget, Smbios, Tpm, Uefi,
    UsbController, Video,
};
use profile::Profile;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

/// Arbitrary machines, [adapted](dialect::adapt()) to the profile: with what no hypervisor has all of, names that mean
/// harm, and drives in no order.
pub fn machines(profile: &Profile) -> impl Strategy<Value = Machine> + use<> {
    let profile = profile.clone();
    let whole = (system(), identity(), devices(&profile), board());
    whole.prop_filter_map("the profile has no place for it", move |(system, identity, devices, board)| {
        let machine = Machine {
            name: identity.name,
            bios_uuid: identity.bios_uuid,
            guest_os: identity.guest_os,
            notes: identity.notes,
            properties: identity.properties,
            smbios: identity.smbios,
            disks: devices.disks,
            removables: devices.removables,
            nics: devices.nics,
            serials: board.serials,
            usb: board.usb,
            tpm: board.tpm,
            video: board.video,
            ..system
        };
        let adapted = adapt(&numbered(machine), &profile);
        adapted.objections.is_empty().then_some(adapted.machine)
    })
}

/// Text as people write it, and as nobody should.
fn text() -> impl Strategy<Value = String> {
    let hostile = [
        "a'b\"c",
        "$(touch PWNED) `touch PWNED`",
        "a\nb\r\n\tc\n",
        "]]><domain>&amp;<!--",
        "|22 |0A || %s ${HOME}\\",
        "../../etc/passwd",
        " spaces  ",
        "comma,semicolon;=#",
        "😀 ünïcödé 虚拟机",
        "\u{1}\u{b}\u{7f}\u{fffe}",
        "",
    ];
    prop_oneof![4 => "[a-z][a-z0-9]{0,11}( [A-Z][a-z]{1,8})?", 1 => select(hostile.to_vec()).prop_map(str::to_owned), 1 => any::<String>().prop_map(|text| text.chars().take(24).collect())]
}

fn system() -> impl Strategy<Value = Machine> {
    let firmware = prop_oneof![
        Just(Firmware::Bios),
        any::<bool>().prop_map(|secure_boot| Firmware::Uefi(Uefi { secure_boot, nvram: None })),
    ];
    let cpu = (1..=4_u32, 1..=4_u32, 1..=2_u32).prop_map(|(sockets, cores_per_socket, threads_per_core)| {
        Cpu { sockets, cores_per_socket, threads_per_core }
    });
    let memory = prop_oneof![5 => (64..8192_u64).prop_map(|mib| mib << 20), 1 => (1_u64 << 16..1_u64 << 20).prop_map(|kib| kib << 10)];
    let clock = prop_oneof![Just(Clock::Utc), Just(Clock::LocalTime)];
    let more = (of(1..64_u32), of(1..64_u64), any::<bool>());
    (firmware, cpu, memory, clock, more).prop_map(|(firmware, cpu, memory, clock, (cpus, gib, numa))| {
        let max_cpus = cpus.map(|more| cpu.count() + more);
        let max_memory = gib.map(|more| memory + (more << 30));
        let nodes =
            if numa { vec![NumaNode { cpus: (0..cpu.count()).collect(), memory }] } else { Vec::new() };
        Machine { firmware, cpu, memory, clock, max_cpus, max_memory, numa: nodes, ..Machine::default() }
    })
}

#[derive(Debug)]
struct Identity {
    name: String,
    bios_uuid: Option<uuid::Uuid>,
    guest_os: Option<GuestOs>,
    notes: Option<String>,
    properties: Vec<Property>,
    smbios: Smbios,
}

fn identity() -> impl Strategy<Value = Identity> {
    let systems = [
        ("vmware", "debian12-64"),
        ("vmware", "windows9srv-64"),
        ("vmware", "winnetenterprise"),
        ("cim", "36"),
        ("libosinfo", "rhel8.6"),
        ("virtualbox", "Ubuntu_64"),
        ("proxmox", "win11"),
        ("proxmox", "l26"),
        ("xen", "whatever"),
    ];
    let os = select(systems.to_vec())
        .prop_map(|(vocabulary, id)| GuestOs { vocabulary: vocabulary.to_owned(), id: id.to_owned() });
    let dialects = select(vec!["vmx", "ovf", "libvirt", "proxmox", "hyperv", "xl", "vbox"]);
    let property = (dialects, "[a-zA-Z][a-zA-Z0-9.]{0,15}", text())
        .prop_map(|(dialect, key, value)| Property { dialect: dialect.to_owned(), key, value });
    let smbios =
        (of(text()), of(text()), of(text()), any::<bool>()).prop_map(|(serial, product, sku, some)| {
            let smbios = Smbios { serial, product, sku, ..Smbios::default() };
            if some { smbios } else { Smbios::default() }
        });
    let uuid = of(any::<u128>().prop_map(uuid::Uuid::from_u128));
    (text(), uuid, of(os), of(text()), vec(property, 0..4), smbios).prop_map(
        |(name, bios_uuid, guest_os, notes, properties, smbios)| Identity {
            name,
            bios_uuid,
            guest_os,
            notes,
            properties,
            smbios,
        },
    )
}

#[derive(Debug)]
struct Devices {
    disks: Vec<Disk>,
    removables: Vec<Removable>,
    nics: Vec<Nic>,
}

fn devices(profile: &Profile) -> impl Strategy<Value = Devices> + use<> {
    let mut buses: Vec<Bus> = profile.disk.iter().map(|hardware| hardware.bus).collect();
    buses.extend([Bus::Ide, Bus::Sata, Bus::VirtioBlk, Bus::Scsi(ScsiModel::LsiLogic)]);
    let mut models: Vec<NicModel> = profile.nic.iter().map(|hardware| hardware.model.clone()).collect();
    models.extend([NicModel::E1000, NicModel::Virtio, NicModel::Other("we1rd".to_owned())]);
    let drives = (vec(disk(buses), 0..6), vec(removable(), 0..3));
    (drives, vec(nic(models), 0..4)).prop_map(|((disks, removables), nics)| Devices {
        disks,
        removables,
        nics,
    })
}

fn place(buses: Vec<Bus>) -> impl Strategy<Value = Attachment> {
    (select(buses), 0..4_u32, 0..20_u32).prop_map(|(bus, controller, unit)| Attachment {
        bus,
        controller,
        unit,
    })
}

/// A place in the boot order, to be made a whole number of one that nothing else has: see [`numbered`].
fn order() -> impl Strategy<Value = Option<u32>> {
    of(0..1000_u32)
}

fn disk(buses: Vec<Bus>) -> impl Strategy<Value = Disk> {
    let caches = vec![Cache::None, Cache::WriteBack, Cache::WriteThrough, Cache::DirectSync, Cache::Unsafe];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (place(buses), of(text()), order(), of(select(caches)), 1..1_u64 << 20, flags).prop_map(
        |(attachment, serial, boot_order, cache, mib, (read_only, ssd, odd))| Disk {
            attachment,
            source: Some("source.img".to_owned()),
            capacity: Some((mib << 20) + if odd { 512 } else { 0 }),
            serial,
            boot_order,
            read_only,
            cache,
            ssd,
            ..Disk::default()
        },
    )
}

fn removable() -> impl Strategy<Value = Removable> {
    let kinds = select(vec![RemovableKind::Cdrom, RemovableKind::Cdrom, RemovableKind::Floppy]);
    (kinds, place(vec![Bus::Ide, Bus::Sata]), of(text()), any::<bool>(), order()).prop_map(
        |(kind, attachment, medium, connected, boot_order)| Removable {
            kind,
            attachment,
            medium: medium.filter(|medium| !medium.is_empty()),
            connected,
            boot_order,
        },
    )
}

fn nic(models: Vec<NicModel>) -> impl Strategy<Value = Nic> {
    let mac = prop_oneof![
        any::<[u8; 6]>(),
        any::<[u8; 3]>().prop_map(|[a, b, c]| [0, 0x50, 0x56, a, b, c]),
        any::<[u8; 3]>().prop_map(|[a, b, c]| [0x52, 0x54, 0, a, b, c]),
    ];
    let network = of(text()).prop_map(|network| network.filter(|network| !network.is_empty()));
    (select(models), of(mac), network, of(1..=4094_u16), any::<bool>(), order()).prop_map(
        |(model, mac, network, vlan, connected, boot_order)| Nic {
            model,
            mac: mac.map(MacAddress),
            network,
            vlan,
            connected,
            boot_order,
            ..Nic::default()
        },
    )
}

#[derive(Debug)]
struct Board {
    serials: Vec<SerialPort>,
    usb: Vec<UsbController>,
    tpm: Option<Tpm>,
    video: Option<Video>,
}

fn board() -> impl Strategy<Value = Board> {
    let port = prop_oneof![Just(SerialTarget::Console), text().prop_map(SerialTarget::File)];
    let serials = vec(port.prop_map(|target| SerialPort { target }), 0..3);
    let usb = vec(select(vec![UsbController::Usb1, UsbController::Usb2, UsbController::Usb3]), 0..3);
    let tpm = of((1..=2_u8).prop_map(|version| Tpm { version }));
    let models = vec!["vga", "qxl", "virtio", "vmvga", "vmsvga", "std"];
    let memory = of((1..256_u64).prop_map(|mib| mib << 20));
    let video = of((of(select(models)), memory))
        .prop_map(|video| video.map(|(model, memory)| Video { model: model.map(str::to_owned), memory }));
    (serials, usb, tpm, video).prop_map(|(serials, usb, tpm, video)| Board { serials, usb, tpm, video })
}

/// The machine with identifiers in order, and a boot order that counts from 1.
fn numbered(mut machine: Machine) -> Machine {
    for (index, disk) in machine.disks.iter_mut().enumerate() {
        disk.id = format!("disk{}", index + 1);
    }
    for (index, nic) in machine.nics.iter_mut().enumerate() {
        nic.id = format!("nic{}", index + 1);
    }
    let disks = machine.disks.iter_mut().map(|disk| &mut disk.boot_order);
    let drives = machine.removables.iter_mut().map(|drive| &mut drive.boot_order);
    let cards = machine.nics.iter_mut().map(|nic| &mut nic.boot_order);
    let mut places: Vec<&mut Option<u32>> =
        disks.chain(drives).chain(cards).filter(|place| place.is_some()).collect();
    places.sort_by_key(|place| **place);
    for (place, number) in places.into_iter().zip(1..) {
        *place = Some(number);
    }
    machine
}

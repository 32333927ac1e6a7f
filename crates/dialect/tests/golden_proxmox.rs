//! Proxmox' own test configurations: all are read, and where the command that Proxmox runs for one stands beside, the
//! facts that it states are the machine's.

#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]

mod corpus;

use corpus::score::Score;
use dialect::Parsed;
use machine::{Firmware, NicModel};
use std::collections::{BTreeMap, BTreeSet};

/// A command's arguments: words between blanks, in single quotes where they need it.
fn words(command: &str) -> Vec<String> {
    let text = command.replace("\\\n", " ");
    let mut words = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').unwrap(),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

/// The values of an option of QEMU's.
fn values<'a>(words: &'a [String], option: &str) -> Vec<&'a str> {
    let pairs = words.windows(2).filter(|pair| pair[0] == option);
    pairs.map(|pair| pair[1].as_str()).collect()
}

/// The options of a value, by name; the first has the name `driver` where it has none.
fn options(value: &str) -> BTreeMap<&str, &str> {
    value.split(',').map(|part| part.split_once('=').unwrap_or(("driver", part))).collect()
}

/// The keys of the drives that QEMU is given, with the kind of device.
fn drives(words: &[String]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for device in values(words, "-device") {
        let options = options(device);
        let Some(id) = options.get("id") else { continue };
        let stem = id.trim_end_matches(|c: char| c.is_ascii_digit());
        if ["scsi", "virtio", "sata", "ide"].contains(&stem) && id.len() > stem.len() {
            found.insert((*id).to_owned(), options["driver"].to_owned());
        }
    }
    found
}

fn key(at: machine::Attachment) -> String {
    match at.bus {
        machine::Bus::Scsi(_) => format!("scsi{}", at.unit),
        machine::Bus::VirtioBlk => format!("virtio{}", at.unit),
        machine::Bus::Sata => format!("sata{}", at.unit),
        _ => format!("ide{}", at.controller * 2 + at.unit),
    }
}

fn compare(parsed: &Parsed, command: &str, score: &mut Score) {
    let machine = &parsed.machine;
    let words = words(command);
    let one = |option: &str| values(&words, option).first().map(|value| (*value).to_owned());
    // A machine without a name is called after its number.
    let name = one("-name").map(|name| name.split(',').next().unwrap().to_owned());
    let expected = if machine.name.is_empty() { "vm8006".to_owned() } else { machine.name.clone() };
    score.check("name", Some(expected), name);
    let smp = one("-smp").unwrap();
    let smp = options(&smp);
    score.check("processors", machine.cpu.count().to_string(), smp["driver"].to_owned());
    score.check("sockets", machine.cpu.sockets.to_string(), smp["sockets"].to_owned());
    let most = machine.max_cpus.unwrap_or(machine.cpu.count());
    score.check("most processors", most.to_string(), smp["maxcpus"].to_owned());
    // With memory that can be plugged in, the modules make up the rest.
    if let Some(mib) = one("-m").filter(|value| value.parse::<u64>().is_ok()) {
        score.check("memory", (machine.memory >> 20).to_string(), mib);
    }
    let smbios = values(&words, "-smbios").into_iter().find(|value| value.starts_with("type=1"));
    let uuid = smbios.and_then(|value| options(value).get("uuid").map(|uuid| (*uuid).to_owned()));
    score.check("uuid", machine.bios_uuid.map(|uuid| uuid.to_string()), uuid);
    let is_uefi = command.contains("OVMF") || command.contains("pflash0");
    score.check("firmware", matches!(machine.firmware, Firmware::Uefi(_)), is_uefi);
    score.check("tpm", machine.tpm.is_some(), command.contains("-tpmdev"));
    compare_drives(machine, &words, score);
    compare_nics(machine, &words, score);
}

fn compare_drives(machine: &machine::Machine, words: &[String], score: &mut Score) {
    let expected = drives(words);
    let cds = machine.removables.iter().map(|drive| key(drive.attachment));
    let got: BTreeSet<String> = machine.disks.iter().map(|disk| key(disk.attachment)).chain(cds).collect();
    score.check("drives", got, expected.keys().cloned().collect());
    for drive in &machine.removables {
        let kind = expected.get(&key(drive.attachment)).cloned().unwrap_or_default();
        score.check("CD-ROM drive", kind.ends_with("-cd"), true);
    }
    // Bootindexes rise in the order of the machine.
    let index = |id: &str| {
        let mut devices = values(words, "-device").into_iter().map(options);
        let device = devices.find(|options| options.get("id") == Some(&id))?;
        device.get("bootindex")?.parse::<u32>().ok()
    };
    let mut order: Vec<(u32, String)> = Vec::new();
    order.extend(machine.disks.iter().filter_map(|disk| Some((disk.boot_order?, key(disk.attachment)))));
    order.extend(machine.removables.iter().filter_map(|cd| Some((cd.boot_order?, key(cd.attachment)))));
    order.sort();
    let indexes: Vec<Option<u32>> = order.iter().map(|(_, id)| index(id)).collect();
    let mut sorted = indexes.clone();
    sorted.sort();
    score.check("boot order", indexes.contains(&None), false);
    score.check("boot order", indexes, sorted);
}

fn compare_nics(machine: &machine::Machine, words: &[String], score: &mut Score) {
    let devices = values(words, "-device");
    let cards: Vec<_> =
        devices.iter().map(|device| options(device)).filter(|options| options.contains_key("mac")).collect();
    score.check("cards", machine.nics.len(), cards.len());
    for (nic, card) in machine.nics.iter().zip(cards) {
        let mac = nic.mac.map(|mac| mac.to_string().to_uppercase());
        score.check("mac", mac, card.get("mac").map(|mac| (*mac).to_owned()));
        let model = match &nic.model {
            NicModel::Virtio => "virtio-net-pci".to_owned(),
            other => format!("{other}"),
        };
        score.check("model", model, card["driver"].to_owned());
    }
}

#[test]
fn all_configurations_are_read_and_say_what_proxmox_runs() {
    let Some(members) = corpus::suite("proxmox-qemu-server") else { return };
    let commands: BTreeMap<&str, &corpus::Member> =
        members.iter().filter_map(|member| Some((member.path.strip_suffix(".cmd")?, member))).collect();
    let mut score = Score::default();
    let (mut read, mut pairs) = (0, 0);
    for member in members.iter().filter(|member| member.path.ends_with(".conf")) {
        let parsed = match dialect::proxmox::parse(&member.bytes) {
            Ok(parsed) => parsed,
            Err(error) => {
                // A configuration of nothing but comments or snapshots is one of no machine.
                println!("refused: {}: {error}", member.path);
                assert!(matches!(error, dialect::proxmox::Error::Empty), "{}: {error}", member.path);
                continue;
            }
        };
        read += 1;
        // What is not for x86-64 is not moved, and of a template Proxmox runs nothing but its disks.
        let is_foreign = parsed.losses.iter().any(|loss| ["arch", "template"].contains(&loss.what.as_str()));
        let Some(command) = commands.get(member.path.as_str()).filter(|_| !is_foreign) else { continue };
        pairs += 1;
        let before = score.wrong.len();
        compare(&parsed, &String::from_utf8_lossy(&command.bytes), &mut score);
        for wrong in &mut score.wrong[before..] {
            wrong.insert_str(0, &format!("{}: ", member.path));
        }
    }
    println!(
        "{read} configurations read; {pairs} with a command: {} facts right, {} not:",
        score.right,
        score.wrong.len()
    );
    for wrong in &score.wrong {
        println!("  {wrong}");
    }
    assert!(score.wrong.is_empty());
    assert!(read >= 100 && pairs >= 38 && score.right >= 490, "fewer facts were compared than there are");
}

#[test]
fn what_a_configuration_says_is_read() {
    let text = "#first%3A line\n#zweite: 100%25\nagent: 1\nballoon: 512\nbios: ovmf\nboot: order=scsi0;ide2;net0\ncores: 2\n\
        efidisk0: local-zfs:vm-1-disk-0,efitype=4m,pre-enrolled-keys=1,size=1M\nide2: none,media=cdrom\n\
        ide0: local:vm-1-cloudinit,media=cdrom\nmachine: q35\nmemory: current=4096\nname: web\n\
        net0: virtio=BC:24:11:2C:69:EC,bridge=vmbr1,firewall=1,tag=12\nnet3: model=e1000,macaddr=BC:24:11:2C:69:ED,link_down=1\n\
        numa: 1\nnuma0: cpus=0-1,memory=2048\nnuma1: cpus=2;3,memory=2048\nostype: win11\n\
        sata1: /dev/disk/by-id/ata-x,ro=1\nscsi0: local-lvm:vm-1-disk-1,cache=writeback,discard=on,iothread=1,serial=a%20b,size=32G,ssd=1\n\
        scsihw: virtio-scsi-single\nserial0: socket\nserial1: /dev/ttyS1\n\
        smbios1: uuid=2fe7ed89-bafa-4c28-b209-38288aeb803d,manufacturer=SFA=,base64=1,product=UHJv\nsockets: 2\n\
        tpmstate0: local-lvm:vm-1-disk-2,size=4M,version=v2.0\nunused0: local:1/a.qcow2\nvcpus: 2\nvga: qxl,memory=32\n";
    let Parsed { machine, losses } = dialect::proxmox::parse(text.as_bytes()).unwrap();
    assert_eq!(machine.notes.as_deref(), Some("first: line\nzweite: 100%"));
    assert_eq!((machine.cpu.sockets, machine.cpu.cores_per_socket, machine.max_cpus), (2, 1, Some(4)));
    assert_eq!(
        (machine.memory, machine.numa.len(), machine.numa[1].cpus.as_slice()),
        (4 << 30, 2, &[2, 3][..])
    );
    let Firmware::Uefi(uefi) = &machine.firmware else { panic!() };
    assert_eq!((uefi.secure_boot, uefi.nvram.as_deref()), (true, Some("local-zfs:vm-1-disk-0")));
    assert_eq!(machine.smbios.manufacturer.as_deref(), Some("HP"));
    let [disk, raw] = machine.disks.as_slice() else { panic!("{:?}", machine.disks) };
    assert_eq!((disk.serial.as_deref(), disk.ssd, disk.capacity), (Some("a b"), true, Some(32 << 30)));
    assert_eq!((raw.raw_device, raw.read_only, disk.boot_order), (true, true, Some(1)));
    assert_eq!((machine.removables.len(), machine.removables[0].boot_order), (1, Some(2)));
    let [first, second] = machine.nics.as_slice() else { panic!("{:?}", machine.nics) };
    assert_eq!((first.vlan, first.network.as_deref(), first.boot_order), (Some(12), Some("vmbr1"), Some(3)));
    assert_eq!((&second.model, second.connected), (&NicModel::E1000, false));
    assert_eq!(machine.serials.len(), 2);
    assert_eq!(machine.clock, machine::Clock::LocalTime);
    let kept: Vec<_> =
        machine.properties.iter().map(|kept| format!("{}: {}", kept.key, kept.value)).collect();
    let expected = [
        "agent: 1",
        "balloon: 512",
        "machine: q35",
        "net0: firewall=1",
        "scsi0: discard=on,iothread=1",
        "scsihw: virtio-scsi-single",
    ];
    assert_eq!(kept, expected);
    let said: Vec<_> = losses.iter().map(|loss| loss.what.as_str()).collect();
    assert_eq!(said, ["tpmstate0", "ide0", "unused0"]);
}

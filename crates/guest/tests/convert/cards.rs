//! Conditions by which configurations choose network cards, from VMware's cards to KVM's.

use crate::debian;
use crate::recipe::convert;
use guest::fs::memory::MemoryTree;
use guest::fs::{GuestFs, MountMode, Mounter};
use machine::{Bus, Machine, ScsiModel};

const NETPLAN: &str = "/etc/netplan/50-site.yaml";
const CONNECTION: &str = "/etc/NetworkManager/system-connections/lan.nmconnection";
const NETWORK: &str = "/etc/systemd/network/20-lan.network";
const LINK: &str = "/etc/systemd/network/20-lan.link";
const SECOND: &str = "00:0c:29:4c:5b:6b";

/// The guest with another configuration of its network in the place of its own.
fn guest(path: &str, text: &str) -> MemoryTree {
    let mut tree = debian::tree(None);
    tree.mount(guest::volume::VolumeId(1), "/", MountMode::ReadWrite, None).unwrap();
    tree.put("/etc/network/interfaces", "auto lo\niface lo inet loopback\n").unwrap();
    tree.put(path, text).unwrap();
    tree.unmount_all().unwrap();
    tree
}

fn on_kvm() -> Machine {
    debian::on(Bus::Scsi(ScsiModel::VirtioScsi))
}

/// The file after the move and the notes on it; a second move changes nothing.
fn moved(path: &str, text: &str) -> (String, Vec<String>) {
    let (mut tree, converted, _) = convert(guest(path, text), &on_kvm()).unwrap();
    let after = String::from_utf8(tree.read(path, 1 << 16).unwrap()).unwrap();
    tree.unmount_all().unwrap();
    let (_, _, edits) = convert(tree, &on_kvm()).unwrap();
    assert_eq!(edits, [], "{path}");
    (after, converted.notes.into_iter().filter(|note| note.contains(path)).collect())
}

/// [`moved`] for a file of which every condition has a successor.
fn rewritten(path: &str, text: &str) -> String {
    let (after, notes) = moved(path, text);
    let expected = format!("{path} chooses the network cards that it chose, by what they are now");
    assert_eq!(notes, [expected]);
    after
}

fn netplan(card: &str) -> String {
    format!("network:\n  version: 2\n  ethernets:\n    site:\n{card}      dhcp4: true\n")
}

#[test]
fn netplan_chooses_by_the_address_what_it_chose_by_the_driver() {
    let by_address = format!("      match:\n        macaddress: \"{}\"\n", debian::MAC);
    for block in [
        "      match:\n        driver: vmxnet3\n",
        "      match:\n        driver: \"vmx*\"  # VMware's\n",
        "      match:\n        driver: [\"e1000\", vmxnet3]\n",
        "      match:\n        driver:\n          - e1000\n          - vmxnet3\n",
    ] {
        assert_eq!(rewritten(NETPLAN, &netplan(block)), netplan(&by_address), "{block}");
    }
    let flow = rewritten(NETPLAN, &netplan("      match: {driver: vmxnet3, name: \"en*\"}\n"));
    let expected = format!("      match: {{name: \"en*\", macaddress: \"{}\"}}\n", debian::MAC);
    assert_eq!(flow, netplan(&expected));
    // With an address of its own, the driver goes.
    let both = by_address.clone() + "        driver: vmxnet3\n";
    assert_eq!(rewritten(NETPLAN, &netplan(&both)), netplan(&by_address));
}

#[test]
fn a_name_that_netplan_gives_by_the_driver_is_tied_to_the_card() {
    let text = netplan("      match:\n        driver: vmxnet3\n      set-name: lan0\n");
    let (mut tree, converted, _) = convert(guest(NETPLAN, &text), &on_kvm()).unwrap();
    assert_eq!(converted.pinned.len(), 1);
    assert_eq!(
        (converted.pinned[0].name.as_str(), converted.pinned[0].mac.to_string().as_str()),
        ("lan0", debian::MAC)
    );
    assert!(tree.exists("/etc/systemd/network/10-anyvisor-lan0.link").unwrap());
}

#[test]
fn what_chooses_other_cards_or_all_stays() {
    for block in [
        "      match:\n        driver: iwlwifi\n",
        "      match:\n        driver: \"*\"\n",
        "      match:\n        name: \"en*\"\n",
    ] {
        let text = netplan(block);
        assert_eq!(moved(NETPLAN, &text), (text, Vec::new()));
    }
}

#[test]
fn a_condition_that_cannot_be_followed_is_reported() {
    let text = "[Match]\nDriver=!vmxnet3\n\n[Network]\nDHCP=yes\n";
    let (after, notes) = moved(NETWORK, text);
    assert_eq!(after, text);
    let [note] = notes.as_slice() else { panic!("{notes:?}") };
    assert!(note.contains("by Driver, which no card meets any more: choose it by its address"), "{note}");
}

#[test]
fn networkmanager_chooses_by_the_address_what_it_chose_by_the_driver_or_the_place() {
    for condition in ["driver=vmxnet3;", "path=pci-0000:0b:00.0;", "driver=vmxnet3\npath=pci-0000:0b:00.0"] {
        let text =
            format!("[connection]\nid=lan\ntype=ethernet\n\n[match]\n{condition}\n\n[ipv4]\nmethod=auto\n");
        let expected = format!(
            "[connection]\nid=lan\ntype=ethernet\n\n[match]\n\n[ipv4]\nmethod=auto\n\n[ethernet]\nmac-address={}\n",
            debian::MAC
        );
        assert_eq!(rewritten(CONNECTION, &text), expected);
    }
    let text = "[connection]\nid=lan\n\n[ethernet]\nmtu=9000\n\n[match]\ndriver=vmxnet3;\n";
    let expected =
        format!("[connection]\nid=lan\n\n[ethernet]\nmac-address={}\nmtu=9000\n\n[match]\n", debian::MAC);
    assert_eq!(rewritten(CONNECTION, text), expected);
}

#[test]
fn networkd_chooses_by_the_address_what_it_chose_by_the_driver_or_the_place() {
    let by_address = format!("[Match]\nMACAddress={}\nPath=*\n\n[Network]\nDHCP=yes\n", debian::MAC);
    for condition in [
        "Driver=vmxnet3",
        "Driver=e1000 vmxnet3",
        "Path=pci-0000:0b:00.0",
        "Driver=vmxnet3\nPath=pci-0000:0b:00.0",
    ] {
        let text = format!("[Match]\n{condition}\n\n[Network]\nDHCP=yes\n");
        assert_eq!(rewritten(NETWORK, &text), by_address, "{condition}");
    }
    let both = format!("[Match]\nMACAddress={}\nDriver=vmxnet3\n\n[Network]\nDHCP=yes\n", debian::MAC);
    assert_eq!(rewritten(NETWORK, &both), by_address);
}

#[test]
fn a_link_file_names_the_card_that_it_named() {
    let text = "[Match]\nDriver=vmxnet3\n\n[Link]\nName=lan0\n";
    let expected = format!("[Match]\nMACAddress={}\nPath=*\n\n[Link]\nName=lan0\n", debian::MAC);
    assert_eq!(rewritten(LINK, text), expected);
}

#[test]
fn several_cards_of_a_driver_are_chosen_by_the_new_one() {
    let two = |mut machine: Machine| {
        machine.nics.push(machine::Nic {
            id: "nic2".into(),
            mac: SECOND.parse().ok(),
            ..machine.nics[0].clone()
        });
        machine
    };
    let mut recorded = guest(NETWORK, "[Match]\nDriver=vmxnet3\n\n[Network]\nDHCP=yes\n");
    recorded.mount(guest::volume::VolumeId(1), "/", MountMode::ReadWrite, None).unwrap();
    recorded.put(NETPLAN, netplan("      match:\n        driver: vmxnet3\n")).unwrap();
    recorded.put(LINK, "[Match]\nOriginalName=eth1\n\n[Link]\nName=lan1\n").unwrap();
    recorded
        .put("/etc/systemd/network/30-lan1.network", "[Match]\nName=lan1\n\n[Network]\nDHCP=yes\n")
        .unwrap();
    recorded.unmount_all().unwrap();
    let inspection = guest::inspect::inspect(&mut recorded, &debian::volumes()).unwrap().unwrap();
    let target =
        guest::recipe::Target::new(profile::find("kvm").unwrap(), &two(debian::machine()), &two(on_kvm()));
    let converted =
        guest::recipe::find(&inspection).unwrap().convert(&mut recorded, &inspection, &target).unwrap();
    let mut text = |path: &str| String::from_utf8(recorded.read(path, 1 << 16).unwrap()).unwrap();
    assert_eq!(text(NETWORK), "[Match]\nDriver=virtio_net\n\n[Network]\nDHCP=yes\n");
    assert_eq!(text(NETPLAN), netplan("      match:\n        driver: virtio_net\n"));
    // The kernel's order is the slots', as far as anyone knows.
    assert_eq!(text(LINK), format!("[Match]\nMACAddress={SECOND}\nPath=*\n\n[Link]\nName=lan1\n"));
    let pinned: Vec<_> =
        converted.pinned.iter().map(|pin| (pin.name.as_str(), pin.mac.to_string())).collect();
    assert_eq!(pinned, [("lan1", SECOND.to_string())]);
}

//! Static addresses, DHCP, VLANs, bonds and bridges, in every program's configuration: the card that they lie on keeps the
//! name by which they know it.

use crate::debian;
use crate::recipe::convert;
use guest::fs::{MountMode, Mounter};
use machine::{Bus, ScsiModel};

/// What is configured, the file, and its text.
const CONFIGURATIONS: &[(&str, &str, &str)] = &[
    ("ifupdown, DHCP", "/etc/network/interfaces", "auto ens192\niface ens192 inet dhcp\n"),
    (
        "ifupdown, VLAN",
        "/etc/network/interfaces",
        "auto ens192.7\niface ens192.7 inet static\n address 192.0.2.1/24\n",
    ),
    ("ifupdown, named VLAN", "/etc/network/interfaces", "iface vlan7 inet dhcp\n vlan-raw-device ens192\n"),
    (
        "ifupdown, bond",
        "/etc/network/interfaces",
        "iface bond0 inet dhcp\n bond-slaves ens192\n bond-mode 1\n",
    ),
    ("ifupdown, bridge", "/etc/network/interfaces", "iface br0 inet dhcp\n bridge_ports ens192\n"),
    ("ifcfg, static", "/etc/sysconfig/network-scripts/ifcfg-ens192", "DEVICE=ens192\nIPADDR=192.0.2.1\n"),
    ("ifcfg, DHCP", "/etc/sysconfig/network-scripts/ifcfg-ens192", "BOOTPROTO=dhcp\n"),
    ("ifcfg, VLAN", "/etc/sysconfig/network-scripts/ifcfg-vlan7", "DEVICE=vlan7\nPHYSDEV=ens192\nVLAN=yes\n"),
    (
        "ifcfg, bond",
        "/etc/sysconfig/network-scripts/ifcfg-ens192",
        "DEVICE=ens192\nMASTER=bond0\nSLAVE=yes\n",
    ),
    ("ifcfg, bridge", "/etc/sysconfig/network-scripts/ifcfg-ens192", "DEVICE=ens192\nBRIDGE=br0\n"),
    ("wicked, static", "/etc/sysconfig/network/ifcfg-ens192", "BOOTPROTO='static'\nIPADDR='192.0.2.1/24'\n"),
    ("wicked, VLAN", "/etc/sysconfig/network/ifcfg-vlan7", "ETHERDEVICE='ens192'\nVLAN_ID='7'\n"),
    (
        "wicked, bond",
        "/etc/sysconfig/network/ifcfg-bond0",
        "BONDING_MASTER='yes'\nBONDING_SLAVE_0='ens192'\n",
    ),
    ("wicked, bridge", "/etc/sysconfig/network/ifcfg-br0", "BRIDGE='yes'\nBRIDGE_PORTS='ens192'\n"),
    (
        "netplan, static",
        "/etc/netplan/a.yaml",
        "network:\n  ethernets:\n    ens192: {addresses: [192.0.2.1/24]}\n",
    ),
    (
        "netplan, VLAN",
        "/etc/netplan/a.yaml",
        "network:\n  ethernets:\n    ens192: {}\n  vlans:\n    vlan7: {id: 7, link: ens192}\n",
    ),
    (
        "netplan, bond",
        "/etc/netplan/a.yaml",
        "network:\n  bonds:\n    bond0:\n      interfaces: [ens192]\n  ethernets:\n    ens192:\n      dhcp4: no\n",
    ),
    (
        "netplan, bridge",
        "/etc/netplan/a.yaml",
        "network:\n  ethernets:\n    ens192:\n      dhcp4: no\n  bridges:\n    br0:\n      interfaces:\n      - ens192\n",
    ),
    (
        "NetworkManager, static",
        "/etc/NetworkManager/system-connections/a.nmconnection",
        "[connection]\ninterface-name=ens192\n\n[ipv4]\nmethod=manual\naddress1=192.0.2.1/24\n",
    ),
    (
        "NetworkManager, VLAN",
        "/etc/NetworkManager/system-connections/a.nmconnection",
        "[connection]\ntype=vlan\ninterface-name=vlan7\n\n[vlan]\nid=7\nparent=ens192\n",
    ),
    (
        "NetworkManager, bond",
        "/etc/NetworkManager/system-connections/a.nmconnection",
        "[connection]\ntype=ethernet\ninterface-name=ens192\nmaster=bond0\nslave-type=bond\n",
    ),
    ("networkd, DHCP", "/etc/systemd/network/a.network", "[Match]\nName=ens192\n\n[Network]\nDHCP=yes\n"),
    ("networkd, VLAN", "/etc/systemd/network/a.network", "[Match]\nName=ens192\n\n[Network]\nVLAN=vlan7\n"),
    ("networkd, bond", "/etc/systemd/network/a.network", "[Match]\nName=ens192\n\n[Network]\nBond=bond0\n"),
    ("networkd, bridge", "/etc/systemd/network/a.network", "[Match]\nName=ens192\n\n[Network]\nBridge=br0\n"),
];

#[test]
fn the_card_below_keeps_its_name() {
    for (what, path, text) in CONFIGURATIONS {
        let mut tree = debian::tree(None);
        tree.mount(guest::volume::VolumeId(1), "/", MountMode::ReadWrite, None).unwrap();
        tree.put("/etc/network/interfaces", "").unwrap();
        tree.put(path, *text).unwrap();
        tree.unmount_all().unwrap();
        let (_, converted, edits) = convert(tree, &debian::on(Bus::Scsi(ScsiModel::VirtioScsi))).unwrap();
        let pinned: Vec<_> =
            converted.pinned.iter().map(|pin| (pin.name.clone(), pin.mac.to_string())).collect();
        assert_eq!(pinned, [("ens192".to_string(), debian::MAC.to_string())], "{what}");
        assert!(edits.iter().all(|edit| edit.path != *path), "{what}: the configuration itself stays");
    }
}

//! The axes along which guests differ, and what each value of one means: data for the recipes, the packages and the
//! scripts.

use machine::{Bus, NicModel, ScsiModel};

/// A release of Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Debian 11.
    Bullseye,
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
}

impl Suite {
    /// Its codename, as mirrors name it.
    pub fn codename(self) -> &'static str {
        match self {
            Self::Bullseye => "bullseye",
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    /// Its number.
    pub fn version(self) -> u32 {
        match self {
            Self::Bullseye => 11,
            Self::Bookworm => 12,
            Self::Trixie => 13,
        }
    }
}

/// What lies on the disk behind the boot loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A partition of ext4, and one of swap space.
    Ext4,
    /// `/boot` in a partition of ext4; root on XFS and swap space in volumes of LVM's.
    LvmXfs,
    /// A partition of btrfs with the subvolumes `@` and `@home`, and one of swap space.
    Btrfs,
    /// `/boot` in a partition of ext4; root on ext4 and swap space in volumes of LVM's, which is encrypted by LUKS 2.
    LuksLvm,
}

impl Layout {
    /// Its name, as scripts are told it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::LvmXfs => "lvm-xfs",
            Self::Btrfs => "btrfs",
            Self::LuksLvm => "luks-lvm",
        }
    }

    /// Whether `/boot` has a partition of its own.
    pub fn has_boot(self) -> bool {
        matches!(self, Self::LvmXfs | Self::LuksLvm)
    }

    /// Whether swap space has a partition of its own.
    pub fn has_swap_partition(self) -> bool {
        matches!(self, Self::Ext4 | Self::Btrfs)
    }

    /// The modules of the filesystems that start it.
    pub(crate) fn filesystem_modules(self) -> &'static str {
        match self {
            Self::Ext4 | Self::LuksLvm => "ext4",
            Self::LvmXfs => "xfs dm-mod",
            Self::Btrfs => "btrfs",
        }
    }

    /// The packages that it needs.
    pub(crate) fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &[],
            Self::LvmXfs => &["lvm2", "xfsprogs"],
            Self::Btrfs => &["btrfs-progs"],
            Self::LuksLvm => &["cryptsetup-initramfs", "lvm2"],
        }
    }
}

/// What makes the initramfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initramfs {
    /// Debian's own, told the modules that its `MODULES=dep` would find.
    InitramfsTools,
    /// dracut, for the machine that it runs on alone.
    Dracut,
}

impl Initramfs {
    /// Its name, as scripts are told it.
    pub fn name(self) -> &'static str {
        match self {
            Self::InitramfsTools => "initramfs-tools",
            Self::Dracut => "dracut",
        }
    }

    pub(crate) fn packages(self) -> &'static [&'static str] {
        match self {
            Self::InitramfsTools => &[],
            Self::Dracut => &["dracut"],
        }
    }
}

/// What starts a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// A BIOS: GRUB in the boot track of a disk with a boot record.
    Bios,
    /// UEFI: shim and Debian's signed GRUB in a system partition, on a disk with a GUID partition table.
    Uefi,
}

impl Firmware {
    /// VMware's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Uefi => "efi",
        }
    }

    pub(crate) fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Bios => &["grub-pc"],
            Self::Uefi => &["dosfstools", "grub-efi-amd64", "grub-efi-amd64-signed", "shim-signed"],
        }
    }
}

/// How the guest gets its address; all by ifupdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// 10.0.2.192 on its first card.
    Static,
    /// DHCP on its first card.
    Dhcp,
    /// 10.0.2.192 on two cards bonded, one active at a time.
    Bond,
}

impl Network {
    /// Its name, as scripts are told it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dhcp => "dhcp",
            Self::Bond => "bond",
        }
    }

    /// How many network cards the guest has.
    pub fn cards(self) -> usize {
        if self == Self::Bond { 2 } else { 1 }
    }

    pub(crate) fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Static => &[],
            Self::Dhcp => &["isc-dhcp-client"],
            Self::Bond => &["ifenslave"],
        }
    }
}

/// The hypervisor that a guest comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// VMware ESXi: pvscsi and vmxnet3.
    Vmware,
    /// Hyper-V: its synthetic devices, and the IDE that generation 1 starts from.
    HyperV,
    /// Hyper-V, generation 2: its synthetic devices alone.
    HyperV2,
    /// Xen, fully virtualized: its paravirtual devices, and the IDE that its BIOS starts from.
    Xen,
    /// KVM: virtio.
    Kvm,
}

/// What each hypervisor leaves in a guest.
pub(crate) struct OriginFacts {
    /// The profile on whose hardware such a guest boots as it is.
    pub(crate) profile: &'static str,
    /// The first three bytes of its network cards' addresses.
    pub(crate) mac_prefix: &'static str,
    /// What the guest calls its network cards.
    pub(crate) interfaces: [&'static str; 2],
    /// The storage modules in its initramfs.
    pub(crate) drivers: &'static str,
    /// Those without which it would be no guest of that hypervisor.
    pub(crate) promised: &'static str,
    /// Modules of other hypervisors, none of which may be there, as an extended regular expression.
    pub(crate) foreign: &'static str,
    /// Its guest agent, as packages.
    pub(crate) agent: &'static [&'static str],
    /// The bus of its disk, as the machine has it that installs the guest.
    pub(crate) bus: Bus,
    /// The model of its network cards, likewise.
    pub(crate) nic: NicModel,
    /// The bus of its disk, as its description has it.
    pub(crate) described_bus: Bus,
}

impl Origin {
    /// The profile on whose hardware such a guest boots as it is: `kvm`.
    pub fn profile(self) -> &'static str {
        self.facts().profile
    }

    /// The bus of such a guest's disk, as its description has it.
    pub fn described_bus(self) -> Bus {
        self.facts().described_bus
    }

    pub(crate) fn facts(self) -> &'static OriginFacts {
        match self {
            Self::Vmware => &VMWARE,
            Self::HyperV => &HYPER_V,
            Self::HyperV2 => &HYPER_V_2,
            Self::Xen => &XEN,
            Self::Kvm => &KVM,
        }
    }
}

const VMWARE: OriginFacts = OriginFacts {
    profile: "esxi",
    mac_prefix: "00:0c:29",
    // Slots 192 and 224: the first two vmxnet3 cards.
    interfaces: ["ens192", "ens224"],
    drivers: "vmw_pvscsi mptspi mptsas ahci ata_piix ata_generic sd_mod sr_mod",
    promised: "vmw_pvscsi sd_mod",
    foreign: "virtio|hv_|xen-(blk|net)front",
    agent: &["open-vm-tools"],
    bus: Bus::Scsi(ScsiModel::Pvscsi),
    nic: NicModel::Vmxnet3,
    described_bus: Bus::Scsi(ScsiModel::Pvscsi),
};

const HYPER_V: OriginFacts = OriginFacts {
    profile: "hyperv",
    mac_prefix: "00:15:5d",
    interfaces: ["eth0", "eth1"],
    drivers: "hv_vmbus hv_storvsc ata_piix ata_generic sd_mod sr_mod",
    promised: "hv_vmbus hv_storvsc ata_piix sd_mod",
    foreign: "virtio|vmw_|mpt|ahci|xen-(blk|net)front",
    agent: &["hyperv-daemons"],
    bus: Bus::Ide,
    nic: NicModel::Tulip,
    described_bus: Bus::Ide,
};

const HYPER_V_2: OriginFacts = OriginFacts {
    drivers: "hv_vmbus hv_storvsc hv_netvsc sd_mod sr_mod",
    promised: "hv_vmbus hv_storvsc hv_netvsc sd_mod",
    foreign: "virtio|vmw_|mpt|ahci|ata_|xen-(blk|net)front",
    // Nothing emulates the synthetic controller: such a guest is installed on the IDE of generation 1.
    described_bus: Bus::Scsi(ScsiModel::HyperV),
    ..HYPER_V
};

const XEN: OriginFacts = OriginFacts {
    profile: "xen",
    mac_prefix: "00:16:3e",
    interfaces: ["eth0", "eth1"],
    drivers: "xen-blkfront ata_piix ata_generic sd_mod sr_mod",
    promised: "xen-blkfront ata_piix sd_mod",
    foreign: "virtio|vmw_|mpt|ahci|hv_",
    // Debian packages none.
    agent: &[],
    bus: Bus::Ide,
    nic: NicModel::E1000,
    described_bus: Bus::Xen,
};

const KVM: OriginFacts = OriginFacts {
    profile: "kvm",
    mac_prefix: "52:54:00",
    // Behind the first two root ports of libvirt's q35 machines.
    interfaces: ["enp1s0", "enp2s0"],
    drivers: "virtio_pci virtio_blk virtio_scsi sd_mod",
    promised: "virtio_pci virtio_scsi sd_mod",
    foreign: "vmw_|mpt|hv_|xen-(blk|net)front",
    agent: &["qemu-guest-agent"],
    bus: Bus::Scsi(ScsiModel::VirtioScsi),
    nic: NicModel::Virtio,
    described_bus: Bus::Scsi(ScsiModel::VirtioScsi),
};

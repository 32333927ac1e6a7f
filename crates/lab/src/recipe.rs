//! What each guest is: a table of recipes, and the keys under which the cache knows what came of one.

use crate::axes::{Firmware, Initramfs, Layout, Network, Origin, Suite};
use crate::identity;
use crate::package::Package;
use crate::script;
use crate::{LabError, Result};
use sha2::{Digest, Sha256};

/// Bytes in a mebibyte.
pub const MIB: u64 = 1 << 20;

/// Raised when the code that turns a recipe into files changes what comes of it.
const FORMAT: u32 = 3;

/// The size of the partition that holds the root, in MiB.
const ROOT_MIB: u32 = 2302;
/// The size of a partition for `/boot`, in MiB.
const BOOT_MIB: u32 = 320;
/// The size of swap space, in MiB.
pub(crate) const SWAP_MIB: u32 = 256;
/// The size of the system partition of UEFI, in MiB; its FAT32 needs 33 at least.
const SYSTEM_MIB: u32 = 64;
/// The time of every file, in seconds since 1970.
pub(crate) const EPOCH: u64 = 1_735_689_600;

/// A guest to be made: a value on each axis. What is random in a real installation follows from its name.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// What the lab calls it: `debian12-bios`.
    pub name: &'static str,
    /// What an administrator called the virtual machine, and the stem of its files' names.
    pub machine: &'static str,
    /// The release of Debian that it is.
    pub suite: Suite,
    /// What lies on its disk.
    pub layout: Layout,
    /// What made its initramfs.
    pub initramfs: Initramfs,
    /// What starts it.
    pub firmware: Firmware,
    /// How it gets its address.
    pub network: Network,
    /// The hypervisor that it comes from.
    pub origin: Origin,
    /// How it is packed; the first is what a migration starts from.
    pub packages: &'static [Package],
    /// How much of the root's free space holds what a deleted file has left, in MiB; only on ext4.
    pub deleted_mib: u32,
}

/// A row of the table.
const fn row(
    name: &'static str,
    (suite, layout, initramfs): (Suite, Layout, Initramfs),
    (firmware, network): (Firmware, Network),
    origin: Origin,
    packages: &'static [Package],
) -> Recipe {
    Recipe {
        name,
        machine: name,
        suite,
        layout,
        initramfs,
        firmware,
        network,
        origin,
        packages,
        deleted_mib: 0,
    }
}

/// Debian 12 as it comes from VMware: BIOS GRUB, ext4, a static address on `ens192`, and an initramfs with VMware's
/// storage drivers and nothing of virtio.
pub const DEBIAN12_BIOS: Recipe = Recipe {
    machine: "debian12",
    deleted_mib: 64,
    ..row(
        "debian12-bios",
        (Suite::Bookworm, Layout::Ext4, Initramfs::InitramfsTools),
        (Firmware::Bios, Network::Static),
        Origin::Vmware,
        &[Package::Ova, Package::Vmx, Package::Raw],
    )
};

/// The same system, started by UEFI: shim and Debian's signed GRUB, a GUID partition table.
pub const DEBIAN12_EFI: Recipe = row(
    "debian12-efi",
    (Suite::Bookworm, Layout::Ext4, Initramfs::InitramfsTools),
    (Firmware::Uefi, Network::Static),
    Origin::Vmware,
    &[Package::Ova, Package::Vmx],
);

/// Every recipe.
pub const RECIPES: &[Recipe] = {
    use {Firmware::*, Initramfs::*, Layout::*, Network::*, Origin::*, Suite::*};
    &[
        DEBIAN12_BIOS,
        DEBIAN12_EFI,
        row("debian12-lvm-xfs-dracut", (Bookworm, LvmXfs, Dracut), (Bios, Static), Vmware, &[Package::Vmx]),
        row("debian12-kvm", (Bookworm, Ext4, InitramfsTools), (Bios, Static), Kvm, &[Package::Libvirt]),
        row("debian12-hyperv", (Bookworm, Ext4, InitramfsTools), (Bios, Static), HyperV, &[Package::HyperV]),
        row(
            "debian12-hyperv-gen2",
            (Bookworm, Ext4, InitramfsTools),
            (Uefi, Static),
            HyperV2,
            &[Package::HyperV],
        ),
        row("debian12-xen", (Bookworm, Ext4, InitramfsTools), (Bios, Static), Xen, &[Package::Xl]),
        row("debian12-btrfs", (Bookworm, Btrfs, InitramfsTools), (Bios, Dhcp), Vmware, &[Package::Ova]),
        row(
            "debian12-luks-lvm",
            (Bookworm, LuksLvm, InitramfsTools),
            (Bios, Static),
            Kvm,
            &[Package::Libvirt],
        ),
        row("debian12-bond", (Bookworm, Ext4, InitramfsTools), (Uefi, Bond), Kvm, &[Package::Libvirt]),
        row("debian11-vmware", (Bullseye, Ext4, InitramfsTools), (Bios, Dhcp), Vmware, &[Package::Vmx]),
        row("debian11-xen", (Bullseye, Ext4, InitramfsTools), (Bios, Dhcp), Xen, &[Package::Xl]),
        row("debian13-kvm", (Trixie, Ext4, InitramfsTools), (Uefi, Static), Kvm, &[Package::Libvirt]),
        row("debian13-vmware", (Trixie, Ext4, InitramfsTools), (Bios, Static), Vmware, &[Package::Ova]),
        row("debian13-lvm-xfs-dracut", (Trixie, LvmXfs, Dracut), (Uefi, Static), Kvm, &[Package::Libvirt]),
    ]
};

impl Recipe {
    /// The recipe of that name.
    ///
    /// # Errors
    /// [`LabError::UnknownRecipe`].
    pub fn named(name: &str) -> Result<&'static Self> {
        RECIPES.iter().find(|recipe| recipe.name == name).ok_or_else(|| LabError::UnknownRecipe {
            name: name.to_owned(),
            known: RECIPES.iter().map(|recipe| recipe.name).collect::<Vec<_>>().join(", "),
        })
    }

    /// The UUID of the root filesystem.
    pub fn root_uuid(&self) -> String {
        identity::uuid(self.name, "root")
    }

    /// The UUID of the swap space.
    pub fn swap_uuid(&self) -> String {
        identity::uuid(self.name, "swap")
    }

    /// The UUID of the machine, as its BIOS states it.
    pub fn bios_uuid(&self) -> String {
        identity::uuid(self.name, "bios")
    }

    /// The MAC addresses of its network cards.
    pub fn macs(&self) -> Vec<String> {
        let prefix = self.origin.facts().mac_prefix;
        let purposes = ["card 1", "card 2"].into_iter().take(self.network.cards());
        purposes.map(|purpose| identity::mac(self.name, purpose, prefix)).collect()
    }

    /// What the guest calls its network cards.
    pub fn interfaces(&self) -> &'static [&'static str] {
        let names = &self.origin.facts().interfaces;
        names.get(..self.network.cards()).unwrap_or(names)
    }

    /// The storage modules in its initramfs: those that a host-only one is sure to have, where that is what it has.
    pub fn drivers(&self) -> Vec<&'static str> {
        let facts = self.origin.facts();
        let listed = match self.initramfs {
            Initramfs::InitramfsTools => facts.drivers,
            Initramfs::Dracut => facts.promised,
        };
        listed.split(' ').collect()
    }

    /// Where the root's partition starts, in MiB.
    pub fn root_start_mib(&self) -> u32 {
        1 + self.system_mib() + self.boot_mib()
    }

    /// Where the swap partition starts, in MiB; the end of the last partition where there is none.
    pub fn swap_start_mib(&self) -> u32 {
        self.root_start_mib() + self.root_mib()
    }

    /// The size of the root's partition, in MiB: swap space in it where that is a volume.
    pub(crate) fn root_mib(&self) -> u32 {
        ROOT_MIB + if self.layout.has_swap_partition() { 0 } else { SWAP_MIB }
    }

    /// The size of the system partition of UEFI in MiB, 0 where there is none.
    pub(crate) fn system_mib(&self) -> u32 {
        if self.firmware == Firmware::Uefi { SYSTEM_MIB } else { 0 }
    }

    /// The size of the partition for `/boot` in MiB, 0 where there is none.
    pub(crate) fn boot_mib(&self) -> u32 {
        if self.layout.has_boot() { BOOT_MIB } else { 0 }
    }

    /// The size of the swap partition in MiB, 0 where there is none.
    pub(crate) fn swap_mib(&self) -> u32 {
        if self.layout.has_swap_partition() { SWAP_MIB } else { 0 }
    }

    /// The size of the whole disk, in bytes. Its last MiB holds the copy of a GUID partition table.
    pub fn disk_size(&self) -> u64 {
        u64::from(self.swap_start_mib() + self.swap_mib() + 1) * MIB
    }

    /// The packages beside those of the release's base tree.
    pub(crate) fn debian_packages(&self) -> Vec<&'static str> {
        let axes = [
            self.firmware.packages(),
            self.layout.packages(),
            self.initramfs.packages(),
            self.network.packages(),
            self.origin.facts().agent,
        ];
        axes.concat()
    }

    /// What the scripts are told, as environment variables.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let facts = self.origin.facts();
        // Debian 13's kernel has virtio's buses built in, and its devices' drivers still as modules.
        let foreign = match self.suite {
            Suite::Trixie => facts.foreign.replace("virtio|", "virtio_(blk|net|scsi)|"),
            Suite::Bullseye | Suite::Bookworm => facts.foreign.to_owned(),
        };
        let first = 1 + u32::from(self.system_mib() > 0) + u32::from(self.boot_mib() > 0);
        let only = |there: bool, value: String| if there { value } else { String::new() };
        let swap = match self.layout.has_swap_partition() {
            true => format!("/dev/sda{}", first + 1),
            false => "/dev/mapper/system-swap".to_owned(),
        };
        let resume = match self.layout.has_swap_partition() {
            true => format!("UUID={}", self.swap_uuid()),
            false => swap.clone(),
        };
        vec![
            ("LAB_FIRMWARE", self.firmware.name().to_owned()),
            ("LAB_LAYOUT", self.layout.name().to_owned()),
            ("LAB_INITRAMFS", self.initramfs.name().to_owned()),
            ("LAB_NETWORK", self.network.name().to_owned()),
            ("LAB_INTERFACES", self.interfaces().join(" ")),
            ("LAB_PACKAGES", self.debian_packages().join(" ")),
            ("LAB_DRIVERS", facts.drivers.to_owned()),
            ("LAB_PROMISED", facts.promised.to_owned()),
            ("LAB_FILESYSTEMS", self.layout.filesystem_modules().to_owned()),
            ("LAB_FOREIGN", foreign),
            ("LAB_ESP_ID", only(self.system_mib() > 0, fat_serial(&self.system_id()))),
            ("LAB_BOOT_UUID", only(self.boot_mib() > 0, identity::uuid(self.name, "boot"))),
            ("LAB_ROOT_UUID", self.root_uuid()),
            ("LAB_ROOT_DEVICE", format!("/dev/sda{first}")),
            ("LAB_ROOT_NUMBER", first.to_string()),
            ("LAB_SWAP_UUID", self.swap_uuid()),
            ("LAB_SWAP_DEVICE", swap),
            ("LAB_SWAP_MIB", SWAP_MIB.to_string()),
            ("LAB_RESUME", resume),
            ("LAB_LUKS_UUID", identity::uuid(self.name, "luks")),
            ("LAB_LUKS_KEY", identity::digits(self.name, "luks key")),
            ("LAB_MACHINE_ID", identity::digits(self.name, "machine")),
            ("LAB_HOSTNAME", self.machine.to_owned()),
            ("SOURCE_DATE_EPOCH", EPOCH.to_string()),
        ]
    }

    /// The serial number of the system partition's filesystem, eight digits.
    pub(crate) fn system_id(&self) -> String {
        identity::serial(self.name, "system")
    }

    /// The passphrase of the encrypted volume, which is also the contents of its key file; none where nothing is encrypted.
    pub fn passphrase(&self) -> Option<String> {
        (self.layout == Layout::LuksLvm).then(|| identity::digits(self.name, "luks key"))
    }

    /// The key of the tree of files: it changes with whatever the installation depends on.
    pub(crate) fn tree_key(&self) -> String {
        let inside = if self.layout == Layout::Ext4 { &script::finish(self.layout)[..] } else { &[] };
        let scripts = format!("{:?}{inside:?}", script::GUEST);
        key(&[&base_key(self.suite), &scripts, &format!("{:?}", self.environment())])
    }

    /// The key of the finished guest: it changes with anything in the recipe, with the scripts that install it and with
    /// how it is packed.
    pub fn guest_key(&self) -> String {
        let machine = format!("{:?}", script::finish(self.layout));
        key(&[&format!("{self:?}"), &self.tree_key(), &machine, &FORMAT.to_string()])
    }
}

/// The key of a release's base tree.
pub(crate) fn base_key(suite: Suite) -> String {
    key(&[suite.codename(), &format!("{:?}{:?}", script::BASE, script::BASE_PACKAGES)])
}

/// The serial number of a FAT filesystem as mount and fstab write it: `1AB0-0D12`.
fn fat_serial(digits: &str) -> String {
    let (high, low) = digits.split_at(digits.len() / 2);
    format!("{high}-{low}").to_uppercase()
}

fn key(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    identity::hex(&hash.finalize()).chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn recipes_are_found_by_name() {
        for recipe in RECIPES {
            assert_eq!(Recipe::named(recipe.name).unwrap().guest_key(), recipe.guest_key());
        }
        let refused = Recipe::named("beos").unwrap_err().to_string();
        assert!(refused.starts_with("no recipe is called \"beos\" (there are: debian12-bios, "), "{refused}");
    }

    #[test]
    fn names_machines_and_cards_are_unique() {
        let names: BTreeSet<_> = RECIPES.iter().flat_map(|recipe| [recipe.name, recipe.machine]).collect();
        assert!(names.len() >= RECIPES.len());
        let macs: BTreeSet<_> = RECIPES.iter().flat_map(Recipe::macs).collect();
        assert_eq!(macs.len(), RECIPES.iter().map(|recipe| recipe.network.cards()).sum::<usize>());
    }

    #[test]
    fn every_value_of_every_axis_has_a_guest() {
        let seen = |value: fn(&Recipe) -> String| -> usize {
            RECIPES.iter().map(value).collect::<BTreeSet<_>>().len()
        };
        assert!(RECIPES.len() >= 12);
        assert_eq!(seen(|recipe| format!("{:?}", recipe.suite)), 3);
        assert_eq!(seen(|recipe| format!("{:?}", recipe.layout)), 4);
        assert_eq!(seen(|recipe| format!("{:?}", recipe.initramfs)), 2);
        assert_eq!(seen(|recipe| format!("{:?}", recipe.firmware)), 2);
        assert_eq!(seen(|recipe| format!("{:?}", recipe.network)), 3);
        assert_eq!(seen(|recipe| format!("{:?}", recipe.origin)), 5);
    }

    #[test]
    fn what_is_left_on_the_disk_keeps_the_tree() {
        let lived = Recipe { deleted_mib: 100, ..DEBIAN12_BIOS };
        assert_eq!(lived.tree_key(), DEBIAN12_BIOS.tree_key());
        assert_ne!(lived.guest_key(), DEBIAN12_BIOS.guest_key());
        let other = Recipe { network: Network::Dhcp, ..DEBIAN12_BIOS };
        assert_ne!(other.tree_key(), DEBIAN12_BIOS.tree_key());
    }
}

//! What each guest is: a table of recipes, and the key under which the cache knows what came of one.

use crate::{LabError, Result};
use sha2::{Digest, Sha256};

/// Bytes in a mebibyte.
pub const MIB: u64 = 1 << 20;

/// Raised when the code that turns a recipe into files changes what comes of it.
const FORMAT: u32 = 2;

/// A guest to be made. Everything that varies between guests stands here; what is random in a real installation is fixed.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// What the lab calls it: `debian12-bios`.
    pub name: &'static str,
    /// What an administrator called the virtual machine, and the stem of its files' names.
    pub machine: &'static str,
    /// The release of Debian that it is.
    pub suite: &'static str,
    /// The packages beside the essential ones.
    pub packages: &'static [&'static str],
    /// A script that runs before the packages are installed.
    pub essential: &'static str,
    /// A script that runs after the packages are installed, and that checks what the recipe promises.
    pub customize: &'static str,
    /// What starts it, and what the disk has for that.
    pub boot: Boot,
    /// The size of the root partition, in MiB.
    pub root_mib: u32,
    /// The size of the swap partition, in MiB.
    pub swap_mib: u32,
    /// How much of the root's free space holds what a deleted file has left, in MiB.
    pub deleted_mib: u32,
    /// The UUID of the root filesystem.
    pub root_uuid: &'static str,
    /// The UUID of the swap space.
    pub swap_uuid: &'static str,
    /// What identifies the disk in its partition table: a signature of eight digits, or a GUID.
    pub disk_id: &'static str,
    /// The guest's `/etc/machine-id`.
    pub machine_id: &'static str,
    /// The BIOS UUID.
    pub bios_uuid: &'static str,
    /// The MAC address of its network card.
    pub mac: &'static str,
    /// The time of every file, in seconds since 1970.
    pub epoch: u64,
}

/// What starts a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// A BIOS: GRUB in the boot track of a disk with a boot record.
    Bios,
    /// UEFI: shim and GRUB in a system partition, on a disk with a GUID partition table.
    Efi {
        /// The size of the system partition, in MiB; its FAT32 needs 33 at least.
        system_mib: u32,
        /// The serial number of its filesystem, eight digits.
        system_id: &'static str,
        /// The GUIDs of the partitions, in order.
        partition_ids: [&'static str; 3],
    },
}

impl Boot {
    /// VMware's name for the firmware.
    pub fn firmware(&self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Efi { .. } => "efi",
        }
    }
}

/// Every recipe.
pub const RECIPES: &[Recipe] = &[DEBIAN12_BIOS, DEBIAN12_EFI];

/// The packages of a Debian guest from VMware, beside its boot loader.
macro_rules! packages {
    ($($boot_loader:literal),+) => {
        &[
            $($boot_loader,)+
            "dbus",
            "e2fsprogs",
            "ifupdown",
            "initramfs-tools",
            "iproute2",
            "iputils-ping",
            "kmod",
            "linux-image-amd64",
            "open-vm-tools",
            "procps",
            "systemd-sysv",
            "udev",
            "zstd",
        ]
    };
}

/// Debian 12 as it comes from VMware: BIOS GRUB, ext4, a static address on `ens192`, and an initramfs with VMware's
/// storage drivers and nothing of virtio.
pub const DEBIAN12_BIOS: Recipe = Recipe {
    name: "debian12-bios",
    machine: "debian12",
    suite: "bookworm",
    packages: packages!["grub-pc"],
    essential: include_str!("../guests/debian12/essential.sh"),
    customize: include_str!("../guests/debian12/customize.sh"),
    boot: Boot::Bios,
    root_mib: 2302,
    swap_mib: 256,
    deleted_mib: 64,
    root_uuid: "5d0a1b7e-6f43-4c52-9a37-1f2e3d4c5b6a",
    swap_uuid: "a3c9e1f0-2b4d-4e6f-8091-a2b3c4d5e6f7",
    disk_id: "1ab00d12",
    machine_id: "6c1f0e2d3b4a59687786a5b4c3d2e1f0",
    bios_uuid: "564d1ab0-0d12-4c52-9a37-1f2e3d4c5b6a",
    mac: "00:0c:29:4c:5b:6a",
    epoch: 1_735_689_600,
};

/// The same system, started by UEFI: shim and Debian's signed GRUB, a GUID partition table.
pub const DEBIAN12_EFI: Recipe = Recipe {
    name: "debian12-efi",
    machine: "debian12-efi",
    packages: packages!["grub-efi-amd64", "grub-efi-amd64-signed", "shim-signed", "dosfstools"],
    boot: Boot::Efi {
        system_mib: 64,
        system_id: "1ab00d12",
        partition_ids: [
            "1ab00d12-0001-4c52-9a37-1f2e3d4c5b6a",
            "1ab00d12-0002-4c52-9a37-1f2e3d4c5b6a",
            "1ab00d12-0003-4c52-9a37-1f2e3d4c5b6a",
        ],
    },
    deleted_mib: 0,
    root_uuid: "0e6f1a2b-3c4d-4e5f-8a9b-c0d1e2f3a4b5",
    swap_uuid: "7b8c9d0e-1f2a-4b3c-8d4e-5f6a7b8c9d0e",
    disk_id: "1ab00d12-0000-4c52-9a37-1f2e3d4c5b6a",
    machine_id: "0d12a0b3c4d5e6f708192a3b4c5d6e7f",
    bios_uuid: "564d1ab0-0d12-4c52-9a37-0e6f1a2b3c4d",
    mac: "00:0c:29:2b:3c:4d",
    ..DEBIAN12_BIOS
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

    /// The size of the system partition of UEFI in MiB, 0 where there is none.
    fn system_mib(&self) -> u32 {
        match self.boot {
            Boot::Bios => 0,
            Boot::Efi { system_mib, .. } => system_mib,
        }
    }

    /// Where the root partition starts, in MiB: after the boot track of 1 MiB, and after the system partition.
    pub fn root_start_mib(&self) -> u32 {
        1 + self.system_mib()
    }

    /// Where the swap partition starts, in MiB.
    pub fn swap_start_mib(&self) -> u32 {
        self.root_start_mib() + self.root_mib
    }

    /// The size of the whole disk, in bytes. Its last MiB holds the copy of a GUID partition table.
    pub fn disk_size(&self) -> u64 {
        u64::from(self.swap_start_mib() + self.swap_mib + 1) * MIB
    }

    /// What the scripts are told, as environment variables.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let (root, system_id) = match self.boot {
            Boot::Bios => (1, String::new()),
            Boot::Efi { system_id, .. } => (2, fat_serial(system_id)),
        };
        vec![
            ("LAB_FIRMWARE", self.boot.firmware().to_owned()),
            ("LAB_ESP_ID", system_id),
            ("LAB_ROOT_UUID", self.root_uuid.to_owned()),
            ("LAB_ROOT_DEVICE", format!("/dev/sda{root}")),
            ("LAB_SWAP_UUID", self.swap_uuid.to_owned()),
            ("LAB_SWAP_DEVICE", format!("/dev/sda{}", root + 1)),
            ("LAB_MACHINE_ID", self.machine_id.to_owned()),
            ("LAB_HOSTNAME", self.machine.to_owned()),
            ("SOURCE_DATE_EPOCH", self.epoch.to_string()),
        ]
    }

    /// The key of the tree of files: it changes with whatever the installation depends on.
    pub(crate) fn tree_key(&self) -> String {
        let scripts = [self.suite, self.essential, self.customize];
        key(&[&format!("{scripts:?}{:?}{:?}", self.packages, self.environment())])
    }

    /// The key of the finished guest: it changes with anything in the recipe, and with [`FORMAT`].
    pub(crate) fn guest_key(&self) -> String {
        key(&[&format!("{self:?}"), &FORMAT.to_string()])
    }
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
    hex(&hash.finalize()).chars().take(16).collect()
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_found_by_name() {
        for recipe in RECIPES {
            assert_eq!(Recipe::named(recipe.name).unwrap().guest_key(), recipe.guest_key());
        }
        assert_eq!(
            Recipe::named("beos").unwrap_err().to_string(),
            "no recipe is called \"beos\" (there are: debian12-bios, debian12-efi)"
        );
    }

    #[test]
    fn a_disk_of_another_size_keeps_the_tree() {
        let larger = Recipe { root_mib: 4000, ..DEBIAN12_BIOS };
        assert_eq!(larger.tree_key(), DEBIAN12_BIOS.tree_key());
        assert_ne!(larger.guest_key(), DEBIAN12_BIOS.guest_key());
        let other = Recipe { customize: "true", ..DEBIAN12_BIOS };
        assert_ne!(other.tree_key(), DEBIAN12_BIOS.tree_key());
    }
}

//! What each guest is: a table of recipes, and the key under which the cache knows what came of one.

use crate::{LabError, Result};
use sha2::{Digest, Sha256};

/// Bytes in a mebibyte.
pub const MIB: u64 = 1 << 20;

/// Raised when the code that turns a recipe into files changes what comes of it.
const FORMAT: u32 = 1;

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
    /// The disk signature in the boot record.
    pub disk_signature: [u8; 4],
    /// The guest's `/etc/machine-id`.
    pub machine_id: &'static str,
    /// The BIOS UUID.
    pub bios_uuid: &'static str,
    /// The MAC address of its network card.
    pub mac: &'static str,
    /// The time of every file, in seconds since 1970.
    pub epoch: u64,
}

/// Every recipe.
pub const RECIPES: &[Recipe] = &[DEBIAN12_BIOS];

/// Debian 12 as it comes from VMware: BIOS GRUB, ext4, a static address on `ens192`, and an initramfs with VMware's
/// storage drivers and nothing of virtio.
pub const DEBIAN12_BIOS: Recipe = Recipe {
    name: "debian12-bios",
    machine: "debian12",
    suite: "bookworm",
    packages: &[
        "dbus",
        "e2fsprogs",
        "grub-pc",
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
    ],
    essential: include_str!("../guests/debian12-bios/essential.sh"),
    customize: include_str!("../guests/debian12-bios/customize.sh"),
    root_mib: 2303,
    swap_mib: 256,
    deleted_mib: 64,
    root_uuid: "5d0a1b7e-6f43-4c52-9a37-1f2e3d4c5b6a",
    swap_uuid: "a3c9e1f0-2b4d-4e6f-8091-a2b3c4d5e6f7",
    disk_signature: [0x1a, 0xb0, 0x0d, 0x12],
    machine_id: "6c1f0e2d3b4a59687786a5b4c3d2e1f0",
    bios_uuid: "564d1ab0-0d12-4c52-9a37-1f2e3d4c5b6a",
    mac: "00:0c:29:4c:5b:6a",
    epoch: 1_735_689_600,
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

    /// The size of the whole disk, in bytes: a boot track of 1 MiB, the root, the swap space.
    pub fn disk_size(&self) -> u64 {
        (1 + u64::from(self.root_mib) + u64::from(self.swap_mib)) * MIB
    }

    /// What the scripts are told, as environment variables.
    pub(crate) fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("LAB_ROOT_UUID", self.root_uuid.to_owned()),
            ("LAB_SWAP_UUID", self.swap_uuid.to_owned()),
            ("LAB_MACHINE_ID", self.machine_id.to_owned()),
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
            "no recipe is called \"beos\" (there are: debian12-bios)"
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

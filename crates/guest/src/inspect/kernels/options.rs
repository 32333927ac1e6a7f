//! Which drivers a kernel has built in, by its configuration.

use crate::fs::{GuestFs, Result};
use crate::inspect::text::read_text;
use std::collections::BTreeSet;

/// Modules and the options by which they are built (Linux, `Kconfig` of their directories).
const OPTIONS: &[(&str, &str)] = &[
    ("8139cp", "CONFIG_8139CP"),
    ("BusLogic", "CONFIG_SCSI_BUSLOGIC"),
    ("ahci", "CONFIG_SATA_AHCI"),
    ("ata_piix", "CONFIG_ATA_PIIX"),
    ("e1000", "CONFIG_E1000"),
    ("e1000e", "CONFIG_E1000E"),
    ("hv_netvsc", "CONFIG_HYPERV_NET"),
    ("hv_storvsc", "CONFIG_HYPERV_STORAGE"),
    ("hv_vmbus", "CONFIG_HYPERV"),
    ("mptsas", "CONFIG_FUSION_SAS"),
    ("mptspi", "CONFIG_FUSION_SPI"),
    ("nvme", "CONFIG_BLK_DEV_NVME"),
    ("pcnet32", "CONFIG_PCNET32"),
    ("scsi_mod", "CONFIG_SCSI"),
    ("sd_mod", "CONFIG_BLK_DEV_SD"),
    ("tulip", "CONFIG_TULIP"),
    ("virtio_blk", "CONFIG_VIRTIO_BLK"),
    ("virtio_net", "CONFIG_VIRTIO_NET"),
    ("virtio_pci", "CONFIG_VIRTIO_PCI"),
    ("virtio_scsi", "CONFIG_SCSI_VIRTIO"),
    ("vmw_pvscsi", "CONFIG_VMWARE_PVSCSI"),
    ("vmxnet3", "CONFIG_VMXNET3"),
    ("xen_blkfront", "CONFIG_XEN_BLKDEV_FRONTEND"),
    ("xen_netfront", "CONFIG_XEN_NETDEV_FRONTEND"),
];

/// What is built in, as `modules.builtin` would have it, for kernels older than that file (2.6.33).
pub(super) fn builtin(fs: &mut dyn GuestFs, version: &str) -> Result<String> {
    let Some(config) = read_text(fs, &format!("/boot/config-{version}"))? else { return Ok(String::new()) };
    let set: BTreeSet<&str> = config.lines().filter_map(|line| line.trim().strip_suffix("=y")).collect();
    let builtin = OPTIONS.iter().filter(|(_, option)| set.contains(option));
    Ok(builtin.map(|(module, _)| format!("{module}.ko\n")).collect())
}

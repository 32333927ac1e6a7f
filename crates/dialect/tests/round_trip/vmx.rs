//! `.vmx` files.

use crate::{CASES, assert_round_trip, machines};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Keys, of which some contradict each other and some are not VMware's.
const KEYS: [&str; 52] = [
    "displayName",
    "annotation",
    "numvcpus",
    "cpuid.coresPerSocket",
    "memsize",
    "firmware",
    "nvram",
    "uefi.secureBoot.enabled",
    "uuid.bios",
    "virtualHW.version",
    "CONFIG.version",
    "guestOS",
    "rtc.diffFromUTC",
    "rtc.startTime",
    "vtpm.present",
    "svga.present",
    "svga.vramSize",
    "svga.autodetect",
    "usb.present",
    "ehci.present",
    "usb_xhci.present",
    "scsi0.present",
    "scsi0.virtualDev",
    "scsi1.present",
    "scsi1.virtualDev",
    "scsi0:0.present",
    "scsi0:0.fileName",
    "scsi0:0.deviceType",
    "scsi0:0.mode",
    "scsi0:0.virtualSSD",
    "scsi0:0.writeThrough",
    "scsi0:7.present",
    "scsi0:7.fileName",
    "scsi1:3.present",
    "scsi1:3.fileName",
    "scsi1:3.sharing",
    "ide1:0.present",
    "ide1:0.deviceType",
    "ide1:0.fileName",
    "floppy0.present",
    "floppy1.present",
    "ethernet0.present",
    "ethernet0.virtualDev",
    "ethernet0.address",
    "ethernet0.networkName",
    "ethernet3.present",
    "ethernet0.pciSlotNumber",
    "ethernet3.pciSlotNumber",
    "serial0.present",
    "bios.bootOrder",
    "bios.hddOrder",
    "numa.autosize",
];

const VALUES: [&str; 30] = [
    "TRUE",
    "TRUE",
    "TRUE",
    "TRUE",
    "FALSE",
    "0",
    "1",
    "2",
    "4",
    "8",
    "64",
    "4097",
    "efi",
    "bios",
    "pvscsi",
    "lsilogic",
    "buslogic",
    "warp",
    "windows9srv-64",
    "debian12_64guest",
    "cdrom-image",
    "rawDisk",
    "a.vmdk",
    "auto detect",
    "independent-nonpersistent",
    "multi-writer",
    "hdd,cdrom,ethernet0,floppy",
    "scsi1:3,scsi0:0",
    "00:0c:29:01:02:03",
    "|22|0A|7C",
];

fn document() -> impl Strategy<Value = String> {
    let line = (select(KEYS.to_vec()), select(VALUES.to_vec()));
    vec(line, 1..40).prop_map(|lines| {
        lines.into_iter().map(|(key, value)| format!("{key} = \"{value}\"\n")).collect::<String>()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn for_esxi(machine in machines(profile::find("esxi").unwrap())) {
        assert_round_trip(&dialect::vmx::DIALECT, profile::find("esxi").unwrap(), &machine);
    }

    #[test]
    fn for_workstation(machine in machines(profile::find("workstation").unwrap())) {
        assert_round_trip(&dialect::vmx::DIALECT, profile::find("workstation").unwrap(), &machine);
    }

    #[test]
    fn whatever_a_file_says(text in document()) {
        let Ok(parsed) = dialect::vmx::parse(text.as_bytes()) else { return Ok(()) };
        for (target, dialect) in [
            ("esxi", &dialect::vmx::DIALECT),
            ("workstation", &dialect::vmx::DIALECT),
            ("esxi", &dialect::ovf::DIALECT),
            ("virtualbox", &dialect::ovf::DIALECT),
        ] {
            let profile = profile::find(target).unwrap();
            let adapted = dialect::adapt(&parsed.machine, profile);
            if adapted.objections.is_empty() {
                assert_round_trip(dialect, profile, &adapted.machine);
            }
        }
    }
}

//! A machine in Hyper-V's own terms, which are those of its PowerShell cmdlets: [`Facts`]. As JSON, this is the schema of
//! the dialect `hyperv-json`.

use machine::MacAddress;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What [`Facts::format`] says.
pub(super) const FORMAT: &str = "hyperv-machine";
/// The version of the schema, which counts up with every incompatible change.
pub(super) const VERSION: u32 = 1;

/// A machine in Hyper-V's own terms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Facts {
    /// Always `hyperv-machine`, by which the file is recognised.
    pub format: String,
    /// The version of this schema: 1.
    pub version: u32,
    /// The machine's name.
    pub name: String,
    /// The administrator's notes.
    pub notes: Option<String>,
    /// 1: a BIOS and the devices of a PC. 2: UEFI, and synthetic devices only.
    pub generation: u8,
    /// `BIOSGUID` of `Msvm_VirtualSystemSettingData`.
    pub bios_guid: Option<Uuid>,
    /// `BIOSSerialNumber` there: the system's serial number in SMBIOS.
    pub bios_serial_number: Option<String>,
    /// `ChassisAssetTag` there.
    pub chassis_asset_tag: Option<String>,
    /// Virtual processors, at least 1.
    pub processor_count: u32,
    /// Threads of each core; none when the host decides.
    pub hw_thread_count_per_core: Option<u32>,
    /// Memory at the start, in bytes.
    pub memory_startup_bytes: u64,
    /// The most memory with Dynamic Memory, in bytes; none when memory is static.
    pub memory_maximum_bytes: Option<u64>,
    /// Secure boot; none when it is off.
    pub secure_boot: Option<SecureBoot>,
    /// Whether there is a TPM 2.0.
    pub tpm: bool,
    /// Hard drives in order.
    pub hard_drives: Vec<HardDrive>,
    /// DVD drives and the floppy drive in order.
    pub removable_drives: Vec<RemovableDrive>,
    /// Network adapters in order.
    pub network_adapters: Vec<NetworkAdapter>,
    /// COM ports that lead somewhere.
    pub com_ports: Vec<ComPort>,
    /// Generation 1: what the BIOS tries, in order. What is not listed comes last.
    pub startup_order: Vec<StartupDevice>,
    /// Generation 2: what the firmware tries, in order.
    pub boot_order: Vec<BootDevice>,
    /// What else a description of Hyper-V's said.
    pub properties: Vec<KeptProperty>,
}

/// Secure boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct SecureBoot {
    /// Whose keys the firmware trusts: `MicrosoftWindows`, `MicrosoftUEFICertificateAuthority` (Linux),
    /// `OpenSourceShieldedVM`. None on Windows Server 2012 R2, which has no templates, or when it is not known.
    pub template: Option<String>,
}

/// The kind of a controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Controller {
    /// IDE, in generation 1: two controllers of two drives.
    #[default]
    Ide,
    /// Synthetic SCSI: four controllers of 64 drives.
    Scsi,
}

impl Controller {
    /// What the cmdlets call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ide => "IDE",
            Self::Scsi => "SCSI",
        }
    }
}

/// A hard drive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct HardDrive {
    /// The kind of its controller.
    pub controller_type: Controller,
    /// The controller's number, from 0.
    pub controller_number: u32,
    /// Its place there, from 0.
    pub controller_location: u32,
    /// The file; a relative one lies beside the description. None for a disk of the host's that is passed through.
    pub path: Option<String>,
    /// The file's format where it is known: `vhdx`, `vhd`.
    pub format: Option<String>,
    /// The size that the guest sees, in bytes, where it is known.
    pub size_bytes: Option<u64>,
}

/// The kind of a drive for media that come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemovableDriveKind {
    /// CD and DVD.
    Dvd,
    /// Floppy, of which a machine of generation 1 has one.
    Floppy,
}

/// A drive for media that come and go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct RemovableDrive {
    /// Its kind.
    pub kind: RemovableDriveKind,
    /// The kind of its controller; of no meaning for a floppy drive.
    pub controller_type: Controller,
    /// The controller's number, from 0.
    pub controller_number: u32,
    /// Its place there, from 0.
    pub controller_location: u32,
    /// The image in it.
    pub path: Option<String>,
}

/// A network adapter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct NetworkAdapter {
    /// Whether it is the emulated DEC 21140 of generation 1.
    pub is_legacy: bool,
    /// Its address; none when the host gives it one.
    pub static_mac_address: Option<MacAddress>,
    /// The virtual switch that it is connected to; none when it is not.
    pub switch_name: Option<String>,
    /// The VLAN whose frames it gets untagged.
    pub vlan_id: Option<u16>,
}

/// A COM port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ComPort {
    /// 1 or 2.
    pub number: u32,
    /// The named pipe at its other end.
    pub path: String,
}

/// What the BIOS of generation 1 tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartupDevice {
    /// CD and DVD drives.
    #[serde(rename = "CD")]
    Cd,
    /// Disks on IDE.
    #[serde(rename = "IDE")]
    Ide,
    /// Legacy network adapters.
    LegacyNetworkAdapter,
    /// The floppy drive.
    Floppy,
}

impl StartupDevice {
    /// All of them, in the order that a new machine has.
    pub const ALL: [Self; 4] = [Self::Cd, Self::Ide, Self::LegacyNetworkAdapter, Self::Floppy];

    /// What `Set-VMBios` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cd => "CD",
            Self::Ide => "IDE",
            Self::LegacyNetworkAdapter => "LegacyNetworkAdapter",
            Self::Floppy => "Floppy",
        }
    }
}

/// What the firmware of generation 2 tries, by its index in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BootDevice {
    /// One of [`Facts::hard_drives`].
    HardDrive(usize),
    /// One of [`Facts::removable_drives`].
    RemovableDrive(usize),
    /// One of [`Facts::network_adapters`].
    NetworkAdapter(usize),
}

/// What a description of Hyper-V's said and nothing above holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct KeptProperty {
    /// Where it stood in the tree: `settings/processors/weight`.
    pub key: String,
    /// Its value as text.
    pub value: String,
}

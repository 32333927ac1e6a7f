//! A PowerShell script that creates the machine on a Hyper-V host, with the cmdlets of the host's own module `Hyper-V`,
//! for Windows PowerShell 4 (Windows Server 2012 R2) and later.
//!
//! Every text that is not written here stands in single quotes, in which nothing has a meaning but their end
//! ([`quote`]). The script checks before it makes anything, stops at the first error, and then removes the machine that it
//! has made and nothing else.

use super::facts::{
    BootDevice, Facts, HardDrive, NetworkAdapter, RemovableDrive, RemovableDriveKind, StartupDevice,
};
use super::plan;
use crate::dialects::Dialect;
use crate::{RenderError, RenderOptions, Rendered};
use machine::{Loss, Machine, Severity};
use profile::Profile;
use std::fmt::Write;

/// The dialect.
pub static DIALECT: Dialect = Dialect {
    name: "hyperv-powershell",
    description: "a PowerShell script that creates a Hyper-V machine",
    ending: "ps1",
    executable: false,
    recognise: |_| false,
    parse: None,
    render: Some(render),
};

/// Writes the script. Relative paths of disks lie beside the script.
///
/// # Errors
/// When a disk has no file, a path cannot be written, or the machine is not on the profile's hardware.
pub fn render(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
) -> Result<Rendered, RenderError> {
    let (facts, mut losses) = plan::facts(machine, profile, options)?;
    if !facts.properties.is_empty() {
        let why = "the script sets what a machine needs; other settings of the source's stay at the host's defaults";
        losses.push(Loss::dropped(Severity::Note, "properties", why));
    }
    // Windows PowerShell takes a script without the mark for one in the code page of the system.
    let mut text = String::from("\u{feff}");
    text.push_str(HEAD);
    declare(&mut text, &facts);
    text.push_str(CHECKS);
    create(&mut text, &facts);
    text.push_str(TAIL);
    Ok(Rendered { text, losses })
}

/// A literal for PowerShell: in single quotes, with those inside doubled. The typographic quotes U+2018 to U+201B end
/// such a literal like the plain one, so they are doubled too (about_Quoting_Rules; the language specification 2.3.5.2).
pub fn quote(text: &str) -> String {
    let mut literal = String::from("'");
    for c in text.chars() {
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            literal.push(c);
        }
        literal.push(c);
    }
    literal.push('\'');
    literal
}

/// What the checks and the steps below need to know.
fn declare(text: &mut String, facts: &Facts) {
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "${name} = {value}");
    };
    line("name", quote(&facts.name));
    line("disks", list(facts.hard_drives.iter().filter_map(|drive| drive.path.as_deref()).map(file)));
    line("media", list(facts.removable_drives.iter().filter_map(|drive| drive.path.as_deref()).map(file)));
    let mut networks: Vec<&str> =
        facts.network_adapters.iter().filter_map(|adapter| adapter.switch_name.as_deref()).collect();
    networks.sort_unstable();
    networks.dedup();
    line("networks", list(networks.into_iter().map(quote)));
}

/// A list of literals. The comma and the parentheses make one even of none or of a single one.
fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    format!("@({})", items.join(", "))
}

/// A file: beside the script, unless it has an absolute path, of Windows or of Unix.
fn file(path: &str) -> String {
    let is_drive = matches!(path.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    if is_drive || path.starts_with(['/', '\\']) {
        return quote(path);
    }
    format!("(Join-Path -Path $PSScriptRoot -ChildPath {})", quote(path))
}

/// The statements that make the machine, within a `try`.
fn create(text: &mut String, facts: &Facts) {
    let mut out = Statements(text);
    out.line(format!(
        "$vm = New-VM -Name $name -Generation {} -MemoryStartupBytes {} -NoVHD @location",
        facts.generation, facts.memory_startup_bytes
    ));
    out.line("# A new machine comes with a network adapter and, in generation 1, a DVD drive: they are described below.");
    out.line("Get-VMNetworkAdapter -VM $vm | Remove-VMNetworkAdapter");
    out.line("Get-VMDvdDrive -VM $vm | Remove-VMDvdDrive");
    if let Some(notes) = &facts.notes {
        out.line(format!("Set-VM -VM $vm -Notes {}", quote(notes)));
    }
    processor_and_memory(&mut out, facts);
    security(&mut out, facts);
    drives(&mut out, facts);
    adapters(&mut out, facts);
    for port in &facts.com_ports {
        out.line(format!("Set-VMComPort -VM $vm -Number {} -Path {}", port.number, quote(&port.path)));
    }
    boot(&mut out, facts);
    identity(&mut out, facts);
}

/// Statements, indented as they stand in the `try`.
struct Statements<'a>(&'a mut String);

impl Statements<'_> {
    fn line(&mut self, statement: impl AsRef<str>) {
        let _ = writeln!(self.0, "    {}", statement.as_ref());
    }
}

fn processor_and_memory(out: &mut Statements, facts: &Facts) {
    let threads = facts.hw_thread_count_per_core.map(|threads| format!(" -HwThreadCountPerCore {threads}"));
    out.line(format!(
        "Set-VMProcessor -VM $vm -Count {}{}",
        facts.processor_count,
        threads.unwrap_or_default()
    ));
    out.line(match facts.memory_maximum_bytes {
        // The machine can grow; it does not shrink below what it had.
        Some(most) => format!(
            "Set-VMMemory -VM $vm -DynamicMemoryEnabled $true -MinimumBytes {0} -StartupBytes {0} -MaximumBytes {most}",
            facts.memory_startup_bytes
        ),
        None => "Set-VMMemory -VM $vm -DynamicMemoryEnabled $false".to_owned(),
    });
}

fn security(out: &mut Statements, facts: &Facts) {
    if facts.generation == 2 {
        out.line(match &facts.secure_boot {
            Some(secure_boot) => {
                let template = secure_boot.template.as_deref();
                let template = template.map(|name| format!(" -SecureBootTemplate {}", quote(name)));
                format!("Set-VMFirmware -VM $vm -EnableSecureBoot On{}", template.unwrap_or_default())
            }
            None => "Set-VMFirmware -VM $vm -EnableSecureBoot Off".to_owned(),
        });
    }
    if facts.tpm {
        out.line("Set-VMKeyProtector -VM $vm -NewLocalKeyProtector");
        out.line("Enable-VMTPM -VM $vm");
    }
}

fn drives(out: &mut Statements, facts: &Facts) {
    let scsi = |kind| kind == super::Controller::Scsi;
    let disks = facts.hard_drives.iter().filter(|drive| scsi(drive.controller_type));
    let media = facts.removable_drives.iter().filter(|drive| scsi(drive.controller_type));
    let numbers =
        disks.map(|drive| drive.controller_number).chain(media.map(|drive| drive.controller_number));
    if let Some(last) = numbers.max() {
        let count = last.saturating_add(1);
        out.line(format!(
            "while (@(Get-VMScsiController -VM $vm).Count -lt {count}) {{ Add-VMScsiController -VM $vm }}"
        ));
    }
    for (index, drive) in facts.hard_drives.iter().enumerate() {
        hard_drive(out, index, drive);
    }
    for (index, drive) in facts.removable_drives.iter().enumerate() {
        removable_drive(out, index, drive);
    }
}

fn hard_drive(out: &mut Statements, index: usize, drive: &HardDrive) {
    let path = drive.path.as_deref().map(|path| format!(" -Path {}", file(path)));
    out.line(format!(
        "$disk{index} = Add-VMHardDiskDrive -VM $vm -ControllerType {} -ControllerNumber {} -ControllerLocation {}{} \
         -Passthru",
        drive.controller_type.name(),
        drive.controller_number,
        drive.controller_location,
        path.unwrap_or_default()
    ));
}

fn removable_drive(out: &mut Statements, index: usize, drive: &RemovableDrive) {
    let path = drive.path.as_deref().map(|path| format!(" -Path {}", file(path)));
    match (drive.kind, path) {
        (RemovableDriveKind::Dvd, path) => out.line(format!(
            "$drive{index} = Add-VMDvdDrive -VM $vm -ControllerNumber {} -ControllerLocation {}{} -Passthru",
            drive.controller_number,
            drive.controller_location,
            path.unwrap_or_default()
        )),
        // The floppy drive of generation 1 is always there.
        (RemovableDriveKind::Floppy, Some(path)) => out.line(format!("Set-VMFloppyDiskDrive -VM $vm{path}")),
        (RemovableDriveKind::Floppy, None) => {}
    }
}

fn adapters(out: &mut Statements, facts: &Facts) {
    for (index, adapter) in facts.network_adapters.iter().enumerate() {
        network_adapter(out, index, adapter, facts.generation);
    }
}

fn network_adapter(out: &mut Statements, index: usize, adapter: &NetworkAdapter, generation: u8) {
    // Generation 2 does not take the parameter at all.
    let legacy = match (generation, adapter.is_legacy) {
        (1, true) => " -IsLegacy $true",
        (1, false) => " -IsLegacy $false",
        _ => "",
    };
    let address = adapter.static_mac_address.map(|mac| {
        let digits: String = mac.to_string().to_uppercase().chars().filter(|c| *c != ':').collect();
        format!(" -StaticMacAddress {}", quote(&digits))
    });
    out.line(format!(
        "$nic{index} = Add-VMNetworkAdapter -VM $vm -Name 'Network Adapter {}'{legacy}{} -Passthru",
        index.saturating_add(1),
        address.unwrap_or_default()
    ));
    if let Some(switch) = &adapter.switch_name {
        out.line(format!(
            "Connect-VMNetworkAdapter -VMNetworkAdapter $nic{index} -VMSwitch $switches[{}]",
            quote(switch)
        ));
    }
    if let Some(vlan) = adapter.vlan_id {
        out.line(format!("Set-VMNetworkAdapterVlan -VMNetworkAdapter $nic{index} -Access -VlanId {vlan}"));
    }
}

fn boot(out: &mut Statements, facts: &Facts) {
    if facts.generation == 1 && !facts.startup_order.is_empty() {
        // The BIOS wants all kinds in the list.
        let rest = StartupDevice::ALL.iter().filter(|device| !facts.startup_order.contains(device));
        let order = list(facts.startup_order.iter().chain(rest).map(|device| quote(device.name())));
        out.line(format!("Set-VMBios -VM $vm -StartupOrder {order}"));
    }
    if !facts.boot_order.is_empty() {
        let devices = facts.boot_order.iter().map(|device| match device {
            BootDevice::HardDrive(index) => format!("$disk{index}"),
            BootDevice::RemovableDrive(index) => format!("$drive{index}"),
            BootDevice::NetworkAdapter(index) => format!("$nic{index}"),
        });
        out.line(format!("Set-VMFirmware -VM $vm -BootOrder {}", list(devices)));
    }
}

/// What only WMI can set: `Msvm_VirtualSystemSettingData` of the virtualization provider, version 2.
fn identity(out: &mut Statements, facts: &Facts) {
    let serial = facts.bios_serial_number.as_deref();
    let settings = [
        ("BIOSGUID", facts.bios_guid.map(|guid| format!("{{{}}}", guid.to_string().to_uppercase()))),
        ("BIOSSerialNumber", serial.map(str::to_owned)),
        ("ChassisAssetTag", facts.chassis_asset_tag.clone()),
    ];
    let settings: Vec<String> = settings
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name} = {}", quote(&value?))))
        .collect();
    if !settings.is_empty() {
        out.line(format!("Set-SystemSetting -Machine $vm -Settings @{{ {} }}", settings.join("; ")));
    }
}

const HEAD: &str = r#"#Requires -Version 4
#Requires -Modules Hyper-V
<#
.SYNOPSIS
Creates the virtual machine that this script describes, on the Hyper-V host on which it runs.
.DESCRIPTION
Run it as an administrator, with the machine's disks where the script lies or where it names them. It checks first,
makes nothing when something is missing, and at an error removes the machine that it has begun. Disks are never removed.
.PARAMETER Path
The directory for the machine's configuration; the host's default when it is not given.
.PARAMETER SwitchMap
Which virtual switch of this host each network of the description is: @{ 'VM Network' = 'External' }. A network that is
not in it is the switch of the same name.
#>
[CmdletBinding()]
param(
    [string] $Path,
    [hashtable] $SwitchMap = @{}
)
$ErrorActionPreference = 'Stop'

"#;

const CHECKS: &str = r#"
if (Get-VM | Where-Object { $_.Name -eq $name }) {
    throw "There is a virtual machine of that name already: $name"
}
foreach ($file in $disks + $media) {
    if (-not (Test-Path -LiteralPath $file -PathType Leaf)) { throw "There is no file $file" }
}
$present = @(Get-VMSwitch)
$switches = @{}
foreach ($network in $networks) {
    $wanted = if ($SwitchMap.ContainsKey($network)) { $SwitchMap[$network] } else { $network }
    $found = @($present | Where-Object { $_.Name -eq $wanted })
    if ($found.Count -eq 0) {
        $names = ($present | ForEach-Object { "'$($_.Name)'" }) -join ', '
        throw "There is no virtual switch '$wanted'. There are: $names. Name one with -SwitchMap @{ '$network' = '...' }"
    }
    $switches[$network] = $found[0]
}
$location = @{}
if ($Path) { $location['Path'] = $Path }

function Set-SystemSetting {
    param($Machine, [hashtable] $Settings)
    $namespace = 'root/virtualization/v2'
    $system = Get-CimInstance -Namespace $namespace -ClassName 'Msvm_ComputerSystem' -Filter "Name = '$($Machine.Id)'"
    $data = Get-CimAssociatedInstance -InputObject $system -Association 'Msvm_SettingsDefineState' `
        -ResultClassName 'Msvm_VirtualSystemSettingData'
    foreach ($key in $Settings.Keys) { $data.CimInstanceProperties[$key].Value = $Settings[$key] }
    $serializer = [Microsoft.Management.Infrastructure.Serialization.CimSerializer]::Create()
    $options = [Microsoft.Management.Infrastructure.Serialization.InstanceSerializationOptions]::None
    $embedded = [System.Text.Encoding]::Unicode.GetString($serializer.Serialize($data, $options))
    $service = Get-CimInstance -Namespace $namespace -ClassName 'Msvm_VirtualSystemManagementService'
    $result = Invoke-CimMethod -InputObject $service -MethodName 'ModifySystemSettings' `
        -Arguments @{ SystemSettings = $embedded }
    # 4096: a job does it.
    if ($result.ReturnValue -eq 4096) {
        do {
            Start-Sleep -Milliseconds 200
            $job = Get-CimInstance -InputObject $result.Job
        } while ($job.JobState -lt 7)
        if ($job.JobState -ne 7) { throw "The BIOS settings are refused: $($job.ErrorDescription)" }
    } elseif ($result.ReturnValue -ne 0) {
        throw "The BIOS settings are refused: error $($result.ReturnValue)"
    }
}

$vm = $null
try {
"#;

const TAIL: &str = r#"} catch {
    # Remove-VM leaves disks where they are.
    if ($vm) { Remove-VM -VM $vm -Force }
    throw
}
$vm
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quote_that_powershell_knows_is_doubled() {
        assert_eq!(quote("a'b"), "'a''b'");
        assert_eq!(quote("\u{2019}; rm \u{201a}$x"), "'\u{2019}\u{2019}; rm \u{201a}\u{201a}$x'");
        assert_eq!(file("a b.vhdx"), "(Join-Path -Path $PSScriptRoot -ChildPath 'a b.vhdx')");
        for absolute in [r"C:\a.vhdx", r"\\server\share\a.vhdx", "/a.vhdx"] {
            assert_eq!(file(absolute), quote(absolute));
        }
    }
}

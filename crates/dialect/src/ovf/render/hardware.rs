//! The hardware section: processors, memory, and the devices that are no drives (DSP0243 1.1.1, clause 8).

use super::{Product, Writer, carried, config, info};
use crate::render::{Network, RenderError};
use crate::vmx::numbering::Places;
use crate::vmx::uuid_text;
use crate::xml::Element;
use machine::{Firmware, Loss, Nic, NicModel, Severity, UsbController};
use std::collections::BTreeSet;

/// The most video memory, in bytes.
const MAX_VIDEO_MEMORY: u64 = 256 << 20;
/// The address of the first card on VMware's virtual PCI bus.
const FIRST_CARD: usize = 7;

impl Writer<'_> {
    pub(super) fn hardware(&mut self, identifier: &str, places: &Places) -> Result<Element, RenderError> {
        let kind = match self.product {
            Product::Vmware { hardware_version } => format!("vmx-{hardware_version}"),
            Product::Virtualbox => "virtualbox-2.2".to_owned(),
        };
        let system = Element::new("System")
            .child(Element::new("vssd:ElementName").text("Virtual Hardware Family"))
            .child(Element::new("vssd:InstanceID").text(0))
            .child(Element::new("vssd:VirtualSystemIdentifier").text(identifier))
            .child(Element::new("vssd:VirtualSystemType").text(kind));
        let mut items = vec![self.processors(), self.memory()];
        items.extend(self.drives(places)?);
        for (index, nic) in self.machine.nics.iter().enumerate() {
            items.push(self.nic(index, nic)?);
        }
        items.extend(self.ports());
        let settings = self.settings();
        Ok(Element::new("VirtualHardwareSection")
            .child(info("The virtual hardware"))
            .child(system)
            .children(items)
            .children(settings))
    }

    fn processors(&mut self) -> Element {
        let cpu = self.machine.cpu;
        let cores = cpu.cores_per_socket.max(1).saturating_mul(cpu.threads_per_core.max(1));
        let count = cpu.sockets.max(1).saturating_mul(cores);
        let vmware = self.is_vmware();
        if cpu.threads_per_core > 1 || (!vmware && cores > 1) {
            let why = "an item has a number of processors, and VMware's extension a number of cores a socket";
            self.changed("cpu", format!("{count} processors"), why);
        }
        let topology = Element::new("vmw:CoresPerSocket").with("ovf:required", false).text(cores);
        self.item(3, format!("{count} virtual CPU(s)"))
            .with("rasd:AllocationUnits", "hertz * 10^6")
            .with("rasd:Description", "Number of Virtual CPUs")
            .with("rasd:VirtualQuantity", count)
            .extension(vmware.then_some(topology))
            .element()
    }

    fn memory(&mut self) -> Element {
        // VMware's memory comes in pieces of 4 MiB.
        let step = if self.is_vmware() { 4 << 20 } else { 1 << 20 };
        let rounded = self.machine.memory.max(1).div_ceil(step).saturating_mul(step);
        let mib = rounded >> 20;
        if rounded != self.machine.memory {
            self.changed("memory", format!("{mib} MiB"), "memory comes in pieces of this size");
        }
        self.item(4, format!("{mib}MB of memory"))
            .with("rasd:AllocationUnits", "byte * 2^20")
            .with("rasd:Description", "Memory Size")
            .with("rasd:VirtualQuantity", mib)
            .element()
    }

    /// The name of a card's network in the package.
    fn network_name(&self, nic: &Nic) -> String {
        let usual = if self.is_vmware() { "VM Network" } else { "NAT" };
        let chosen = match self.options.network(nic.network.as_deref()) {
            Some(Network::User) => Some("NAT"),
            Some(network) => network.name(),
            None => nic.network.as_deref(),
        };
        chosen.map(carried).filter(|name| !name.is_empty()).unwrap_or_else(|| usual.to_owned())
    }

    pub(super) fn network_section(&mut self) -> Option<Element> {
        let names: BTreeSet<String> = self.machine.nics.iter().map(|nic| self.network_name(nic)).collect();
        let network = |name: &String| {
            Element::new("Network")
                .with("ovf:name", name)
                .child(Element::new("Description").text(format!("The {name} network")))
        };
        (!names.is_empty()).then(|| {
            Element::new("NetworkSection")
                .child(info("The networks that the importer maps to its own"))
                .children(names.iter().map(network))
        })
    }

    fn nic(&mut self, index: usize, nic: &Nic) -> Result<Element, RenderError> {
        let unknown = || RenderError::card(nic);
        let subtype = nic_subtype(&nic.model).ok_or_else(unknown)?;
        let network = self.network_name(nic);
        let decided = nic.network.as_ref().is_some_and(|name| self.options.networks.contains_key(name));
        if nic.network.as_ref() != Some(&network) && !decided {
            let severity = if nic.network.is_none() { Severity::Note } else { Severity::Change };
            let why = "every card is on a network that the package names";
            self.losses
                .push(Loss { severity, ..Loss::changed(format!("{}.network", nic.id), &network, why) });
        }
        if nic.vlan.is_some() {
            let why = "a VLAN is the network's: map the card to one that has it";
            self.dropped(Severity::Change, format!("{}.vlan", nic.id), why);
        }
        if nic.mac.is_some() && !self.is_vmware() {
            let why = "VirtualBox does not read addresses in a descriptor and makes new ones: set it after the import";
            self.dropped(Severity::Change, format!("{}.mac", nic.id), why);
        }
        if nic.id != format!("nic{}", index + 1) {
            self.changed(&nic.id, format!("network adapter {}", index + 1), "cards are counted");
        }
        Ok(self
            .item(10, format!("Network adapter {}", index + 1))
            .maybe("rasd:Address", nic.mac)
            .with("rasd:AddressOnParent", FIRST_CARD + index)
            .with("rasd:AutomaticAllocation", nic.connected)
            .with("rasd:Description", format!("{subtype} ethernet adapter on \"{network}\""))
            .with("rasd:Connection", network)
            .with("rasd:ResourceSubType", subtype)
            .element())
    }

    /// Serial ports, USB, graphics, TPM.
    fn ports(&mut self) -> Vec<Element> {
        let mut elements = Vec::new();
        for (index, port) in self.machine.serials.iter().enumerate() {
            if port.target != machine::SerialTarget::Console {
                let why = "it led somewhere on the source's host: it is a port that leads nowhere yet";
                self.changed(format!("serials.{index}"), "a port", why);
            }
            let subtype = self.is_vmware().then_some("vmware.serialport.device");
            elements.push(
                self.item(21, format!("Serial port {}", index + 1))
                    .optional()
                    .with("rasd:AutomaticAllocation", false)
                    .maybe("rasd:ResourceSubType", subtype)
                    .element(),
            );
        }
        elements.extend(self.usb());
        elements.extend(self.video());
        elements.extend(self.tpm());
        elements
    }

    fn usb(&mut self) -> Vec<Element> {
        let usb = &self.machine.usb;
        let fast = usb.contains(&UsbController::Usb2);
        let mut kept = Vec::new();
        let mut elements = Vec::new();
        if fast || usb.contains(&UsbController::Usb1) || (!self.is_vmware() && !usb.is_empty()) {
            // VirtualBox' item does not say how fast it is.
            kept.push(if fast && self.is_vmware() { UsbController::Usb2 } else { UsbController::Usb1 });
            let vmware = self.is_vmware();
            let item = self.item(23, "USB controller").optional().with("rasd:Address", 0);
            let item = item.maybe("rasd:ResourceSubType", vmware.then_some("vmware.usb.ehci"));
            elements.push(item.extension(vmware.then(|| config("ehciEnabled", fast))).element());
        }
        if self.is_vmware() && usb.contains(&UsbController::Usb3) {
            kept.push(UsbController::Usb3);
            let item = self.item(23, "USB xHCI controller").optional().with("rasd:Address", 0);
            elements.push(item.with("rasd:ResourceSubType", "vmware.usb.xhci").element());
        }
        if kept != *usb {
            let why = "one controller of a kind can be said, and USB 2 includes USB 1";
            self.losses
                .push(Loss { severity: Severity::Note, ..Loss::changed("usb", format!("{kept:?}"), why) });
        }
        elements
    }

    fn video(&mut self) -> Option<Element> {
        let video = self.machine.video.as_ref()?;
        if video.model.is_some() {
            self.changed("video.model", "the hypervisor's own", "OVF does not say which card it is");
        }
        let kept = video.memory.map(|memory| (memory.min(MAX_VIDEO_MEMORY) >> 10) << 10);
        let kept = kept.filter(|_| self.is_vmware());
        if kept != video.memory {
            let why = "there is no place for it, or it is more than the card has";
            self.dropped(Severity::Note, "video.memory", why);
        }
        let memory = kept.map(|memory| config("videoRamSizeInKB", memory >> 10));
        let item = self.item(24, "Video card").optional().with("rasd:AutomaticAllocation", false);
        let detect = memory.is_some().then(|| config("useAutoDetect", false));
        Some(item.extension(detect).extension(memory).element())
    }

    fn tpm(&mut self) -> Option<Element> {
        let tpm = self.machine.tpm?;
        if !self.is_vmware() {
            let why = "an OVF for VirtualBox has no TPM: add it after the import";
            self.dropped(Severity::Warning, "tpm", why);
            return None;
        }
        if tpm.version != 2 {
            self.changed("tpm.version", "2", "VMware's TPM is a TPM 2.0");
        }
        let item = self.item(1, "Virtual TPM").optional().with("rasd:AutomaticAllocation", false);
        Some(item.with("rasd:ResourceSubType", "vmware.vtpm").element())
    }

    /// VMware's settings of the machine as a whole.
    fn settings(&mut self) -> Vec<Element> {
        let Product::Vmware { hardware_version } = self.product else {
            if let Firmware::Uefi(_) = self.machine.firmware {
                let why = "an OVF for VirtualBox does not say UEFI: set the machine's firmware to EFI after the import";
                self.dropped(Severity::Warning, "firmware", why);
            }
            return Vec::new();
        };
        let mut settings = self.firmware();
        for (field, key, is_some) in [
            ("max_cpus", "cpuHotAddEnabled", self.machine.max_cpus.is_some()),
            ("max_memory", "memoryHotAddEnabled", self.machine.max_memory.is_some()),
        ] {
            if is_some {
                settings.push(config(key, true));
                self.changed(
                    field,
                    "as VMware allows",
                    "VMware only has a switch for plugging while it runs",
                );
            }
        }
        settings.extend(self.kept_settings());
        // The schema wants VMware's other kind of settings last.
        settings.extend(self.machine.bios_uuid.map(|uuid| {
            Element::new("vmw:ExtraConfig")
                .with("ovf:required", false)
                .with("vmw:key", "uuid.bios")
                .with("vmw:value", uuid_text(uuid, hardware_version))
        }));
        settings
    }

    fn firmware(&mut self) -> Vec<Element> {
        let Firmware::Uefi(uefi) = &self.machine.firmware else { return vec![config("firmware", "bios")] };
        if uefi.nvram.is_some() {
            let why =
                "the firmware starts with fresh variables and finds the boot loader by its default path";
            self.dropped(Severity::Change, "firmware.uefi.nvram", why);
        }
        vec![config("firmware", "efi"), config("bootOptions.efiSecureBootEnabled", uefi.secure_boot)]
    }
}

fn nic_subtype(model: &NicModel) -> Option<&'static str> {
    Some(match model {
        NicModel::Pcnet => "PCNet32",
        NicModel::E1000 => "E1000",
        NicModel::E1000e => "E1000e",
        NicModel::Vmxnet2 => "VmxNet2",
        NicModel::Vmxnet3 => "VmxNet3",
        NicModel::Virtio => "virtio",
        _ => return None,
    })
}

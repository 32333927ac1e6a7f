//! Serial ports, USB, TPM and graphics of a domain.

use super::{Element, Error, Reading, changed};
use crate::text::excerpt;
use machine::{Loss, SerialPort, SerialTarget, Severity, Tpm, UsbController, Video};
use std::collections::BTreeMap;

pub(super) fn read(reading: &mut Reading<'_>, devices: Element<'_>) -> Result<(), Error> {
    // The program that emulates the devices is the target's own.
    let _ = devices.child("emulator").map(Element::done);
    serials(reading, devices)?;
    usb(reading, devices)?;
    tpm(reading, devices)?;
    video(reading, devices)
}

/// The serial ports. The first console is one of them, written a second time; or the port itself, where there is no other.
fn serials(reading: &mut Reading<'_>, devices: Element<'_>) -> Result<(), Error> {
    let ports = devices.devices("serial")?;
    for port in &ports {
        let target = other_end(*port, &mut reading.losses);
        reading.machine.serials.push(SerialPort { target });
    }
    let Some(console) = devices.child("console") else { return Ok(()) };
    let kind = console.child("target").and_then(|target| target.peek("type"));
    let is_serial = matches!(kind, None | Some("serial"));
    if !is_serial {
        console.keep();
        return Ok(());
    }
    if ports.is_empty() && reading.domain.peek("type") != Some("xen") {
        let target = other_end(console, &mut reading.losses);
        reading.machine.serials.push(SerialPort { target });
    }
    console.done();
    Ok(())
}

fn other_end(port: Element<'_>, losses: &mut Vec<Loss>) -> SerialTarget {
    let kind = port.attribute("type").unwrap_or("pty");
    if port.child("target").and_then(|target| target.peek("type")).is_none_or(|kind| kind == "isa-serial") {
        let _ = port.child("target").map(Element::done);
    }
    let source = port.child("source");
    let of = |name| source.and_then(|source| source.attribute(name)).unwrap_or_default().to_owned();
    match kind {
        // Which terminal it was is of no use to anybody.
        "pty" => {
            of("path");
            SerialTarget::Console
        }
        "file" => SerialTarget::File(of("path")),
        "pipe" | "unix" => SerialTarget::Pipe(of("path")),
        "dev" => SerialTarget::Device(of("path")),
        "tcp" | "udp" => SerialTarget::Network(format!("{kind}://{}:{}", of("host"), of("service"))),
        other => {
            let why = format!("{:?} is nothing that a serial port leads to elsewhere", excerpt(other, 40));
            losses.push(changed(port, "a console", why));
            SerialTarget::Console
        }
    }
}

/// libvirt's models of USB controllers. Companions of an EHCI have its number, and are parts of it.
const USB_MODELS: [(&str, UsbController); 13] = [
    ("piix3-uhci", UsbController::Usb1),
    ("piix4-uhci", UsbController::Usb1),
    ("pci-ohci", UsbController::Usb1),
    ("vt82c686b-uhci", UsbController::Usb1),
    ("qusb1", UsbController::Usb1),
    ("ich9-uhci1", UsbController::Usb1),
    ("ich9-uhci2", UsbController::Usb1),
    ("ich9-uhci3", UsbController::Usb1),
    ("ehci", UsbController::Usb2),
    ("ich9-ehci1", UsbController::Usb2),
    ("qusb2", UsbController::Usb2),
    ("nec-xhci", UsbController::Usb3),
    ("qemu-xhci", UsbController::Usb3),
];

fn usb(reading: &mut Reading<'_>, devices: Element<'_>) -> Result<(), Error> {
    let mut found: BTreeMap<u32, UsbController> = BTreeMap::new();
    for node in devices.devices("controller")? {
        if node.peek("type") != Some("usb") {
            continue;
        }
        node.attribute("type");
        let index = node.number("index").unwrap_or(0);
        let model = node.attribute("model").unwrap_or("piix3-uhci");
        let _ = node.child("master").map(Element::done);
        if model == "none" {
            continue;
        }
        let known = USB_MODELS.iter().find(|(known, _)| *known == model).map(|(_, usb)| *usb);
        let usb = known.unwrap_or_else(|| {
            let why = format!("{:?} is a controller that no target has", excerpt(model, 40));
            reading.losses.push(changed(node, "USB 1", why));
            UsbController::Usb1
        });
        let fastest = found.entry(index).or_insert(usb);
        *fastest = (*fastest).max(usb);
    }
    reading.machine.usb = found.into_values().collect();
    Ok(())
}

fn tpm(reading: &mut Reading<'_>, devices: Element<'_>) -> Result<(), Error> {
    let Some(tpm) = devices.devices("tpm")?.into_iter().next() else { return Ok(()) };
    let backend = tpm.child("backend");
    let version = backend.and_then(|backend| backend.attribute("version"));
    let version = if version.is_some_and(|version| version.starts_with('1')) { 1 } else { 2 };
    tpm.attribute("model");
    let kind = backend.and_then(|backend| backend.attribute("type")).unwrap_or_default();
    let what = if kind == "emulator" {
        "the target's TPM is a new one"
    } else {
        "the TPM was the source host's own"
    };
    let why = format!("{what}: keys sealed in the old (BitLocker, LUKS with TPM) need their recovery key");
    reading.losses.push(changed(tpm, &format!("a new TPM {version}"), why));
    reading.machine.tpm = Some(Tpm { version });
    Ok(())
}

/// The first graphics card; `none` is that there is none.
fn video(reading: &mut Reading<'_>, devices: Element<'_>) -> Result<(), Error> {
    let mut cards = devices.devices("video")?.into_iter();
    if let Some(card) = cards.next() {
        let model = card.child("model");
        let name = model.and_then(|model| model.attribute("type"));
        let memory: Option<u64> = model.and_then(|model| model.number("vram"));
        for ours in ["heads", "primary"] {
            if matches!(model.and_then(|model| model.peek(ours)), Some("1" | "yes")) {
                model.and_then(|model| model.attribute(ours));
            }
        }
        reading.machine.video = (name != Some("none")).then(|| Video {
            model: name.map(str::to_owned),
            memory: memory.and_then(|kib| kib.checked_mul(1024)),
        });
    }
    for card in cards {
        card.keep();
        let why = "a second graphics card is not carried over";
        reading.losses.push(Loss::dropped(Severity::Change, card.path(), why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn machine(devices: &str) -> machine::Machine {
        let text = format!(
            "<domain><memory>1</memory><os><type>hvm</type></os><devices>{devices}</devices></domain>"
        );
        parse(text.as_bytes()).unwrap().machine
    }

    #[test]
    fn a_console_is_a_port_seen_twice() {
        let port = |kind: &str, source: &str| {
            machine(&format!("<serial type='{kind}'>{source}</serial><console type='{kind}'/>")).serials
        };
        let is = |target: SerialTarget| vec![SerialPort { target }];
        assert_eq!(port("pty", ""), is(SerialTarget::Console));
        assert_eq!(port("unix", "<source mode='bind' path='/s'/>"), is(SerialTarget::Pipe("/s".to_owned())));
        let tcp = "<source host='h' service='4001'/><protocol type='telnet'/>";
        assert_eq!(port("tcp", tcp), is(SerialTarget::Network("tcp://h:4001".to_owned())));
        assert_eq!(machine("<console type='pty'/>").serials.len(), 1);
        assert_eq!(machine("<console type='pty'><target type='virtio'/></console>").serials.len(), 0);
    }

    #[test]
    fn companions_of_a_usb_controller_are_parts_of_it() {
        let usb =
            |model: &str, index: u32| format!("<controller type='usb' index='{index}' model='{model}'/>");
        let four = ["ich9-uhci1", "ich9-ehci1", "ich9-uhci2"].map(|model| usb(model, 0)).concat();
        assert_eq!(machine(&four).usb, [UsbController::Usb2]);
        let two = usb("qemu-xhci", 1) + "<controller type='usb' index='0'/>";
        assert_eq!(machine(&two).usb, [UsbController::Usb1, UsbController::Usb3]);
        assert!(machine(&usb("none", 0)).usb.is_empty());
    }

    #[test]
    fn graphics_and_tpm_are_read() {
        let devices = "<video><model type='qxl' vram='65536' heads='1'/></video><tpm model='tpm-tis'>\
                       <backend type='emulator' version='1.2'/></tpm>";
        let video = Some(Video { model: Some("qxl".to_owned()), memory: Some(64 << 20) });
        assert_eq!((machine(devices).video, machine(devices).tpm), (video, Some(Tpm { version: 1 })));
        assert_eq!(machine("<video><model type='none'/></video>").video, None);
    }
}

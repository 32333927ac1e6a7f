//! Network cards and serial ports of a `.vmx`.

use super::dictionary::Dictionary;
use crate::text::excerpt;
use machine::{Loss, MacAddress, Machine, Nic, NicModel, SerialPort, SerialTarget, Severity};

pub(super) fn read(keys: &mut Dictionary, machine: &mut Machine, losses: &mut Vec<Loss>) {
    for number in keys.numbers("ethernet") {
        let name = format!("ethernet{number}");
        if keys.flag(&format!("{name}.present")) != Some(true) {
            keys.discard(&format!("{name}."));
            continue;
        }
        let nic = nic(keys, machine, losses, &name);
        machine.nics.push(nic);
    }
    for number in keys.numbers("serial") {
        let name = format!("serial{number}");
        if keys.flag(&format!("{name}.present")) != Some(true) {
            keys.discard(&format!("{name}."));
            continue;
        }
        let target = serial(keys, losses, &name);
        machine.serials.push(SerialPort { target });
    }
}

fn nic(keys: &mut Dictionary, machine: &Machine, losses: &mut Vec<Loss>, name: &str) -> Nic {
    let model = keys.take(&format!("{name}.virtualdev"));
    let model = model.map_or_else(|| default_model(machine, losses, name), |model| named_model(&model));
    let network = keys.take(&format!("{name}.networkname"));
    let connection = keys.take(&format!("{name}.connectiontype"));
    let vnet = keys.take(&format!("{name}.vnet"));
    let port_group = keys.peek(&format!("{name}.dvs.portgroupid")).map(str::to_owned);
    Nic {
        id: format!("nic{}", machine.nics.len() + 1),
        model,
        mac: mac(keys, losses, name),
        network: network.or(vnet).or(port_group).or(connection),
        connected: keys.flag(&format!("{name}.startconnected")).unwrap_or(true),
        ..Nic::default()
    }
}

fn named_model(model: &str) -> NicModel {
    match model.to_ascii_lowercase().as_str() {
        "vlance" | "flexible" | "pcnet32" => NicModel::Pcnet,
        "e1000" => NicModel::E1000,
        "e1000e" => NicModel::E1000e,
        "vmxnet" | "vmxnet2" => NicModel::Vmxnet2,
        "vmxnet3" => NicModel::Vmxnet3,
        _ => NicModel::Other(model.to_owned()),
    }
}

/// What VMware takes when the file does not say: 64-bit guests get an e1000, others a "flexible" card.
fn default_model(machine: &Machine, losses: &mut Vec<Loss>, name: &str) -> NicModel {
    let is_64_bit = machine.guest_os.as_ref().is_some_and(|os| os.id.to_ascii_lowercase().ends_with("-64"));
    let (model, text) = if is_64_bit { (NicModel::E1000, "e1000") } else { (NicModel::Pcnet, "vlance") };
    losses.push(Loss::changed(format!("{name}.virtualDev"), text, "the file does not say which card it is"));
    model
}

/// The address: set by hand (`static`), or made by VMware (`generated`) or vCenter (`vpx`).
fn mac(keys: &mut Dictionary, losses: &mut Vec<Loss>, name: &str) -> Option<MacAddress> {
    let kind = keys.take(&format!("{name}.addresstype")).unwrap_or_default();
    let fixed = keys.take(&format!("{name}.address"));
    let generated = keys.take(&format!("{name}.generatedaddress"));
    let text = if kind.eq_ignore_ascii_case("static") { fixed.or(generated) } else { generated.or(fixed) }?;
    match text.parse() {
        Ok(mac) => Some(mac),
        Err(_) => {
            let why = format!("{:?} is no hardware address", excerpt(&text, 40));
            losses.push(Loss::dropped(Severity::Warning, format!("{name}.address"), why));
            None
        }
    }
}

fn serial(keys: &mut Dictionary, losses: &mut Vec<Loss>, name: &str) -> SerialTarget {
    let kind = keys.take(&format!("{name}.filetype")).unwrap_or_else(|| "device".to_owned());
    let file = keys.take(&format!("{name}.filename")).unwrap_or_default();
    match kind.to_ascii_lowercase().as_str() {
        "file" => SerialTarget::File(file),
        "pipe" => SerialTarget::Pipe(file),
        "network" => SerialTarget::Network(file),
        "device" if file.is_empty() || file.eq_ignore_ascii_case("auto detect") => SerialTarget::Console,
        "device" => SerialTarget::Device(file),
        other => {
            let why = format!("{:?} is nothing that a serial port leads to elsewhere", excerpt(other, 40));
            losses.push(Loss::changed(name, "a console", why));
            SerialTarget::Console
        }
    }
}

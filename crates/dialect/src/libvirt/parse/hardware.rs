//! Processors and memory of a domain.

use super::{Element, Error, Reading, changed};
use crate::text::excerpt;
use machine::{Cpu, Loss, NumaNode, Severity};

/// The most processors that are believed.
const MAX_CPUS: u32 = 65_535;
/// The most memory that is believed, in bytes: 1 PiB.
const MAX_MEMORY: u64 = 1 << 50;

pub(super) fn read(reading: &mut Reading<'_>) -> Result<(), Error> {
    processors(reading)?;
    reading.machine.numa = cells(reading)?;
    memory(reading)?;
    one_cell_is_none(reading);
    Ok(())
}

fn processors(reading: &mut Reading<'_>) -> Result<(), Error> {
    let vcpu = reading.domain.child("vcpu");
    let most = match vcpu {
        None => 1,
        Some(vcpu) => count(vcpu, vcpu.text())?,
    };
    let now = match vcpu.and_then(|vcpu| Some((vcpu, vcpu.attribute("current")?))) {
        Some((vcpu, text)) => count(vcpu, text)?.min(most),
        None => most,
    };
    if let Some(vcpu) = vcpu
        && vcpu.peek("placement") == Some("static")
    {
        vcpu.attribute("placement");
    }
    reading.machine.max_cpus = (most > now).then_some(most);
    reading.machine.cpu = Cpu { sockets: now, ..Cpu::default() };
    let Some(topology) = reading.domain.child("cpu").and_then(|cpu| cpu.child("topology")) else {
        return Ok(());
    };
    let number = |name| topology.number::<u32>(name).unwrap_or(1).max(1);
    // A die and a cluster are parts of a socket that no other hypervisor tells of.
    let parts = ["dies", "clusters", "cores"].map(number);
    let cores = parts.iter().fold(1_u32, |all, part| all.saturating_mul(*part));
    let (sockets, threads) = (number("sockets"), number("threads"));
    let in_socket = cores.saturating_mul(threads);
    if sockets.saturating_mul(in_socket) != most || !now.is_multiple_of(in_socket) {
        let why =
            format!("{sockets} sockets of {cores} cores and {threads} threads are not {now} processors");
        reading.losses.push(changed(topology, &format!("{now} sockets"), why));
        return Ok(());
    }
    reading.machine.cpu =
        Cpu { sockets: now / in_socket, cores_per_socket: cores, threads_per_core: threads };
    if parts.get(..2).is_some_and(|parts| parts != [1, 1]) {
        let why = "dies and clusters become cores of their socket";
        reading.losses.push(changed(topology, &format!("{cores} cores"), why));
    }
    Ok(())
}

fn count(element: Element<'_>, text: &str) -> Result<u32, Error> {
    let expected = "a number of processors from 1 to 65535";
    let number = text.trim().parse().ok().filter(|number| (1..=MAX_CPUS).contains(number));
    number.ok_or_else(|| element.wrong(text, expected))
}

fn memory(reading: &mut Reading<'_>) -> Result<(), Error> {
    let domain = reading.domain;
    let cells = reading.machine.numa.iter().fold(0_u64, |all, cell| all.saturating_add(cell.memory));
    let most = match domain.child("memory") {
        Some(memory) => size(memory, memory.text())?,
        None if cells > 0 => cells,
        None => return Err(Error::Missing { element: "memory" }),
    };
    let now = domain.child("currentMemory");
    let ballooned = now.map(|now| size(now, now.text())).transpose()?.filter(|now| *now < most);
    let machine = &mut reading.machine;
    machine.memory = most;
    if let Some(ballooned) = ballooned {
        if domain.peek("type") == Some("xen") {
            machine.memory = ballooned;
            machine.max_memory = Some(most);
        } else if let Some(now) = now {
            let why = format!(
                "a balloon took the guest's memory down to {} MiB; it has all of it now",
                ballooned >> 20
            );
            reading.losses.push(Loss::dropped(Severity::Change, "currentMemory", why));
            now.keep();
        }
    }
    if let Some(limit) = domain.child("maxMemory") {
        limit.attribute("slots");
        let limit = size(limit, limit.text())?;
        machine.max_memory = Some(limit).filter(|limit| *limit > machine.memory);
    }
    Ok(())
}

/// A size with its unit (libvirt's scaled integer): KiB unless it says otherwise. In bytes.
fn size(element: Element<'_>, text: &str) -> Result<u64, Error> {
    let expected = "a size of memory of at least 1 byte and at most 1 PiB";
    let unit = element.attribute("unit").unwrap_or("KiB").to_ascii_lowercase();
    let (factor, power) = match unit.as_str() {
        "b" | "bytes" | "byte" => (1, 0),
        "kb" => (1000, 1),
        "k" | "kib" => (1024, 1),
        "mb" => (1000, 2),
        "m" | "mib" => (1024, 2),
        "gb" => (1000, 3),
        "g" | "gib" => (1024, 3),
        "tb" => (1000, 4),
        "t" | "tib" => (1024, 4),
        _ => return Err(element.wrong(&unit, "a unit of memory")),
    };
    let number: Option<u64> = text.trim().parse().ok();
    let bytes = number.and_then(|number| number.checked_mul(u64::pow(factor, power)));
    bytes.filter(|bytes| (1..=MAX_MEMORY).contains(bytes)).ok_or_else(|| element.wrong(text, expected))
}

/// The cells, as long as every one names processors and memory.
fn cells(reading: &mut Reading<'_>) -> Result<Vec<NumaNode>, Error> {
    let Some(numa) = reading.domain.child("cpu").and_then(|cpu| cpu.child("numa")) else {
        return Ok(Vec::new());
    };
    let (mut nodes, mut listed) = (Vec::new(), 0);
    for cell in numa.devices("cell")? {
        let text = cell.attribute("memory").unwrap_or_default();
        let memory = size(cell, text)?;
        let list = cell.attribute("cpus").unwrap_or_default();
        let Some(cpus) = cpu_set(list) else {
            let why = format!("{:?} is no list of processors", excerpt(list, 60));
            reading.losses.push(Loss::dropped(Severity::Warning, "cpu/numa", why));
            numa.keep();
            return Ok(Vec::new());
        };
        cell.attribute("id");
        listed += cpus.len();
        // Hostile lists of all processors in every cell would be many times the input.
        if listed > MAX_CPUS as usize {
            let why = "the cells have more processors than any machine";
            reading.losses.push(Loss::dropped(Severity::Warning, "cpu/numa", why));
            numa.keep();
            return Ok(Vec::new());
        }
        nodes.push(NumaNode { cpus, memory });
    }
    Ok(nodes)
}

/// libvirt's list of processors: `0-3,^2,8`. None when it is no such list.
fn cpu_set(list: &str) -> Option<Vec<u32>> {
    let mut cpus = std::collections::BTreeSet::new();
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|number| *number < MAX_CPUS);
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        if let Some(excluded) = part.strip_prefix('^') {
            cpus.remove(&number(excluded)?);
        } else if let Some((first, last)) = part.split_once('-') {
            cpus.extend(number(first)?..=number(last)?);
        } else {
            cpus.insert(number(part)?);
        }
    }
    Some(cpus.into_iter().collect())
}

/// One cell with every processor is a machine without cells: KVM asks for one before it lets memory be plugged in.
fn one_cell_is_none(reading: &mut Reading<'_>) {
    let machine = &mut reading.machine;
    let most = machine.max_cpus.unwrap_or_else(|| machine.cpu.count());
    if let [cell] = machine.numa.as_slice()
        && cell.memory == machine.memory
        && cell.cpus.iter().copied().eq(0..most)
    {
        machine.numa.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Error, parse};
    use super::*;

    fn domain(inside: &str) -> Result<machine::Machine, Error> {
        parse(format!("<domain><os><type>hvm</type></os>{inside}</domain>").as_bytes())
            .map(|parsed| parsed.machine)
    }

    #[test]
    fn sizes_have_units() {
        let memory =
            |inside: &str| domain(&format!("<memory{inside}</memory>")).map(|machine| machine.memory).ok();
        assert_eq!(memory(">1024"), Some(1 << 20));
        assert_eq!(memory(" unit='MiB'>3"), Some(3 << 20));
        assert_eq!(memory(" unit='GB'>2"), Some(2_000_000_000));
        for bad in
            [">0", ">-1", ">", ">x", " unit='miles'>1", " unit='TiB'>18446744073709551615", ">9999999999999"]
        {
            assert_eq!(memory(bad), None, "{bad}");
        }
    }

    #[test]
    fn processors_are_those_that_run() {
        let cpu = |inside: &str| {
            domain(&format!("<memory>1</memory>{inside}"))
                .map(|machine| (machine.cpu, machine.max_cpus))
                .unwrap()
        };
        let plain =
            |sockets, cores_per_socket, threads_per_core| Cpu { sockets, cores_per_socket, threads_per_core };
        assert_eq!(cpu(""), (plain(1, 1, 1), None));
        assert_eq!(cpu("<vcpu current='2'>8</vcpu>"), (plain(2, 1, 1), Some(8)));
        let topology = "<cpu><topology sockets='2' dies='1' cores='2' threads='2'/></cpu>";
        assert_eq!(cpu(&format!("<vcpu>8</vcpu>{topology}")), (plain(2, 2, 2), None));
        assert_eq!(cpu(&format!("<vcpu current='4'>8</vcpu>{topology}")), (plain(1, 2, 2), Some(8)));
        assert_eq!(cpu(&format!("<vcpu current='3'>8</vcpu>{topology}")), (plain(3, 1, 1), Some(8)));
        assert!(domain("<memory>1</memory><vcpu>0</vcpu>").is_err());
    }

    #[test]
    fn cells_have_lists_of_processors() {
        assert_eq!(cpu_set("0-3,^2,8"), Some(vec![0, 1, 3, 8]));
        assert_eq!((cpu_set("x"), cpu_set("0-99999"), cpu_set("5-2")), (None, None, Some(vec![])));
        let machine = domain(
            "<memory>4096</memory><vcpu>4</vcpu><cpu><numa><cell id='0' cpus='0-1' memory='2048'/>\
             <cell id='1' cpus='2,3' memory='2' unit='MiB'/></numa></cpu>",
        )
        .unwrap();
        assert_eq!(machine.numa[1], NumaNode { cpus: vec![2, 3], memory: 2 << 20 });
    }
}

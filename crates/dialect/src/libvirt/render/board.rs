//! Processors and memory of a domain.

use crate::xml::Element;
use machine::{Loss, Machine, NumaNode, Severity};
use std::collections::BTreeSet;

/// How many pieces of memory can be plugged in, where any can.
const MEMORY_SLOTS: u32 = 16;

/// `maxMemory` and `memory`.
pub(super) fn memory(machine: &Machine, losses: &mut Vec<Loss>) -> Vec<Element> {
    let mut kib = |field: &str, bytes: u64| {
        if !bytes.is_multiple_of(1024) {
            let why = "libvirt counts memory in KiB";
            losses.push(Loss::changed(field, format!("{} KiB", bytes.div_ceil(1024)), why));
        }
        bytes.div_ceil(1024)
    };
    let now = Element::new("memory").with("unit", "KiB").text(kib("memory", machine.memory));
    let most = most_memory(machine).map(|bytes| {
        let kib = kib("max_memory", bytes);
        Element::new("maxMemory").with("slots", MEMORY_SLOTS).with("unit", "KiB").text(kib)
    });
    if most.is_none() && machine.max_memory.is_some() {
        losses.push(Loss::dropped(
            Severity::Note,
            "max_memory",
            "it is no more than the memory that there is",
        ));
    }
    most.into_iter().chain([now]).collect()
}

fn most_memory(machine: &Machine) -> Option<u64> {
    machine.max_memory.filter(|most| *most > machine.memory)
}

fn most_processors(machine: &Machine) -> Option<u32> {
    machine.max_cpus.filter(|most| *most > machine.cpu.count())
}

/// `vcpu`: how many there can be, and how many there are.
pub(super) fn processors(machine: &Machine, losses: &mut Vec<Loss>) -> Element {
    let count = machine.cpu.count();
    let Some(most) = most_processors(machine) else {
        if machine.max_cpus.is_some() {
            losses.push(Loss::dropped(
                Severity::Note,
                "max_cpus",
                "it is no more than the processors that there are",
            ));
        }
        return Element::new("vcpu").text(count);
    };
    Element::new("vcpu").with("current", count).text(most)
}

/// `cpu`: the host's model, how the processors are arranged (all that there can be), and their memory.
pub(super) fn cpu(machine: &Machine, losses: &mut Vec<Loss>) -> Element {
    let cpu = machine.cpu;
    let most = most_processors(machine).unwrap_or_else(|| cpu.count());
    let in_socket = cpu.cores_per_socket.saturating_mul(cpu.threads_per_core);
    let (sockets, cores, threads) = if in_socket > 0 && most.is_multiple_of(in_socket) {
        (most / in_socket, cpu.cores_per_socket, cpu.threads_per_core)
    } else {
        let why = format!("sockets of {in_socket} processors do not make the {most} that there can be");
        losses.push(Loss::changed("cpu", format!("{} sockets", cpu.count()), why));
        (most, 1, 1)
    };
    let topology =
        Element::new("topology").with("sockets", sockets).with("cores", cores).with("threads", threads);
    Element::new("cpu")
        .with("mode", "host-passthrough")
        .with("check", "none")
        .with("migratable", "on")
        .child(topology)
        .maybe(numa(machine, most, losses))
}

/// The cells. KVM plugs memory into a cell, so that where it can be plugged in there is one with everything at least.
fn numa(machine: &Machine, most: u32, losses: &mut Vec<Loss>) -> Option<Element> {
    let nodes = match machine.numa.as_slice() {
        [] => Vec::new(),
        [_] => {
            let why = "one cell with everything is memory in one piece";
            losses.push(Loss::dropped(Severity::Note, "numa", why));
            Vec::new()
        }
        nodes if is_sound(nodes, machine, most) => nodes.to_vec(),
        _ => {
            let why = "its cells are not the processors and the memory that there are";
            losses.push(Loss::dropped(Severity::Change, "numa", why));
            Vec::new()
        }
    };
    let cells = if nodes.is_empty() {
        most_memory(machine)?;
        vec![cell(0, format!("0-{}", most.saturating_sub(1)), machine.memory)]
    } else {
        nodes.iter().enumerate().map(|(id, node)| cell(id, list(&node.cpus), node.memory)).collect()
    };
    Some(Element::new("numa").children(cells))
}

fn cell(id: usize, cpus: String, memory: u64) -> Element {
    let cell = Element::new("cell").with("id", id);
    let cell = if cpus.is_empty() { cell } else { cell.with("cpus", cpus) };
    cell.with("memory", memory.div_ceil(1024)).with("unit", "KiB")
}

fn list(cpus: &[u32]) -> String {
    cpus.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// Whether no processor is in two cells, in order in each, and memory is that of the machine in whole KiB.
fn is_sound(nodes: &[NumaNode], machine: &Machine, most: u32) -> bool {
    let mut seen = BTreeSet::new();
    let cpus = nodes
        .iter()
        .all(|node| node.cpus.is_sorted() && node.cpus.iter().all(|cpu| *cpu < most && seen.insert(*cpu)));
    let sizes = nodes.iter().all(|node| node.memory > 0 && node.memory.is_multiple_of(1024));
    let sum = nodes.iter().try_fold(0_u64, |all, node| all.checked_add(node.memory));
    cpus && sizes && sum == Some(machine.memory)
}

//! The places and the order of disks where SCSI controllers of all models share one count: in a `.vmx` and in OVF.

use crate::render::RenderError;
use machine::{Attachment, Bus, Loss, Machine, ScsiModel};
use std::collections::{BTreeMap, BTreeSet};

/// The numbers of SCSI controllers, by model and number among the model's.
type ControllerNumbers = BTreeMap<(ScsiModel, u32), u32>;

/// Where the disks of a machine are.
#[derive(Debug)]
pub(crate) struct Places {
    /// The place of every disk, in the machine's order.
    pub(crate) disks: Vec<Attachment>,
    /// The disks, by their place in the machine, in the order in which VMware's BIOS numbers them.
    pub(crate) order: Vec<usize>,
}

/// Where a drive comes in the order of VMware's BIOS: by bus, controller and unit. `None` for a bus that VMware lacks.
pub(crate) fn rank(at: Attachment) -> Option<(u8, u32, u32)> {
    let bus = match at.bus {
        Bus::Scsi(_) => 0,
        Bus::Sata => 1,
        Bus::Nvme => 2,
        Bus::Ide => 3,
        Bus::VirtioBlk | Bus::Xen | Bus::Usb | Bus::Floppy => return None,
    };
    Some((bus, at.controller, at.unit))
}

/// Gives every disk a place, with `at_most` SCSI controllers of the models that are `offered`, and tells which disks are
/// elsewhere or numbered otherwise.
///
/// # Errors
/// [`RenderError::Bus`] for a disk on another bus, or without a place.
pub(crate) fn places(
    machine: &Machine,
    at_most: u32,
    offered: fn(ScsiModel) -> bool,
    losses: &mut Vec<Loss>,
) -> Result<Places, RenderError> {
    let numbers = controller_numbers(machine, at_most, offered)?;
    let mut taken: BTreeSet<Attachment> = BTreeSet::new();
    let mut disks = Vec::new();
    for disk in &machine.disks {
        let full = || RenderError::bus(disk);
        let at = place(disk.attachment, &numbers, &taken).ok_or_else(full)?;
        if at != disk.attachment {
            let why = format!(
                "SCSI controllers of all models are counted together, and there are {at_most} at most"
            );
            let kept_as = format!("{}:{}", at.controller, at.unit);
            losses.push(Loss::changed(format!("{}.attachment", disk.id), kept_as, why));
        }
        taken.insert(at);
        disks.push(at);
    }
    let order = order(machine, &disks, losses);
    Ok(Places { disks, order })
}

fn order(machine: &Machine, disks: &[Attachment], losses: &mut Vec<Loss>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..disks.len()).collect();
    order.sort_by_key(|index| disks.get(*index).map(|at| rank(*at)));
    for (place, index) in order.iter().enumerate() {
        let Some(disk) = machine.disks.get(*index) else { continue };
        if *index != place || disk.id != format!("disk{}", place + 1) {
            let why = "disks are numbered by bus, controller and place";
            losses.push(Loss::changed(&disk.id, format!("disk {}", place + 1), why));
        }
    }
    order
}

/// The number of every SCSI controller: its own, where no other has it.
fn controller_numbers(
    machine: &Machine,
    at_most: u32,
    offered: fn(ScsiModel) -> bool,
) -> Result<ControllerNumbers, RenderError> {
    let mut numbers = ControllerNumbers::new();
    for disk in &machine.disks {
        let Attachment { bus, controller, .. } = disk.attachment;
        let unknown = || RenderError::Bus { disk: disk.id.clone(), bus };
        rank(disk.attachment).ok_or_else(unknown)?;
        let Bus::Scsi(model) = bus else { continue };
        if !offered(model) {
            return Err(unknown());
        }
        if numbers.contains_key(&(model, controller)) {
            continue;
        }
        let used: BTreeSet<u32> = numbers.values().copied().collect();
        let free = |number: &u32| *number < at_most && !used.contains(number);
        if let Some(number) = Some(controller).filter(free).or_else(|| (0..at_most).find(free)) {
            numbers.insert((model, controller), number);
        }
    }
    Ok(numbers)
}

/// A disk's place, its SCSI controller under its number; the next free one where that controller is one too many.
fn place(at: Attachment, numbers: &ControllerNumbers, taken: &BTreeSet<Attachment>) -> Option<Attachment> {
    let Bus::Scsi(model) = at.bus else { return Some(at) };
    let own = numbers.get(&(model, at.controller)).map(|number| Attachment { controller: *number, ..at });
    // Of other controllers the last units first: those are wanted the least.
    let same = numbers.iter().filter(|((other, _), _)| *other == model);
    let others = same.chain(numbers).flat_map(|((model, _), number)| {
        let bus = Bus::Scsi(*model);
        (0..16).rev().filter(|unit| *unit != 7).map(move |unit| Attachment { bus, controller: *number, unit })
    });
    own.into_iter().chain(others).find(|at| !taken.contains(at))
}

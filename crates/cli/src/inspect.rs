//! `anyvisor inspect`.

use crate::args::Inspect;
use crate::ask;
use crate::exit::Exit;
use crate::output::{self, clean, count, print, print_json, size};
use crate::progress;
use anyhow::Result;
use machine::{Firmware, Machine};
use migrate::keys::Keys;
use migrate::plan::{DiskFacts, Facts};

/// Runs the command.
pub(crate) fn run(args: &Inspect) -> Result<Exit> {
    let secrets = args.access.secrets()?;
    let keys = Keys { given: &secrets, ask: ask::somebody() };
    let open = (&args.access).into();
    let facts = migrate::inspect::inspect(&args.source, &open, keys, progress::reporter().as_ref())?;
    match args.json {
        true => print_json(&facts)?,
        false => print(&text(&facts))?,
    }
    Ok(Exit::Done)
}

fn text(facts: &Facts) -> String {
    let mut text = machine_text(&facts.machine);
    text += &facts.disks.iter().map(disk_line).collect::<String>();
    text += &match &facts.guest {
        Some(guest) => format!("\nInside\n{guest}"),
        None => "\nInside\n  no operating system that Anyvisor knows\n".to_owned(),
    };
    if !facts.losses.is_empty() {
        text += &format!("\nNot understood\n{}", output::losses(&facts.losses));
    }
    text
}

pub(crate) fn machine_text(machine: &Machine) -> String {
    let firmware = match &machine.firmware {
        Firmware::Bios => "BIOS",
        Firmware::Uefi(uefi) if uefi.secure_boot => "UEFI with secure boot",
        Firmware::Uefi(_) => "UEFI",
    };
    let mut text = format!(
        "{}\n  firmware  {firmware}\n  cpu       {} ({} of {})\n  memory    {}\n",
        clean(&machine.name),
        machine.cpu.count(),
        count(machine.cpu.sockets as usize, "socket"),
        count(machine.cpu.cores_per_socket as usize, "core"),
        size(machine.memory)
    );
    for nic in &machine.nics {
        let mac = nic.mac.map_or("no fixed address".to_owned(), |mac| mac.to_string());
        let network = nic.network.as_deref().unwrap_or("no network");
        text += &format!("  {:<9} {}, {mac}, on {}\n", nic.id, clean(&nic.model.to_string()), clean(network));
    }
    text
}

fn disk_line(disk: &DiskFacts) -> String {
    let subformat = disk.subformat.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
    format!(
        "  {:<9} {}, {}{subformat}, {}\n",
        disk.id,
        size(disk.virtual_size),
        disk.format,
        clean(&disk.location)
    )
}

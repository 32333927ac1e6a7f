//! The target's drivers after the next time that the guest makes its initramfs.

use super::initramfs::wanted;
use super::{Conversion, during};
use crate::initramfs::drivers;
use crate::initramfs::flavour::Rebuild;
use crate::inspect::{Driver, read_text};
use crate::recipe::RecipeError;

const STEP: &str = "keep the drivers at a rebuild of the initramfs";

/// Names the modules for the guest's own later rebuilds, in the way of the program that made the newest kernel's
/// initramfs.
pub(super) fn keep_drivers(conversion: &mut Conversion<'_>) -> Result<(), RecipeError> {
    let Some(newest) = conversion.inspection.kernels.first() else { return Ok(()) };
    let Some(facts) = newest.initramfs.as_ref().and_then(|image| image.flavour.facts()) else {
        return Ok(());
    };
    let Some(rebuild) = facts.rebuild else { return Ok(()) };
    let path = rebuild.path();
    let is_module = |name: &String| newest.drivers.get(name) == Some(&Driver::Module);
    let load: Vec<String> = wanted(conversion)?.into_iter().filter(is_module).collect();
    let before = read_text(conversion.mounter.tree(), path).map_err(during(STEP))?;
    let Some((after, undo)) = kept(rebuild, before.as_deref(), &load) else { return Ok(()) };
    conversion.editor().put(path, after.as_bytes(), 0o644).map_err(during(STEP))?;
    conversion.note(format!("{path} lists {}, so that {} keeps them", load.join(", "), facts.program));
    conversion.undo(undo);
    Ok(())
}

/// The file with the modules that it lacks and how that is undone; `None` when it lacks none.
fn kept(rebuild: Rebuild, before: Option<&str>, load: &[String]) -> Option<(String, String)> {
    let pattern = load.join("$\\|^");
    match rebuild {
        Rebuild::Lines(path) => {
            let after = drivers::with_lines(before.unwrap_or_default(), load)?;
            Some((after, format!("sed -i '/^{pattern}$/d' {path}")))
        }
        Rebuild::DropIn { path, before: head, after: tail } => {
            let after = format!("{head}{}{tail}", load.join(" "));
            (!load.is_empty() && before != Some(&after)).then(|| (after, format!("rm {path}")))
        }
        Rebuild::Assignment { path, key } => {
            let after = drivers::with_words(before?, key, load)?;
            Some((after, format!("take {} out of {key} in {path}", load.join(", "))))
        }
        Rebuild::Aliases(path) => {
            let after = with_adapters(before.unwrap_or_default(), load)?;
            let names = load.join("\\|");
            Some((after, format!("sed -i '/^alias scsi_hostadapter[0-9]* \\({names}\\)$/d' {path}")))
        }
    }
}

/// `modprobe.conf` with further lines `alias scsi_hostadapterN MODULE` (mkinitrd(8) of RHEL 5).
fn with_adapters(text: &str, load: &[String]) -> Option<String> {
    const ALIAS: &str = "scsi_hostadapter";
    let mut number: u32 = 0;
    let mut known = Vec::new();
    for line in text.lines() {
        if let ["alias", name, module] = line.split_whitespace().collect::<Vec<_>>().as_slice()
            && let Some(own) = name.strip_prefix(ALIAS)
        {
            number = number.max(own.parse::<u32>().unwrap_or(0).saturating_add(1));
            known.push((*module).to_string());
        }
    }
    let missing: Vec<_> = load.iter().filter(|name| !known.contains(name)).collect();
    let mut after = text.to_string();
    if !after.is_empty() && !after.ends_with('\n') {
        after.push('\n');
    }
    for (number, name) in (number..).zip(&missing) {
        let number = if number == 0 { String::new() } else { number.to_string() };
        after.push_str(&format!("alias {ALIAS}{number} {name}\n"));
    }
    (!missing.is_empty()).then_some(after)
}

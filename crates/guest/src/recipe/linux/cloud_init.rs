//! cloud-init, kept from writing the network's configuration anew: another platform is another instance to it, whose
//! network it would set up from nothing.

use super::{Conversion, during};
use crate::fs::{GuestFs, Result};
use crate::inspect::{Inspection, read_text, sorted_names};
use crate::recipe::RecipeError;

const STEP: &str = "keep cloud-init from changing the network";
const MAIN: &str = "/etc/cloud/cloud.cfg";
const MORE: &str = "/etc/cloud/cloud.cfg.d";
const OWN: &str = "/etc/cloud/cloud.cfg.d/99-anyvisor-network.cfg";
/// It never runs where this file is.
const DISABLED: &str = "/etc/cloud/cloud-init.disabled";
/// Descriptions of the instance on its own disk: it stays the same one wherever it runs.
const SEEDS: &[&str] =
    &["/var/lib/cloud/seed/nocloud/meta-data", "/var/lib/cloud/seed/nocloud-net/meta-data"];

/// Turns its network configuration off where it wrote the one that the guest has (cloud-init's documentation, "Network
/// configuration", "Disabling network configuration").
pub(super) fn leave_network(conversion: &mut Conversion<'_>) -> std::result::Result<(), RecipeError> {
    let inspection = conversion.inspection;
    let tree = conversion.mounter.tree();
    if !would_rewrite(tree, inspection).map_err(during(STEP))? {
        return Ok(());
    }
    let text =
        "# The network's configuration is kept as it was before the move.\nnetwork: {config: disabled}\n";
    if conversion.editor().put(OWN, text.as_bytes(), 0o644).map_err(during(STEP))? {
        conversion.note("cloud-init no longer changes the network's configuration");
        conversion.undo(format!("rm {OWN}"));
    }
    Ok(())
}

fn would_rewrite(tree: &mut dyn GuestFs, inspection: &Inspection) -> Result<bool> {
    let Some(main) = read_text(tree, MAIN)? else { return Ok(false) };
    for path in [DISABLED].iter().chain(SEEDS) {
        if tree.exists(path)? {
            return Ok(false);
        }
    }
    let mut settings = vec![main];
    for name in sorted_names(tree, MORE, ".cfg")? {
        settings.extend(read_text(tree, &format!("{MORE}/{name}"))?);
    }
    if settings.iter().any(|text| is_off(text)) {
        return Ok(false);
    }
    for interface in &inspection.interfaces {
        let is_named = interface.file.contains("cloud-init");
        if is_named || read_text(tree, &interface.file)?.is_some_and(|text| text.contains("cloud-init")) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a configuration has `network: {config: disabled}`, on one line or on two.
fn is_off(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    while let Some(line) = lines.next() {
        let Some(value) = line.strip_prefix("network:") else { continue };
        let value = if value.trim().is_empty() { lines.next().unwrap_or_default() } else { value };
        let words: String = value.chars().filter(|c| !c.is_whitespace() && !"{}\"'".contains(*c)).collect();
        if words == "config:disabled" {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_known() {
        assert!(is_off("network: {config: disabled}\n"));
        assert!(is_off("users: []\nnetwork:\n  config: \"disabled\"\n"));
        assert!(!is_off("# network: {config: disabled}\nnetwork:\n  version: 2\n"));
    }
}

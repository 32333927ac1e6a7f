//! The guest as Xen's `xl` keeps it: the domain's configuration (`xl.cfg(5)`), and its raw disk.

use crate::Recipe;
use crate::axes::Firmware;

/// The configuration's text. `disk` is the file name of the disk image, beside it.
pub(super) fn configuration(recipe: &Recipe, disk: &str) -> String {
    let cards: Vec<String> = recipe.macs().iter().map(|mac| format!("'mac={mac},bridge=xenbr0'")).collect();
    let firmware = match recipe.firmware {
        Firmware::Bios => "",
        Firmware::Uefi => "bios = 'ovmf'\n",
    };
    format!(
        "name = '{name}'\nuuid = '{uuid}'\ntype = 'hvm'\n{firmware}memory = 1024\nvcpus = 2\n\
         disk = [ 'format=raw, vdev=xvda, access=rw, target={disk}' ]\nvif = [ {cards} ]\nserial = 'pty'\n",
        name = recipe.machine,
        uuid = recipe.bios_uuid(),
        cards = cards.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_card_has_its_address() {
        let recipe = Recipe::named("debian12-xen").unwrap();
        let text = configuration(recipe, "debian12-xen.img");
        assert!(recipe.macs().iter().all(|mac| text.contains(mac)), "{text}");
    }
}

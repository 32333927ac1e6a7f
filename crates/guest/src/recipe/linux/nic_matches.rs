//! Conditions by which a configuration chooses network cards: one on the driver, or on the place in the machine, chooses none
//! after the move. It becomes one on the card's address, or on the new driver, or is reported.

mod cards;
mod keyed;
mod netplan;

use super::{Conversion, during, initramfs};
use crate::inspect::{Backend, read_text, sorted_names};
use crate::recipe::RecipeError;
use cards::{Cards, Successor};
use machine::MacAddress;
use std::collections::BTreeMap;

const STEP: &str = "keep the conditions that choose network cards";
const LINKS: &str = "/etc/systemd/network";

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Driver,
    Path,
    KernelName,
}

impl Condition {
    fn successor(self, cards: &Cards, patterns: &[&str]) -> Successor {
        match self {
            Self::Driver => cards.by_driver(patterns),
            Self::Path => cards.by_path(patterns),
            Self::KernelName => cards.by_kernel_name(patterns),
        }
    }
}

/// A file after the move.
#[derive(Debug, Default)]
struct Rewritten {
    text: String,
    /// Names that the file gives to cards that it chooses by their address.
    named: Vec<(String, MacAddress)>,
    /// Conditions that choose no card any more, and for which nothing else is known.
    unresolved: Vec<String>,
}

/// How a file is rewritten.
type Rewrite = fn(&str, &Cards) -> Rewritten;

/// Rewrites the conditions; answers with the names that files give to cards whose address they state.
pub(super) fn follow_cards(
    conversion: &mut Conversion<'_>,
) -> Result<Vec<(String, MacAddress)>, RecipeError> {
    let cards = Cards::of(conversion.target);
    let mut named = Vec::new();
    for (path, rewrite) in files(conversion)? {
        let Some(before) = read_text(conversion.mounter.tree(), &path).map_err(during(STEP))? else {
            continue;
        };
        let after = rewrite(&before, &cards);
        for condition in &after.unresolved {
            conversion.note(format!(
                "{path} chooses a network card by {condition}, which no card meets any more: choose it by its address there"
            ));
        }
        if conversion.editor().replace_text(&path, &before, &after.text).map_err(during(STEP))? {
            conversion.note(format!("{path} chooses the network cards that it chose, by what they are now"));
            if path.ends_with(".link") {
                initramfs::carry(conversion, &path, &after.text);
            }
        }
        named.extend(after.named);
    }
    Ok(named)
}

/// The files that may have such conditions: those of configured interfaces, and systemd's `.link` files.
fn files(conversion: &mut Conversion<'_>) -> Result<BTreeMap<String, Rewrite>, RecipeError> {
    let networkd: Rewrite = |text, cards| keyed::rewrite(text, &keyed::NETWORKD, cards);
    let network_manager: Rewrite = |text, cards| keyed::rewrite(text, &keyed::NETWORK_MANAGER, cards);
    let mut files = BTreeMap::new();
    for interface in &conversion.inspection.interfaces {
        let rewrite = match interface.backend {
            Backend::Netplan => netplan::rewrite,
            Backend::NetworkManager => network_manager,
            Backend::Networkd => networkd,
            Backend::Ifupdown | Backend::Ifcfg => continue,
        };
        files.insert(interface.file.clone(), rewrite);
    }
    for name in sorted_names(conversion.mounter.tree(), LINKS, ".link").map_err(during(STEP))? {
        files.insert(format!("{LINKS}/{name}"), networkd);
    }
    Ok(files)
}

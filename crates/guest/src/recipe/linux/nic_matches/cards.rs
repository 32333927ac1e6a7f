//! The machine's network cards before and after the move, and what becomes of a condition that chooses among them.

use crate::recipe::Target;
use machine::{MacAddress, NicModel};

/// What Linux calls the drivers of each model, as `ethtool -i` shows it: what a condition on the driver is compared to. It
/// is not always the module's name.
const DRIVERS: &[(NicModel, &[&str])] = &[
    (NicModel::Pcnet, &["pcnet32"]),
    (NicModel::E1000, &["e1000"]),
    (NicModel::E1000e, &["e1000e"]),
    (NicModel::Vmxnet2, &["vmxnet"]),
    (NicModel::Vmxnet3, &["vmxnet3"]),
    (NicModel::Virtio, &["virtio_net"]),
    (NicModel::Rtl8139, &["8139cp", "8139too"]),
    (NicModel::Tulip, &["tulip"]),
    (NicModel::HyperV, &["hv_netvsc"]),
    (NicModel::Xen, &["vif"]),
];

fn drivers(model: &NicModel) -> &'static [&'static str] {
    DRIVERS.iter().find(|(own, _)| own == model).map_or(&[], |(_, drivers)| drivers)
}

/// What a condition has to be after the move, so that it chooses the cards that it chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Successor {
    /// What it is.
    Same,
    /// One on the address of the one card.
    Address(MacAddress),
    /// One on another driver.
    Driver(&'static str),
    /// None is known.
    Unknown,
}

/// A network card.
struct Card {
    /// The names of the drivers that it may have had; none where its model is not known.
    before: &'static [&'static str],
    /// The same for the model that it will be.
    after: &'static [&'static str],
    /// The address that it will have.
    mac: Option<MacAddress>,
}

/// The machine's cards, in slot order.
pub(super) struct Cards(Vec<Card>);

impl Cards {
    pub(super) fn of(target: &Target) -> Self {
        let pairs = target.old_nics.iter().zip(&target.nics);
        Self(
            pairs
                .map(|(old, new)| Card {
                    before: drivers(&old.model),
                    after: drivers(&new.model),
                    mac: new.mac,
                })
                .collect(),
        )
    }

    /// For a condition that is met by a driver like one of `patterns`.
    pub(super) fn by_driver(&self, patterns: &[&str]) -> Successor {
        // NetworkManager and systemd know negations, which no card's driver is like.
        if patterns.iter().any(|pattern| pattern.starts_with(['!', '&', '|']) || pattern.contains('[')) {
            return Successor::Unknown;
        }
        let is_like = |drivers: &[&str]| {
            drivers.iter().any(|driver| patterns.iter().any(|pattern| is_match(pattern, driver)))
        };
        let chosen: Vec<bool> = self.0.iter().map(|card| is_like(card.before)).collect();
        let then: Vec<bool> = self.0.iter().map(|card| is_like(card.after)).collect();
        let is_for_cards = chosen.contains(&true);
        if chosen == then && is_for_cards {
            return Successor::Same;
        }
        let is_any_unknown = self.0.is_empty() || self.0.iter().any(|card| card.before.is_empty());
        if is_any_unknown && !then.contains(&true) {
            return Successor::Unknown;
        }
        if !is_for_cards {
            // It is for a device that is none of the machine's cards, or says by now what it is to say.
            return Successor::Same;
        }
        self.instead(&chosen)
    }

    /// What chooses these cards.
    fn instead(&self, chosen: &[bool]) -> Successor {
        let cards: Vec<&Card> =
            self.0.iter().zip(chosen).filter(|(_, chosen)| **chosen).map(|(card, _)| card).collect();
        if let [Card { mac: Some(mac), .. }] = cards.as_slice() {
            return Successor::Address(*mac);
        }
        let Some(driver) = cards.first().and_then(|card| card.after.first().copied()) else {
            return Successor::Unknown;
        };
        let has_driver: Vec<bool> = self.0.iter().map(|card| card.after.contains(&driver)).collect();
        if has_driver == chosen { Successor::Driver(driver) } else { Successor::Unknown }
    }

    /// For a condition on the place in the machine (`pci-0000:0b:00.0`): no card has its old one. With one card there is
    /// no doubt about which is meant.
    pub(super) fn by_path(&self, patterns: &[&str]) -> Successor {
        match self.0.as_slice() {
            _ if patterns.iter().any(|pattern| pattern.contains('*')) => Successor::Same,
            [Card { mac: Some(mac), .. }] => Successor::Address(*mac),
            _ => Successor::Unknown,
        }
    }

    /// For a condition on the kernel's own name (`eth1`): the kernel counts cards in the order in which it finds them. With
    /// one card, that stays.
    pub(super) fn by_kernel_name(&self, names: &[&str]) -> Successor {
        let [name] = names else { return Successor::Same };
        let number = name.strip_prefix("eth").and_then(|number| number.parse::<usize>().ok());
        match number.and_then(|number| self.0.get(number)).and_then(|card| card.mac) {
            Some(mac) if self.0.len() > 1 => Successor::Address(mac),
            _ => Successor::Same,
        }
    }
}

/// Whether `text` is like `pattern`, in which `*` stands for anything and `?` for any one character.
fn is_match(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // Which beginnings of the text the beginning of the pattern is like.
    let mut reached: Vec<bool> = vec![false; text.len() + 1];
    reached.iter_mut().take(1).for_each(|start| *start = true);
    for symbol in pattern {
        let mut next = vec![false; reached.len()];
        let mut before = false;
        for (at, place) in next.iter_mut().enumerate() {
            let here = reached.get(at).copied().unwrap_or_default();
            let last = at.checked_sub(1);
            let step = last.is_some_and(|last| {
                reached.get(last) == Some(&true) && (symbol == '?' || text.get(last) == Some(&symbol))
            });
            *place = if symbol == '*' { here || before } else { step };
            before = *place;
        }
        reached = next;
    }
    reached.last() == Some(&true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cards(cards: &[(NicModel, NicModel)]) -> Cards {
        let card = |(number, (old, new)): (u8, &(NicModel, NicModel))| Card {
            before: drivers(old),
            after: drivers(new),
            mac: Some(mac(number)),
        };
        Cards((1u8..).zip(cards).map(card).collect())
    }

    fn mac(number: u8) -> MacAddress {
        format!("00:0c:29:00:00:0{number}").parse().unwrap()
    }

    #[test]
    fn a_condition_goes_on_choosing_the_cards_that_it_chose() {
        use NicModel::{E1000, Other, Virtio, Vmxnet3};
        let two = cards(&[(Vmxnet3, Virtio), (Vmxnet3, Virtio)]);
        assert_eq!(two.by_driver(&["vmxnet3"]), Successor::Driver("virtio_net"));
        assert_eq!(two.by_driver(&["vmx*", "e1000"]), Successor::Driver("virtio_net"));
        assert_eq!(two.by_driver(&["*"]), Successor::Same);
        assert_eq!(two.by_driver(&["virtio_net"]), Successor::Same);
        assert_eq!(two.by_driver(&["iwlwifi"]), Successor::Same);
        assert_eq!(two.by_driver(&["!vmxnet3"]), Successor::Unknown);
        let mixed = cards(&[(E1000, Virtio), (Vmxnet3, Virtio)]);
        assert_eq!(mixed.by_driver(&["vmxnet?"]), Successor::Address(mac(2)));
        let three = cards(&[(E1000, Virtio), (Vmxnet3, Virtio), (Vmxnet3, Virtio)]);
        assert_eq!(three.by_driver(&["vmxnet3"]), Successor::Unknown);
        let odd = cards(&[(Other("ne2k_pci".into()), Virtio)]);
        assert_eq!(odd.by_driver(&["ne2k-pci"]), Successor::Unknown);
        assert_eq!(odd.by_driver(&["virtio_net"]), Successor::Same);
        assert_eq!(cards(&[]).by_driver(&["vmxnet3"]), Successor::Unknown);
    }

    #[test]
    fn places_and_kernel_names_are_followed_where_there_is_no_doubt() {
        use NicModel::{Virtio, Vmxnet3};
        let (one, two) = (cards(&[(Vmxnet3, Virtio)]), cards(&[(Vmxnet3, Virtio), (Vmxnet3, Virtio)]));
        assert_eq!(one.by_path(&["pci-0000:0b:00.0"]), Successor::Address(mac(1)));
        assert_eq!(two.by_path(&["pci-0000:0b:00.0"]), Successor::Unknown);
        assert_eq!(two.by_path(&["*"]), Successor::Same);
        assert_eq!(one.by_kernel_name(&["eth0"]), Successor::Same);
        assert_eq!(two.by_kernel_name(&["eth1"]), Successor::Address(mac(2)));
        assert_eq!(two.by_kernel_name(&["*"]), Successor::Same);
    }

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, text) in
            [("vmx*", "vmxnet3"), ("*", ""), ("v?f", "vif"), ("*net*", "virtio_net"), ("", "")]
        {
            assert!(is_match(pattern, text), "{pattern}");
        }
        for (pattern, text) in [("vmx", "vmxnet3"), ("?", ""), ("*x", "vmxnet3"), ("vif", "vi")] {
            assert!(!is_match(pattern, text), "{pattern}");
        }
    }
}

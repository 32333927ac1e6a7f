//! Which of a domain's own elements are put back when a machine becomes a domain again.

use machine::{Machine, Property};

/// Elements that mean the same on every host, by the key of their property. Everything else (devices, paths, sizes of
/// huge pages, pinning to processors) belongs to the host that the domain comes from.
const PORTABLE: [&str; 14] = [
    "on_poweroff",
    "on_reboot",
    "on_crash",
    "pm",
    "features/pae",
    "features/hap",
    "features/kvm",
    "features/pvspinlock",
    "features/vmport",
    "features/vmcoreinfo",
    "features/ioapic",
    "devices/sound",
    "devices/watchdog",
    "devices/panic",
];

/// The elements of `machine` under `parent` (`features`, `devices`, or nothing for the domain itself) that are put back,
/// each with its name, as they stood.
pub(super) fn under<'a>(
    machine: &'a Machine,
    parent: &'a str,
) -> impl Iterator<Item = (&'static str, &'a str)> {
    machine.properties.iter().filter(|property| is_kept(property)).filter_map(move |property| {
        let key = PORTABLE.iter().find(|key| **key == property.key)?;
        let (above, name) = key.rsplit_once('/').unwrap_or(("", key));
        (above == parent).then_some((name, property.value.as_str()))
    })
}

/// Whether a property is put back: one element, whole, well-formed by itself, of a kind that is portable, and with
/// nothing in it that could be a path.
pub(super) fn is_kept(property: &Property) -> bool {
    property.dialect == super::DIALECT.name
        && PORTABLE.contains(&property.key.as_str())
        && is_plain_element(&property.key, &property.value)
}

fn is_plain_element(key: &str, value: &str) -> bool {
    // Neither a comment nor an instruction, which could hold anything.
    if value.contains("<!") || value.contains("<?") || value.len() > 4096 {
        return false;
    }
    let Ok(tree) = roxmltree::Document::parse(value) else { return false };
    let root = tree.root_element();
    let is_plain = |node: roxmltree::Node| {
        let attributes = node.attributes().all(|attribute| !attribute.value().contains('/'));
        attributes && node.text().is_none_or(|text| !text.contains('/'))
    };
    root.range() == (0..value.len())
        && root.namespaces().len() == 0
        && root.tag_name().name() == key.rsplit('/').next().unwrap_or(key)
        && root.descendants().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(key: &str, value: &str) -> bool {
        let (dialect, key, value) = ("libvirt".to_owned(), key.to_owned(), value.to_owned());
        is_kept(&Property { dialect, key, value })
    }

    #[test]
    fn only_plain_portable_elements_are_put_back() {
        assert!(kept("on_crash", "<on_crash>preserve</on_crash>"));
        assert!(kept("features/kvm", "<kvm>\n  <hidden state='on'/>\n</kvm>"));
        for (key, value) in [
            ("on_crash", "<on_crash>preserve</on_crash><devices/>"),
            ("on_crash", "<on_reboot>preserve</on_reboot>"),
            ("on_crash", "preserve"),
            ("on_crash", " <on_crash/>"),
            ("on_crash", "<on_crash><!-- --></on_crash>"),
            ("on_crash", "<!DOCTYPE x [<!ENTITY a 'b'>]><on_crash>&a;</on_crash>"),
            ("on_crash", "<on_crash xmlns='x'/>"),
            ("devices/sound", "<sound model='ich6'><audio file='/etc/passwd'/></sound>"),
            ("devices/hostdev", "<hostdev/>"),
        ] {
            assert!(!kept(key, value), "{key}: {value}");
        }
    }
}

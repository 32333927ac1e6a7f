//! Patterns of `modules.alias`, matched as kmod does: with `fnmatch(3)`'s `*`, `?` and `[…]`, and `-` read as `_`.

/// Whether the alias `pattern` stands for the device id `modalias`.
pub(super) fn matches(pattern: &str, modalias: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), modalias.as_bytes());
    let (mut at, mut seen) = (0, 0);
    // Where to go on when what follows the last star does not fit: one more byte for the star.
    let mut retry: Option<(usize, usize)> = None;
    while seen < text.len() {
        if pattern.get(at) == Some(&b'*') {
            retry = Some((at + 1, seen));
            at += 1;
        } else if let Some(next) = one(pattern, at, text.get(seen).copied().unwrap_or_default()) {
            at = next;
            seen += 1;
        } else if let Some((after, from)) = retry {
            retry = Some((after, from + 1));
            (at, seen) = (after, from + 1);
        } else {
            return false;
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

/// Where the pattern goes on behind its element at `at`, if that fits `byte`.
fn one(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    let plain = |byte: u8| if byte == b'-' { b'_' } else { byte };
    match pattern.get(at)? {
        b'?' => Some(at + 1),
        b'[' => {
            let length = pattern.get(at + 1..)?.iter().position(|byte| *byte == b']')?;
            let set = pattern.get(at + 1..at + 1 + length)?;
            in_set(set, byte).then_some(at + length + 2)
        }
        literal => (plain(*literal) == plain(byte)).then_some(at + 1),
    }
}

/// Whether a set such as `0-9a` holds `byte`.
fn in_set(set: &[u8], byte: u8) -> bool {
    let (negated, mut rest) = match set {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut found = false;
    while let [first, after @ ..] = rest {
        (found, rest) = match after {
            [b'-', last, after @ ..] => (found || (first..=last).contains(&&byte), after),
            _ => (found || *first == byte, after),
        };
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Aliases as Linux 6.1 has them, and the ids of devices.
    #[test]
    fn aliases_stand_for_devices() {
        let pvscsi = "pci:v000015ADd000007C0sv000015ADsd000007C0bc01sc07i00";
        assert!(matches("pci:v000015ADd000007C0sv*sd*bc*sc*i*", pvscsi));
        assert!(!matches("pci:v000015ADd000007B0sv*sd*bc*sc*i*", pvscsi));
        assert!(!matches("pci:v*d*sv*sd*bc01sc06i01*", pvscsi));
        let ahci = "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01";
        assert!(matches("pci:v*d*sv*sd*bc01sc06i01*", ahci));
        assert!(matches("acpi*:VMBUS:*", "acpi:VMBUS:"));
        assert!(
            matches("xen:vbd", "xen:vbd") && !matches("xen:vbd", "xen:vif") && !matches("xen:vb", "xen:vbd")
        );
        assert!(
            matches("scsi:t-0x00*", "scsi:t-0x00")
                && matches("virtio:d00000008v*", "virtio:d00000008v00001AF4")
        );
        assert!(matches("usb:v[0-3]d?", "usb:v2dx") && !matches("usb:v[0-3]d?", "usb:v4dx"));
        assert!(matches("a[!b]c", "axc") && !matches("a[!b]c", "abc") && !matches("a[b", "ab"));
    }

    #[test]
    fn many_stars_take_no_long_time() {
        assert!(!matches(&"*a".repeat(200), &"a".repeat(199)));
        assert!(!matches(&("*".repeat(500) + "b"), &"a".repeat(4000)));
    }
}

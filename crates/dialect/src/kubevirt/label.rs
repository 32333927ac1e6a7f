//! Kubernetes' names.

/// The longest label (RFC 1123, section 2.1).
pub(super) const MAX_LABEL: usize = 63;

/// A label as RFC 1123 has them, from any text: letters in lower case and digits stay, everything else becomes a dash,
/// none at either end. Never empty, never more than 63 bytes, and the same for the same text.
pub fn label(text: &str) -> String {
    shortened(text, MAX_LABEL)
}

/// A label of at most so many bytes.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let mut label = String::new();
    for c in text.chars() {
        let c = c.to_ascii_lowercase();
        match c {
            'a'..='z' | '0'..='9' => label.push(c),
            _ if label.is_empty() || label.ends_with('-') => {}
            _ => label.push('-'),
        }
        if label.len() >= most {
            break;
        }
    }
    label.truncate(label.trim_end_matches('-').len());
    if label.is_empty() { "machine".to_owned() } else { label }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_plain() {
        for (text, expected) in [
            ("Web Server (prod)", "web-server-prod"),
            ("--x--", "x"),
            ("../../etc/passwd", "etc-passwd"),
            ("虚拟机", "machine"),
            ("", "machine"),
            ("a.b_c", "a-b-c"),
        ] {
            assert_eq!(label(text), expected);
        }
        assert_eq!(label(&"x-".repeat(100)).len(), MAX_LABEL);
    }
}

//! Names for files and domains from names that an administrator, or an attacker, chose.

/// The most bytes of a name: what is appended to it (`-disk1.qcow2`, a temporary suffix) must still fit in 255.
const MAX_BYTES: usize = 180;

/// A file name's stem from any text: letters, digits and `._+-` stay, everything else becomes `-`. Never empty,
/// never hidden, never an option, never more than 180 bytes, and the same for the same text.
pub fn file_stem(name: &str) -> String {
    let mut stem = String::new();
    for c in name.trim().chars() {
        let c = if c.is_alphanumeric() || matches!(c, '.' | '_' | '+') { c } else { '-' };
        if (c == '-' && stem.ends_with('-')) || (stem.is_empty() && matches!(c, '.' | '-')) {
            continue;
        }
        if stem.len() + c.len_utf8() > MAX_BYTES {
            break;
        }
        stem.push(c);
    }
    stem.truncate(stem.trim_end_matches(['-', '.']).len());
    if stem.is_empty() { "machine".to_owned() } else { stem }
}

/// A libvirt domain's name from any text. libvirt allows every text but refuses `/`, line ends and the empty one,
/// and makes a file name from it; what XML cannot carry, and other control characters, go too.
pub fn domain_name(name: &str) -> String {
    let mut domain = String::new();
    for c in name.trim().chars() {
        let c = if c == '/' || c.is_control() || !crate::xml::is_xml(c) { '-' } else { c };
        if domain.len() + c.len_utf8() > MAX_BYTES {
            break;
        }
        domain.push(c);
    }
    domain.truncate(domain.trim_end().len());
    match domain.as_str() {
        "" => "machine".to_owned(),
        "." | ".." => format!("machine{domain}"),
        _ => domain,
    }
}

/// The letters of a disk's name for its number, from 0: `a`, …, `z`, `aa`, ….
pub(crate) fn letters(mut number: usize) -> String {
    let mut reversed = Vec::new();
    loop {
        reversed.push(char::from(b'a' + u8::try_from(number % 26).unwrap_or(0)));
        match number / 26 {
            0 => break,
            rest => number = rest - 1,
        }
    }
    reversed.iter().rev().collect()
}

/// The number that [`letters`] stand for; none for anything else.
pub(crate) fn letters_number(letters: &str) -> Option<u32> {
    let mut number: u32 = 0;
    for letter in letters.bytes() {
        let digit = letter.checked_sub(b'a').filter(|digit| *digit < 26)?;
        number = number.checked_mul(26)?.checked_add(u32::from(digit) + 1)?;
    }
    number.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_stems_are_plain() {
        for (name, stem) in [
            ("Web Server (prod)", "Web-Server-prod"),
            ("../../etc/passwd", "etc-passwd"),
            ("$(reboot)\n'\"", "reboot"),
            ("", "machine"),
            ("...", "machine"),
            ("虚拟机", "虚拟机"),
            ("--help", "help"),
        ] {
            assert_eq!(file_stem(name), stem);
        }
        assert!(file_stem(&"😀é".repeat(4096)).len() <= MAX_BYTES);
    }

    #[test]
    fn domain_names_keep_what_libvirt_allows() {
        for (name, domain) in [
            ("Web Server (prod)", "Web Server (prod)"),
            ("a/b\nc\u{b}", "a-b-c"),
            ("", "machine"),
            ("..", "machine.."),
            ("  x ", "x"),
        ] {
            assert_eq!(domain_name(name), domain);
        }
        assert!(domain_name(&"é".repeat(4096)).len() <= MAX_BYTES);
    }

    #[test]
    fn letters_go_on_after_z() {
        assert_eq!([0, 25, 26, 27, 701, 702].map(letters), ["a", "z", "aa", "ab", "zz", "aaa"]);
        assert_eq!(
            ["a", "z", "aa", "zz", ""].map(letters_number),
            [Some(0), Some(25), Some(26), Some(701), None]
        );
        assert_eq!([letters_number("A"), letters_number("zzzzzzzzzzzzzzzz")], [None, None]);
    }
}

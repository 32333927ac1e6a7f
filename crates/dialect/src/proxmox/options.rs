//! A value that is a list of options between commas: [`Options`].

/// The options of a value.
pub(super) struct Options {
    pairs: Vec<(String, String)>,
}

impl Options {
    /// Reads `value`; an option without a name is called `default`.
    pub(super) fn parse(value: &str, default: &str) -> Self {
        let pair = |part: &str| match part.split_once('=') {
            Some((name, value)) => (name.trim().to_owned(), value.trim().to_owned()),
            None => (default.to_owned(), part.trim().to_owned()),
        };
        Self { pairs: value.split(',').filter(|part| !part.trim().is_empty()).map(pair).collect() }
    }

    /// The value of an option, which is then read.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(known, _)| known == name)?;
        Some(self.pairs.remove(at).1)
    }

    /// A yes or no, which is then read; no when it is not said.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        self.take(name).is_some_and(|value| matches!(value.as_str(), "1" | "on" | "yes" | "true"))
    }

    /// Its first option, which is then read.
    pub(super) fn first(&mut self) -> Option<(String, String)> {
        (!self.pairs.is_empty()).then(|| self.pairs.remove(0))
    }

    /// What nothing read, as it is written; none when all is read.
    pub(super) fn rest(self) -> Option<String> {
        let parts: Vec<String> =
            self.pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!parts.is_empty()).then(|| parts.join(","))
    }
}

/// A size in bytes, with `K`, `M`, `G` or `T` for powers of 1024.
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T']);
    let shift = match text.get(digits.len()..)? {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    // Fractions are read too, to a millionth of the unit.
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let millionths: u64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    let unit = 1_u128 << shift;
    let bytes = whole.parse::<u64>().ok().map(|whole| u128::from(whole) * unit)?;
    u64::try_from(bytes + u128::from(millionths) * unit / 1_000_000).ok()
}

/// A size as Proxmox writes it: in the largest unit that leaves nothing.
pub(super) fn size_text(bytes: u64) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    let whole = units.into_iter().find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    whole.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_names_or_are_the_default_one() {
        let mut options = Options::parse("local:1/a.qcow2,iothread=1,size=32G", "file");
        assert_eq!(options.take("file").as_deref(), Some("local:1/a.qcow2"));
        assert_eq!(options.take("size").as_deref(), Some("32G"));
        assert_eq!(options.rest().as_deref(), Some("iothread=1"));
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("32G"), Some(32 << 30));
        assert_eq!(size("104858K"), Some(104_858 << 10));
        assert_eq!(size("1.5G"), Some(3 << 29));
        assert_eq!(size("512"), Some(512));
        for wrong in ["", "G", "x", "-1G", "1GG", "99999999999T"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
        for bytes in [512, 1 << 20, 104_858 << 10, 3 << 30, 1 << 41] {
            assert_eq!(size(&size_text(bytes)), Some(bytes));
        }
    }
}

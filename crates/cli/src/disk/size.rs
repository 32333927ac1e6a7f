//! Sizes as people write them.

/// A number of bytes: digits, and `K`, `M`, `G`, `T` or `P` for powers of 1024 (`KiB` and `KB` mean the same). A fraction
/// is taken when whole bytes come of it: `1.5G`.
///
/// # Errors
/// What is wrong, as part of a sentence.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let digits = text.find(|character: char| !character.is_ascii_digit() && character != '.');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let shift = match unit.to_ascii_lowercase().trim_end_matches("b").trim_end_matches("i") {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return Err(format!("{unit:?} is no unit; there are K, M, G, T and P, powers of 1024")),
    };
    let wrong = || "it is not a number of bytes, such as 65536, 64K or 1.5G".to_owned();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let bytes = whole.parse::<u64>().map_err(|_| wrong())?.checked_mul(1 << shift);
    // Six digits behind the point are more than anyone writes, and keep the product within bounds.
    let part = match fraction {
        "" if !number.contains('.') => 0,
        digits if (1..=6).contains(&digits.len()) => {
            let scale = 10_u64.pow(digits.len() as u32);
            let scaled = u128::from(digits.parse::<u64>().map_err(|_| wrong())?) << shift;
            if !scaled.is_multiple_of(scale.into()) {
                return Err("it is not a whole number of bytes".to_owned());
            }
            u64::try_from(scaled / u128::from(scale)).map_err(|_| wrong())?
        }
        _ => return Err(wrong()),
    };
    let size =
        bytes.and_then(|bytes| bytes.checked_add(part)).filter(|size| *size <= image::MAX_VIRTUAL_SIZE);
    size.ok_or_else(|| "it is beyond 64 PiB".to_owned())
}

/// A new size: one by itself, or by how much the disk grows (`+1G`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NewSize {
    /// So many bytes.
    To(u64),
    /// So many bytes more.
    By(u64),
}

/// A new size.
///
/// # Errors
/// What is wrong, as part of a sentence.
pub(super) fn parse_new(text: &str) -> Result<NewSize, String> {
    match text.strip_prefix('+') {
        Some(more) => parse(more).map(NewSize::By),
        None => parse(text).map(NewSize::To),
    }
}

/// A size for people, with its exact number of bytes.
pub(super) fn both(bytes: u64) -> String {
    match bytes {
        0..1024 => crate::output::size(bytes),
        _ => format!("{} ({bytes} bytes)", crate::output::size(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("64K", 64 << 10),
            ("1m", 1 << 20),
            ("1.5G", 3 << 29),
            ("64TiB", 64 << 40),
            ("2GB", 2 << 30),
            ("64P", 64 << 50),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in
            ["", "G", "-1", "1.G", ".5G", "0.3K", "1.5", "5 G", "1X", "65P", "99999999999999999999", "1.2.3G"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_new_size_may_be_relative() {
        assert_eq!(parse_new("+1G"), Ok(NewSize::By(1 << 30)));
        assert_eq!(parse_new("1G"), Ok(NewSize::To(1 << 30)));
        assert!(parse_new("++1G").is_err());
    }

    #[test]
    fn a_size_is_printed_both_ways() {
        assert_eq!(both(65_536), "64 KiB (65536 bytes)");
        assert_eq!(both(512), "512 bytes");
    }
}

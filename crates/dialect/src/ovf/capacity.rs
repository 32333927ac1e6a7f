//! Programmatic units (DSP0004, annex C) and sizes of disks.

/// The largest disk that is believed, in bytes: 1 PiB, sixteen times what VMware allows.
pub const MAX_CAPACITY: u64 = 1 << 50;

/// A unit of bytes: `byte`, `byte * 2^20`, or one of the plain names of OVF 0.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit(u128);

impl Unit {
    /// Single bytes.
    pub const BYTE: Self = Self(1);
    /// Mebibytes.
    pub const MIB: Self = Self(1 << 20);

    /// Reads a unit of bytes; none when it is not one, or more than 2^64 bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let text: String =
            text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
        match text.as_str() {
            "kilobytes" | "kilobyte" | "kb" => return Some(Self(1 << 10)),
            "megabytes" | "megabyte" | "mb" => return Some(Self(1 << 20)),
            "gigabytes" | "gigabyte" | "gb" => return Some(Self(1 << 30)),
            "terabytes" | "terabyte" | "tb" => return Some(Self(1 << 40)),
            _ => {}
        }
        let mut factors = text.split('*');
        if !matches!(factors.next(), Some("byte" | "bytes")) {
            return None;
        }
        let mut unit: u128 = 1;
        for factor in factors {
            let value: u128 = match factor.split_once('^') {
                Some((base, exponent)) => {
                    u128::from(number(base)?).checked_pow(u32::try_from(number(exponent)?).ok()?)?
                }
                None => u128::from(number(factor)?),
            };
            unit = unit.checked_mul(value).filter(|unit| *unit <= 1 << 64)?;
        }
        (unit > 0).then_some(Self(unit))
    }

    /// So many of this unit, in bytes; never overflows, because both are below 2^64.
    pub fn bytes(self, quantity: u64) -> u128 {
        self.0.saturating_mul(u128::from(quantity))
    }
}

/// A number without a sign.
pub(super) fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_as_people_write_them() {
        let unit = |text| Unit::parse(text).map(|unit| unit.bytes(1));
        assert_eq!(unit("byte"), Some(1));
        assert_eq!(unit("byte * 2^20"), Some(1 << 20));
        assert_eq!(unit("Byte*2 ^ 30"), Some(1 << 30));
        assert_eq!(unit("byte*1024*1024"), Some(1 << 20));
        assert_eq!(unit("byte * 10^9"), Some(1_000_000_000));
        assert_eq!(unit("MegaBytes"), Some(1 << 20));
        for bad in
            ["", "hertz", "byte * 2^", "byte * -2", "byte * 2^65", "byte * 0", "byte + 1", "byte * 9^99999"]
        {
            assert_eq!(unit(bad), None, "{bad}");
        }
    }
}

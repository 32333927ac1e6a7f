//! What is random in a real installation, made from the recipe's name instead: the same guest every time, and no two
//! guests alike.

use sha2::{Digest, Sha256};

/// Sixteen bytes for one purpose of one guest's.
fn bytes(guest: &str, purpose: &str) -> [u8; 16] {
    let hash = Sha256::new().chain_update(guest).chain_update([0]).chain_update(purpose).finalize();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    bytes
}

/// A UUID of version 4 (RFC 9562), in lower case.
pub(crate) fn uuid(guest: &str, purpose: &str) -> String {
    let mut bytes = u128::from_be_bytes(bytes(guest, purpose));
    bytes = bytes & !(0xf << 76) | (0x4 << 76);
    bytes = bytes & !(0x3 << 62) | (0x2 << 62);
    let digits = format!("{bytes:032x}");
    let (first, rest) = digits.split_at(8);
    let (second, rest) = rest.split_at(4);
    let (third, rest) = rest.split_at(4);
    let (fourth, fifth) = rest.split_at(4);
    [first, second, third, fourth, fifth].join("-")
}

/// Thirty-two hexadecimal digits, as `/etc/machine-id` has them.
pub(crate) fn digits(guest: &str, purpose: &str) -> String {
    hex(&bytes(guest, purpose))
}

/// A disk signature or a FAT serial number: eight hexadecimal digits, never all zero.
pub(crate) fn serial(guest: &str, purpose: &str) -> String {
    let [first, second, third, fourth, ..] = bytes(guest, purpose);
    format!("{:08x}", u32::from_be_bytes([first, second, third, fourth]) | 1)
}

/// A MAC address behind a manufacturer's `prefix` of three bytes.
pub(crate) fn mac(guest: &str, purpose: &str, prefix: &str) -> String {
    let [first, second, third, ..] = bytes(guest, purpose);
    format!("{prefix}:{first:02x}:{second:02x}:{third:02x}")
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_states_its_version_and_variant() {
        let uuid = uuid("debian12", "root");
        assert_eq!(uuid.len(), 36);
        assert_eq!(uuid.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&uuid.as_bytes()[19]), "{uuid}");
    }

    #[test]
    fn purposes_and_guests_differ() {
        assert_eq!(serial("a", "disk"), serial("a", "disk"));
        assert_ne!(serial("a", "disk"), serial("b", "disk"));
        assert_ne!(mac("a", "1", "00:0c:29"), mac("a", "2", "00:0c:29"));
        assert_ne!(digits("ab", "c"), digits("a", "bc"));
    }
}

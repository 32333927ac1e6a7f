//! GRUB's environment block (GRUB manual, "The GRUB environment block"): variables, a line each, in a file whose size never
//! changes, for GRUB writes to it without knowing the filesystem.

/// What it begins with.
const SIGNATURE: &str = "# GRUB Environment Block\n";

/// Whether a file is one.
pub(super) fn is_one(text: &str) -> bool {
    text.starts_with(SIGNATURE)
}

/// The same variables in a block of `size` bytes; `None` when they do not fit.
pub(super) fn refit(text: &str, size: usize) -> Option<String> {
    let variables = text.trim_end_matches('#');
    let free = size.checked_sub(variables.len())?;
    Some(variables.to_string() + &"#".repeat(free))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_keeps_its_size() {
        let block = format!("{SIGNATURE}saved_entry=0\n#######");
        assert!(is_one(&block));
        let longer = block.replace("=0", "=12");
        assert_eq!(refit(&longer, block.len()), Some(format!("{SIGNATURE}saved_entry=12\n######")));
        assert_eq!(refit(&longer.replace("12", "1234567890"), block.len()), None);
    }
}

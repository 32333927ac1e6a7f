//! Words for the POSIX shell.

/// A word that is nothing but itself: as it is where nothing in it is special, else in single quotes, inside which nothing
/// is special but their end.
pub(crate) fn quoted(word: &str) -> String {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ',' | '-' | '_' | '=' | '/' | ':' | '+');
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

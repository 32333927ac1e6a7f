//! Files of a guest by a pattern.

use crate::fs::{ErrorKind, GuestFs, Result};

/// The paths that a pattern means, in order: the pattern itself, or what there is for its one `*`, which stands for the
/// middle of one name. A path without `*` need not exist.
pub(super) fn expand(fs: &mut dyn GuestFs, pattern: &str) -> Result<Vec<String>> {
    let Some((before, after)) = pattern.split_once('*') else { return Ok(vec![pattern.into()]) };
    let (directory, start) = before.rsplit_once('/').unwrap_or(("", before));
    let (end, rest) = match after.split_once('/') {
        Some((end, rest)) => (end, format!("/{rest}")),
        None => (after, String::new()),
    };
    let entries = match fs.list(if directory.is_empty() { "/" } else { directory }) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::WrongKind) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let matches =
        |name: &str| name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end);
    let mut paths: Vec<String> = entries
        .into_iter()
        .filter(|entry| matches(&entry.name) && !entry.name.starts_with('.'))
        .map(|entry| format!("{directory}/{}{rest}", entry.name))
        .collect();
    paths.sort();
    Ok(paths)
}

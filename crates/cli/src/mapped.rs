//! `--map-network` and `--map-storage`.

use crate::exit::Usage;
use anyhow::{Context as _, Result};
use migrate::mapping::{Mapping, MappingError};
use std::fs;

/// The mapping that the options make; `@FILE` stands for the lines of a file.
pub(crate) fn mapping(networks: &[String], storages: &[String]) -> Result<Mapping> {
    let mut mapping = Mapping::default();
    for text in lines(networks)? {
        mapping.map_network(&text).map_err(|error| usage("--map-network", &error))?;
    }
    for text in lines(storages)? {
        mapping.map_storage(&text).map_err(|error| usage("--map-storage", &error))?;
    }
    Ok(mapping)
}

fn usage(option: &str, error: &MappingError) -> Usage {
    Usage(format!("{option}: {error}"))
}

/// The texts themselves, and the lines of the files among them. Empty lines and those that begin with `#` say nothing.
fn lines(texts: &[String]) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for text in texts {
        match text.strip_prefix('@') {
            None => lines.push(text.clone()),
            Some(path) => {
                let file = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
                let said =
                    file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
                lines.extend(said.map(str::to_owned));
            }
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_files_are_read_alike() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "# networks\nDMZ=br1\n\n VM Network = br0 \n").unwrap();
        let from_file = mapping(&[format!("@{}", file.path().display())], &[]).unwrap();
        assert_eq!(from_file, mapping(&["DMZ=br1".into(), "VM Network=br0".into()], &[]).unwrap());
        assert!(mapping(&["DMZ".into()], &[]).unwrap_err().is::<Usage>());
    }
}

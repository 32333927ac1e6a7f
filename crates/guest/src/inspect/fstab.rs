//! `/etc/fstab` (`fstab(5)`).

use super::devices::find_volume;
use super::text::read_text;
use crate::fs::{GuestFs, Result};
use crate::volume::{Volume, VolumeId};
use serde::{Deserialize, Serialize};

/// Entries beyond this are not read.
const MAX_ENTRIES: usize = 1024;

/// A line of `/etc/fstab`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FstabEntry {
    /// The device, as it is written.
    pub device: String,
    /// Where it is mounted.
    pub at: String,
    /// The filesystem's type.
    pub filesystem: String,
    /// The options.
    pub options: Vec<String>,
    /// Which volume it is, where that is known.
    pub volume: Option<VolumeId>,
}

impl FstabEntry {
    /// Whether it becomes part of the tree without anyone asking.
    pub fn is_mounted_at_boot(&self) -> bool {
        self.at.starts_with('/') && self.at != "/" && !self.has("noauto") && self.filesystem != "swap"
    }

    /// Whether it is swap space.
    pub fn is_swap(&self) -> bool {
        self.filesystem == "swap"
    }

    /// Whether the system starts without it.
    pub fn may_fail(&self) -> bool {
        self.has("nofail") || self.has("noauto")
    }

    /// The btrfs subvolume that it names.
    pub fn subvolume(&self) -> Option<String> {
        let name = self.options.iter().find_map(|option| option.strip_prefix("subvol="))?;
        Some(name.trim_start_matches('/').to_string()).filter(|name| !name.is_empty())
    }

    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|own| own == option)
    }
}

pub(super) fn read(fs: &mut dyn GuestFs, volumes: &[Volume]) -> Result<Vec<FstabEntry>> {
    let text = read_text(fs, "/etc/fstab")?.unwrap_or_default();
    let entry = |line: &str| {
        parse(line).map(|entry| FstabEntry { volume: find_volume(&entry.device, volumes), ..entry })
    };
    Ok(text.lines().filter_map(entry).take(MAX_ENTRIES).collect())
}

fn parse(line: &str) -> Option<FstabEntry> {
    let mut fields = line.split_whitespace();
    let device = fields.next().filter(|device| !device.starts_with('#'))?;
    Some(FstabEntry {
        device: unescape(device),
        at: unescape(fields.next()?),
        filesystem: fields.next()?.into(),
        options: fields.next().unwrap_or("defaults").split(',').map(Into::into).collect(),
        volume: None,
    })
}

/// Blanks are written in octal.
fn unescape(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

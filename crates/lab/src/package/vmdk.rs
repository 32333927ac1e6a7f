//! The guest's disk in VMware's format, by `qemu-img`: the lab must not use the project's own writer for what the
//! project's reader is tested with.

use crate::error::Context as _;
use crate::tool::{command, run};
use crate::{LabError, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How far into the image its descriptor is looked for, in bytes: it starts within the first sectors.
const SEARCHED: usize = 64 * 1024;
/// The content identifier that every image is given, because qemu-img draws one by lot.
const CONTENT_ID: &str = "1ab00d12";

/// Converts a raw disk to `subformat`: `streamOptimized`, `monolithicSparse`.
pub(super) fn convert(raw: &Path, subformat: &str, vmdk: &Path) -> Result<()> {
    let options = format!("subformat={subformat},adapter_type=lsilogic,hwversion=19");
    run(command("qemu-img").args(["convert", "-f", "raw", "-O", "vmdk", "-o", &options]).arg(raw).arg(vmdk))?;
    fix_content_id(vmdk)
}

/// Makes the image the same every time: replaces the content identifier. qemu-img writes it without leading zeroes, so
/// what follows may have to move; there is room, for zeroes fill the descriptor's sectors.
fn fix_content_id(vmdk: &Path) -> Result<()> {
    const KEY: &[u8] = b"\nCID=";
    let file = File::options().read(true).write(true).open(vmdk).context("open", vmdk)?;
    let mut start = vec![0; SEARCHED];
    file.read_exact_at(&mut start, 0).context("read", vmdk)?;
    let found = start.windows(KEY.len()).position(|window| window == KEY);
    let found = found.ok_or_else(|| LabError::NoDescriptor { path: vmdk.to_owned(), searched: SEARCHED })?;
    let (before, rest) = start.split_at(found + KEY.len());
    let text = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let replaced = [CONTENT_ID.as_bytes(), &text[digits..]].concat();
    file.write_all_at(&replaced, before.len() as u64).context("write", vmdk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_of_any_length_is_replaced() {
        for digits in ["abc", "12345678"] {
            let image = tempfile::NamedTempFile::new().unwrap();
            let mut bytes =
                format!("# Disk DescriptorFile\nversion=1\nCID={digits}\nparentCID=ffffffff\n").into_bytes();
            bytes.resize(SEARCHED, 0);
            std::fs::write(image.path(), bytes).unwrap();
            fix_content_id(image.path()).unwrap();
            let fixed = String::from_utf8(std::fs::read(image.path()).unwrap()).unwrap();
            assert!(fixed.contains("\nCID=1ab00d12\nparentCID=ffffffff\n\0"), "{digits}");
        }
    }
}

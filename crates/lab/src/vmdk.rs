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
pub(crate) fn convert(raw: &Path, subformat: &str, vmdk: &Path) -> Result<()> {
    let options = format!("subformat={subformat},adapter_type=lsilogic,hwversion=19");
    run(command("qemu-img").args(["convert", "-f", "raw", "-O", "vmdk", "-o", &options]).arg(raw).arg(vmdk))?;
    fix_content_id(vmdk)
}

/// Makes the image the same every time: overwrites the eight digits of the content identifier.
fn fix_content_id(vmdk: &Path) -> Result<()> {
    const KEY: &[u8] = b"\nCID=";
    let file = File::options().read(true).write(true).open(vmdk).context("open", vmdk)?;
    let mut start = vec![0; SEARCHED];
    file.read_exact_at(&mut start, 0).context("read", vmdk)?;
    let found = start.windows(KEY.len()).position(|window| window == KEY);
    let offset = found.ok_or_else(|| LabError::NoDescriptor { path: vmdk.to_owned(), searched: SEARCHED })?;
    file.write_all_at(CONTENT_ID.as_bytes(), (offset + KEY.len()) as u64).context("write", vmdk)
}

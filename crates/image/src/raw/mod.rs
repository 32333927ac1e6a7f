//! Raw images: the bytes as the guest sees them, in a file with holes or on a block device.

mod write;

use crate::bytes::Bytes;
use crate::copy::Layout;
use crate::create::NewImage;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::layer::{Layer, LayerInfo};
use crate::open::Opening;
use crate::storage::Storage;
use std::path::Path;
use write::RawLayout;

/// The format.
pub(crate) static FORMAT: Format = Format {
    endings: &["raw", "img", "bin", "dd"],
    subformats: &["sparse", "preallocated"],
    open: Some(open),
    create: Some(create),
    resize: Some(resize),
    ..Format::unknown("raw", "a raw image", |_| true)
};

fn open(opening: Opening<'_>) -> Result<Layer> {
    let info = LayerInfo::new("raw", opening.source.size(), opening.name);
    Ok(Layer { disk: opening.source.disk, info, parent: None })
}

fn create(size: u64, name: &str, new: &NewImage) -> Result<Box<dyn Layout>> {
    new.refuse_parent()?;
    new.refuse_compression()?;
    new.refuse_cluster_size()?;
    new.refuse_data_file()?;
    let preallocate = new.subformat()? == "preallocated" || new.reserves_room();
    Ok(Box::new(RawLayout::new(size, name, preallocate)))
}

/// The file's length is the disk's size, and changes as one step.
fn resize(storage: &dyn Storage, path: &Path, size: u64) -> Result<()> {
    let failed = |source| Error::Host { operation: "resize", path: path.to_path_buf(), source };
    storage.set_len(size).and_then(|()| storage.flush()).map_err(failed)
}

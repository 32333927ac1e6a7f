//! Microsoft's VHDX ([MS-VHDX], "Virtual Hard Disk v2 (VHDX) File Format", revision 20240423), read and written.
//!
//! A file begins with its identifier, two copies of the header and two of the region table; the log, the metadata, the
//! block allocation table and the blocks are anywhere behind them, at multiples of 1 MiB. Each of them has a file here:
//! [`identifier`], [`header`], [`region`], [`log`], [`metadata`] (with [`locator`]) and [`bat`]. A log that has to be
//! replayed is replayed in memory ([`replay`]), never into the source. [`blocks`] makes a disk of it; [`write`] lays out new
//! images; [`inspect`], [`repair`] and [`resize`] look after those that are there.

mod bat;
mod blocks;
mod file;
mod header;
mod identifier;
mod inspect;
mod locator;
mod log;
mod metadata;
mod reason;
mod region;
mod repair;
mod replay;
mod resize;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod write;

pub use reason::Reason;

use crate::copy::Layout;
use crate::create::NewImage;
use crate::error::Result;
use crate::format::Format;
use crate::layer::{Layer, LayerInfo, Parent};
use crate::mapping::Mapped;
use crate::open::Opening;
use crate::source::Source;
use blocks::Blocks;
use file::File;
use header::Headers;
use metadata::Metadata;
use region::RegionTable;
use std::collections::BTreeMap;
use std::sync::Arc;
use write::VhdxLayout;

/// The format.
pub(crate) static FORMAT: Format = Format {
    endings: &["vhdx"],
    subformats: &["dynamic", "fixed"],
    open: Some(open),
    create: Some(create),
    inspect: Some(inspect::inspect),
    repair: Some(repair::repair),
    resize: Some(resize::resize),
    ..Format::unknown("vhdx", "a VHDX image", |ends| ends.has(&identifier::SIGNATURE, 0))
};

/// What leads to the blocks of an image.
struct Structure {
    headers: Headers,
    regions: RegionTable,
    metadata: Metadata,
    /// How many entries of the log have to be replayed.
    replayed: usize,
}

impl Structure {
    /// Reads the image in `source`; answers too with how the file reads when its log was replayed.
    fn read(source: Source) -> Result<(Self, Source)> {
        let headers = Headers::read(&source)?;
        let (source, replayed) = replay::replay(source, headers.current())?;
        Ok((Self::behind(&source, headers, replayed)?, source))
    }

    /// Reads what the header leads to, in a file of which `replayed` entries of the log were replayed.
    fn behind(file: &dyn File, headers: Headers, replayed: usize) -> Result<Self> {
        let regions = RegionTable::read(file)?;
        let metadata = Metadata::read(file, regions.metadata)?;
        bat::check(file, regions.bat, &metadata.geometry)?;
        Ok(Self { headers, regions, metadata, replayed })
    }

    /// What kind of disk it is.
    fn subformat(&self) -> &'static str {
        match (&self.metadata.parent, self.metadata.is_fixed) {
            (Some(_), _) => "differencing",
            (None, true) => "fixed",
            (None, false) => "dynamic",
        }
    }
}

fn create(size: u64, name: &str, new: &NewImage) -> Result<Box<dyn Layout>> {
    Ok(Box::new(VhdxLayout::new(size, name, new)?))
}

fn open(Opening { name, source, .. }: Opening<'_>) -> Result<Layer> {
    let creator = identifier::creator(&source)?;
    let (structure, source) = Structure::read(source)?;
    let geometry = structure.metadata.geometry;
    let disk = Arc::new(Mapped(Blocks::new(source, geometry, structure.regions.bat)));
    let parent = structure.metadata.parent.as_ref().map(|locator| Parent {
        names: locator.names(name),
        format: Some(&FORMAT),
        content_ids: locator.content_ids(),
    });
    let mut facts = BTreeMap::from([
        ("logical sector size", geometry.sector().to_string()),
        ("physical sector size", structure.metadata.physical_sector.to_string()),
    ]);
    if !creator.is_empty() {
        facts.insert("creator", creator);
    }
    if structure.replayed > 0 {
        facts.insert("log", format!("{} entries to be replayed", structure.replayed));
    }
    let info = LayerInfo {
        subformat: Some(structure.subformat().to_owned()),
        cluster_size: Some(geometry.block()),
        content_id: Some(structure.headers.current().content_id()),
        facts,
        ..LayerInfo::new("vhdx", geometry.size(), name)
    };
    Ok(Layer { disk, info, parent })
}

//! A disk of several files: the directory `name.hdd` by its `DiskDescriptor.xml`.

use super::Reason;
use super::allocation::AllocationTable;
use super::descriptor::{Descriptor, Image, Storage};
use super::header::{Header, MAGIC, MAGIC_EXTENDED};
use crate::bytes::Bytes;
use crate::error::{Error, Result};
use crate::gate::{Gate, foreign_base_name, sibling};
use crate::layer::{Layer, LayerInfo, Parent, SnapshotInfo};
use crate::mapping::Mapped;
use crate::open::Opening;
use crate::raw;
use crate::source::Source;
use block::{BlockRead, Concat, Layered, Window};
use std::sync::Arc;

/// Opens the disk that the descriptor in `opening` describes, in the state that is wanted.
pub(super) fn open(opening: &Opening<'_>) -> Result<Layer> {
    let Opening { gate, name, source, options } = opening;
    let fail = |reason| source.error(None, reason);
    let descriptor = Descriptor::read(source)?;
    let wanted = options.snapshot.as_ref().map(|guid| guid.to_ascii_lowercase());
    let state = wanted.unwrap_or_else(|| descriptor.top.clone());
    let chain = descriptor.chain(&state).map_err(fail)?;
    let mut files = vec![(*name).to_owned()];
    let mut parts = Vec::with_capacity(descriptor.storages.len());
    for storage in &descriptor.storages {
        let (disk, names) = open_storage(*gate, name, source, storage, &chain)?;
        parts.push(disk);
        files.extend(names);
    }
    let disk =
        Concat::new(parts).map_err(|error| Error::Read { path: source.path.clone(), source: error })?;
    let snapshot = |guid: &str| SnapshotInfo {
        id: guid.to_owned(),
        virtual_size: descriptor.size,
        ..SnapshotInfo::default()
    };
    let info = LayerInfo {
        subformat: Some("hdd".to_owned()),
        files,
        snapshots: descriptor.snapshots().map(snapshot).collect(),
        ..LayerInfo::new("parallels", descriptor.size, name)
    };
    Ok(Layer { disk: Arc::new(disk), info, parent: None })
}

/// The content of a storage in the state whose chain is given, and the names of its files.
fn open_storage(
    gate: &dyn Gate,
    name: &str,
    descriptor: &Source,
    storage: &Storage,
    chain: &[&str],
) -> Result<(Arc<dyn BlockRead>, Vec<String>)> {
    let fail = |reason| descriptor.error(None, reason);
    let length = storage.range.end - storage.range.start;
    let mut below: Option<Arc<dyn BlockRead>> = None;
    let mut files = Vec::new();
    for guid in chain.iter().rev() {
        let image = storage.image(guid).ok_or_else(|| fail(Reason::State { guid: (*guid).to_owned() }))?;
        let (own, file) = open_image(gate, name, image)?;
        files.push(file);
        below = Some(match below {
            Some(below) => Arc::new(Layered::new(own, Some(below))),
            None => own,
        });
    }
    files.reverse();
    let disk = below.ok_or_else(|| fail(Reason::DescriptorLacks { what: "Image" }))?;
    let size = disk.size();
    if size == length {
        return Ok((disk, files));
    }
    let short = |_| fail(Reason::StorageTooShort { needed: length, size });
    Ok((Arc::new(Window::new(disk, 0..length).map_err(short)?), files))
}

/// One image's own content, and its name.
fn open_image(gate: &dyn Gate, name: &str, image: &Image) -> Result<(Arc<dyn BlockRead>, String)> {
    let (source, file) = find(gate, name, image)?;
    if image.plain {
        return Ok((source.disk, file));
    }
    if !matches!(source.structure(0)?, Some(MAGIC | MAGIC_EXTENDED)) {
        return Err(source.error(Some(0), Reason::Magic));
    }
    let header = Header::read(&source)?;
    Ok((Arc::new(Mapped(AllocationTable::new(source, header))), file))
}

/// The file of an image that the descriptor `name` names. It is named by where it was, which can be another machine.
fn find(gate: &dyn Gate, name: &str, image: &Image) -> Result<(Source, String)> {
    let names = names(name, image);
    let mut first = None;
    for file in names {
        match gate.open(&file) {
            Ok(disk) => return Ok((Source { disk, path: gate.describe(&file) }, file)),
            Err(error) => first = first.or(Some(error)),
        }
    }
    let nameless = || crate::gate::GateError::new("", crate::gate::GateReason::NotAName);
    Err(first.unwrap_or_else(nameless).into())
}

fn names(name: &str, image: &Image) -> Vec<String> {
    let beside = foreign_base_name(&image.file).map(|base| sibling(name, base));
    std::iter::once(sibling(name, &image.file)).chain(beside).collect()
}

/// The image on which the one called `name` stands, when it lies in the directory of a disk that says so.
pub(super) fn parent(gate: &dyn Gate, name: &str) -> Result<Option<Parent>> {
    let xml = sibling(name, super::descriptor::NAME);
    let Ok(disk) = gate.open(&xml) else { return Ok(None) };
    let descriptor = Descriptor::read(&Source { disk, path: gate.describe(&xml) })?;
    let base = |file: &str| foreign_base_name(file).unwrap_or(file).to_owned();
    let own = base(name);
    let Some(image) = descriptor.parent_of(|file| base(file) == own) else { return Ok(None) };
    let format = if image.plain { &raw::FORMAT } else { &super::FORMAT };
    Ok(Some(Parent { names: names(&xml, image), format: Some(format), content_ids: Vec::new() }))
}

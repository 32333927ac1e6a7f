//! Opening one image: its files, its state or a snapshot of it, and what it says of itself ([`open`]).

use super::Reason;
use super::header::{
    AUTOCLEAR_RAW_DATA, CORRUPT, Compression, DIRTY, EXTERNAL_DATA, Encryption, Header, LAZY_REFCOUNTS,
    TablePlace,
};
use super::luks::Volume;
use super::snapshots::{self, Snapshot};
use super::tables::{Files, Tables};
use crate::bytes::Bytes;
use crate::error::Result;
use crate::format::{self, Format};
use crate::gate::sibling;
use crate::layer::{Layer, LayerInfo, Parent};
use crate::open::Opening;
use crate::source::Source;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Opens one image, without its parent.
pub(super) fn open(opening: Opening<'_>) -> Result<Layer> {
    let source = &opening.source;
    let header = Header::read(source)?;
    check_readable(source, &header)?;
    let (snapshots, _) = snapshots::read(source, &header)?;
    let (l1, size) = state(&opening, &header, &snapshots)?;
    let (data, data_name) = data_file(&opening, &header)?;
    let volume = (header.encryption == Encryption::Luks).then(|| {
        let place = header.extensions.encryption.clone();
        Volume::unlock(source, place, opening.options.passphrase.as_ref())
    });
    let files = Files { tables: source.clone(), data, volume: volume.transpose()? };
    let disk = Arc::new(Tables::read(files, &header, l1, size)?);
    let mut info = LayerInfo {
        subformat: Some(format!("v{}", header.version)),
        cluster_size: Some(header.geometry.cluster()),
        facts: facts(&header),
        snapshots: snapshots.into_iter().map(|snapshot| snapshot.info).collect(),
        ..LayerInfo::new("qcow2", size, opening.name)
    };
    info.files.extend(data_name);
    Ok(Layer { disk, info, parent: parent(&opening, &header)? })
}

fn check_readable(source: &Source, header: &Header) -> Result<()> {
    if header.has(CORRUPT) {
        return Err(source.error(Some(super::header::INCOMPATIBLE_OFFSET), Reason::Corrupt));
    }
    match header.encryption {
        Encryption::Aes => Err(source.error(Some(32), Reason::Encrypted { method: "AES" })),
        Encryption::None | Encryption::Luks => Ok(()),
    }
}

/// The L1 table and the disk's size of what is wanted: the present state, or a snapshot.
fn state(opening: &Opening<'_>, header: &Header, snapshots: &[Snapshot]) -> Result<(TablePlace, u64)> {
    let Some(wanted) = &opening.options.snapshot else { return Ok((header.l1, header.size)) };
    let source = &opening.source;
    let missing = || source.error(None, Reason::NoSnapshot { wanted: wanted.clone() });
    let snapshot = snapshots::find(snapshots, wanted).ok_or_else(missing)?;
    let size = snapshot.info.virtual_size;
    if size > crate::MAX_VIRTUAL_SIZE || !header.holds_l1(source, snapshot.l1, size) {
        return Err(source.error(Some(snapshot.l1.offset), Reason::L1 { entries: snapshot.l1.entries }));
    }
    Ok((snapshot.l1, size))
}

/// The file that holds the guest's data, and its name when it is not the image itself.
fn data_file(opening: &Opening<'_>, header: &Header) -> Result<(Source, Option<String>)> {
    if !header.has(EXTERNAL_DATA) {
        return Ok((opening.source.clone(), None));
    }
    let nameless = || opening.source.error(None, Reason::DataFileName);
    let reference = header.extensions.data_file.as_ref().ok_or_else(nameless)?;
    let name = sibling(opening.name, reference);
    let source = Source { disk: opening.gate.open(&name)?, path: opening.gate.describe(&name) };
    Ok((source, Some(name)))
}

fn parent(opening: &Opening<'_>, header: &Header) -> Result<Option<Parent>> {
    let Some(backing) = &header.backing else { return Ok(None) };
    let format = header.extensions.backing_format.as_deref();
    Ok(Some(Parent {
        names: vec![sibling(opening.name, backing)],
        format: format.map(|format| backing_format(&opening.source, format)).transpose()?,
        content_ids: Vec::new(),
    }))
}

fn backing_format(source: &Source, name: &str) -> Result<&'static Format> {
    format::by_name(name).ok_or_else(|| source.error(None, Reason::BackingFormat { format: name.to_owned() }))
}

/// What an image says of itself, by the names that QEMU's tools use.
fn facts(header: &Header) -> BTreeMap<&'static str, String> {
    let yes = |there: bool| there.then(|| "yes".to_owned());
    let compatibility = if header.version == 2 { "0.10" } else { "1.1" };
    let compression = match header.compression {
        Compression::Deflate => "zlib",
        Compression::Zstd => "zstd",
    };
    let raw_data = header.has(EXTERNAL_DATA) && header.features.autoclear & AUTOCLEAR_RAW_DATA != 0;
    let encryption = match header.encryption {
        Encryption::None => None,
        Encryption::Aes => Some("aes".to_owned()),
        Encryption::Luks => Some("luks".to_owned()),
    };
    let facts = [
        ("backing_file", header.backing.clone()),
        ("backing_format", header.extensions.backing_format.clone()),
        ("compatibility", Some(compatibility.to_owned())),
        ("compression", Some(compression.to_owned())),
        ("data_file", header.extensions.data_file.clone().filter(|_| header.has(EXTERNAL_DATA))),
        ("data_file_raw", yes(raw_data)),
        ("dirty", yes(header.has(DIRTY))),
        ("encryption", encryption),
        ("extended_l2", yes(header.geometry.extended_l2)),
        ("lazy_refcounts", yes(header.features.compatible & LAZY_REFCOUNTS != 0)),
        ("refcount_bits", Some((1_u32 << header.refcount_order).to_string())),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

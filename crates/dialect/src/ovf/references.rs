//! The files and the disks of a descriptor (DSP0243 2.1.1, clauses 7.1 and 9.1).

use super::capacity::{MAX_CAPACITY, Unit, number};
use super::document::{Document, attribute, children};
use super::sections::Properties;
use super::{Error, Result};
use crate::text::excerpt;
use machine::{Loss, Severity};
use roxmltree::Node;
use std::collections::BTreeSet;

/// A file of the package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReference {
    /// Its identifier in the descriptor.
    pub id: String,
    /// Its name. Untrusted: only a `Gate` may turn it into a file.
    pub href: String,
    /// Its size in bytes as it is stored, where that is declared.
    pub size: Option<u64>,
    /// Whether it is compressed with gzip.
    pub gzip: bool,
    /// The size of its pieces in bytes, when it is cut into `href.000000000`, `href.000000001`, …
    pub chunk_size: Option<u64>,
}

/// A disk that the descriptor declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualDisk {
    /// Its identifier in the descriptor.
    pub id: String,
    /// The file that holds it; none for an empty disk.
    pub file: Option<FileReference>,
    /// The disk below it, of which this one holds only the differences.
    pub parent: Option<String>,
    /// Its size in bytes, as the guest sees it; none when only the image itself says.
    pub capacity: Option<u64>,
    /// Its format as a URI, and the format's name where it is known.
    pub format: Option<String>,
}

/// The most files, and the most disks, that a package may declare: a hundred machines of sixty disks each have fewer.
const MAX_DECLARED: usize = 1 << 13;

pub(super) fn files(document: &Document, losses: &mut Vec<Loss>) -> Result<Vec<FileReference>> {
    let mut files: Vec<FileReference> = Vec::new();
    let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
    for references in children(document.root(), "References") {
        for node in children(references, "File") {
            let file = file(document, node, losses)?;
            if !ids.insert(file.id.clone()) {
                return Err(Error::Duplicate {
                    what: "file",
                    id: excerpt(&file.id, 60),
                    line: document.line(node),
                });
            }
            let what = format!("file {:?}", excerpt(&file.href, 80));
            if !names.insert(file.href.clone()) {
                let why = "two references lead to the same file";
                losses.push(Loss::dropped(Severity::Note, what, why));
            } else if file.href.contains("://") {
                let why = "it lies on another machine; only files beside the descriptor are read";
                losses.push(Loss::dropped(Severity::Warning, what, why));
            }
            document.hold(files.len(), MAX_DECLARED, "files", node)?;
            files.push(file);
        }
    }
    Ok(files)
}

fn file(document: &Document, node: Node<'_, '_>, losses: &mut Vec<Loss>) -> Result<FileReference> {
    let declared = |name| attribute(node, name).map(str::trim).filter(|text| !text.is_empty());
    let size = declared("size").and_then(|text| {
        // The file itself says how large it is; this is only compared with it.
        let size = number(text);
        if size.is_none() {
            let why =
                format!("the size {:?} is no number of bytes: the file itself decides", excerpt(text, 40));
            losses.push(Loss::dropped(
                Severity::Warning,
                format!("File on line {}", document.line(node)),
                why,
            ));
        }
        size
    });
    let chunk_size = match declared("chunkSize").map(|text| (text, number(text))) {
        None => None,
        Some((_, Some(size))) if size > 0 => Some(size),
        Some((text, _)) => {
            return Err(document.wrong(node, "the file's chunkSize", text, "a number of bytes from 1 up"));
        }
    };
    let gzip = match attribute(node, "compression").map(str::trim) {
        None | Some("" | "identity") => false,
        Some("gzip") => true,
        Some(other) => return Err(document.wrong(node, "the file's compression", other, "gzip or identity")),
    };
    let required = |name: &'static str| {
        attribute(node, name).filter(|value| !value.is_empty()).map(str::to_owned).ok_or_else(|| {
            Error::MissingAttribute { element: "File".to_owned(), attribute: name, line: document.line(node) }
        })
    };
    Ok(FileReference { id: required("id")?, href: required("href")?, size, gzip, chunk_size })
}

pub(super) fn disks(
    document: &Document,
    files: &[FileReference],
    properties: &Properties,
    losses: &mut Vec<Loss>,
) -> Result<Vec<VirtualDisk>> {
    let mut disks: Vec<VirtualDisk> = Vec::new();
    let sections =
        document.envelope_sections("DiskSection").chain(document.envelope_sections("SharedDiskSection"));
    for node in sections.flat_map(|section| section.children()) {
        if !node.is_element() || !matches!(node.tag_name().name(), "Disk" | "SharedDisk") {
            continue;
        }
        document.hold(disks.len(), MAX_DECLARED, "disks", node)?;
        let disk = disk(document, node, files, properties, losses)?;
        if disks.iter().any(|other| other.id == disk.id) {
            return Err(Error::Duplicate {
                what: "disk",
                id: excerpt(&disk.id, 60),
                line: document.line(node),
            });
        }
        disks.push(disk);
    }
    for disk in &disks {
        let Some(parent) = &disk.parent else { continue };
        if !disks.iter().any(|other| other.id == *parent && other.id != disk.id) {
            let from = format!("disk {:?}", excerpt(&disk.id, 60));
            return Err(Error::Dangling { from, what: "the parent disk", id: excerpt(parent, 60), line: 0 });
        }
    }
    Ok(disks)
}

fn disk(
    document: &Document,
    node: Node<'_, '_>,
    files: &[FileReference],
    properties: &Properties,
    losses: &mut Vec<Loss>,
) -> Result<VirtualDisk> {
    let line = document.line(node);
    let missing = |attribute| Error::MissingAttribute { element: "Disk".to_owned(), attribute, line };
    let id =
        attribute(node, "diskId").filter(|id| !id.is_empty()).ok_or_else(|| missing("diskId"))?.to_owned();
    let file = match attribute(node, "fileRef").filter(|id| !id.is_empty()) {
        None => None,
        Some(file_id) => Some(files.iter().find(|file| file.id == file_id).cloned().ok_or_else(|| {
            let from = format!("disk {:?}", excerpt(&id, 60));
            Error::Dangling { from, what: "the file", id: excerpt(file_id, 60), line }
        })?),
    };
    let capacity = capacity(document, node, &id, properties)?;
    let what = format!("disk {:?}", excerpt(&id, 60));
    match capacity {
        None if file.is_none() => return Err(missing("capacity")),
        None => losses.push(Loss::dropped(
            Severity::Note,
            what.clone(),
            "no capacity is declared: the image decides",
        )),
        Some(capacity) => populated(document, node, &id, capacity, losses)?,
    }
    if attribute(node, "format").is_none() {
        losses.push(Loss::dropped(Severity::Note, what, "no format is declared: the image decides"));
    }
    let parent = attribute(node, "parentRef").filter(|id| !id.is_empty()).map(str::to_owned);
    let format = attribute(node, "format").map(str::to_owned);
    Ok(VirtualDisk { id, file, parent, capacity, format })
}

fn capacity(
    document: &Document,
    node: Node<'_, '_>,
    id: &str,
    properties: &Properties,
) -> Result<Option<u64>> {
    let Some(text) = attribute(node, "capacity").map(str::trim) else { return Ok(None) };
    let unit = match attribute(node, "capacityAllocationUnits").map(str::trim) {
        None | Some("") => Unit::BYTE,
        Some(text) => Unit::parse(text).ok_or_else(|| {
            document.wrong(
                node,
                "the disk's capacityAllocationUnits",
                text,
                "a unit of bytes such as byte * 2^30",
            )
        })?,
    };
    let resolved = properties.resolve(text);
    let quantity = number(resolved.trim())
        .filter(|_| !resolved.trim().is_empty())
        .ok_or_else(|| document.wrong(node, "the disk's capacity", &resolved, "a number from 0 up"))?;
    let bytes = unit.bytes(quantity);
    match u64::try_from(bytes) {
        Ok(bytes) if bytes <= MAX_CAPACITY => Ok(Some(bytes)),
        _ => Err(Error::AbsurdCapacity {
            disk: excerpt(id, 60),
            capacity: bytes,
            limit: MAX_CAPACITY,
            line: document.line(node),
        }),
    }
}

/// The declared size of the data inside is checked for sense; nothing else depends on it.
fn populated(
    document: &Document,
    node: Node<'_, '_>,
    id: &str,
    capacity: u64,
    losses: &mut Vec<Loss>,
) -> Result<()> {
    let Some(text) = attribute(node, "populatedSize").map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(());
    };
    if text == "-1" {
        return Ok(());
    }
    let size = number(text)
        .ok_or_else(|| document.wrong(node, "the disk's populatedSize", text, "a number of bytes"))?;
    if size > capacity {
        let why =
            format!("{size} bytes of data are declared for a disk of {capacity}: the disk itself decides");
        losses.push(Loss::dropped(Severity::Note, format!("{}.populatedSize", excerpt(id, 60)), why));
    }
    Ok(())
}

impl VirtualDisk {
    /// The name of the disk's format, where its URI is known. A raw one is left to probing: it may be in a gzip stream.
    pub fn format_name(&self) -> Option<&'static str> {
        let uri = self.format.as_deref()?.to_ascii_lowercase();
        // QEMU, oVirt and VirtualBox invented URIs of their own; what they have in common is the word.
        ["vmdk", "qcow2", "vhdx", "vhd", "vdi"].into_iter().find(|name| uri.contains(name))
    }
}

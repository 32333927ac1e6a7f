//! `DiskDescriptor.xml`: which files a disk's directory (`name.hdd`) is made of, and which stands on which.
//!
//! No specification is public; this follows what Parallels Desktop and Virtuozzo write. The disk is cut into storages,
//! nearly always one; each storage has one image for every snapshot and one for the present state.

use super::Reason;
use super::header::SECTOR;
use crate::bytes::Bytes;
use crate::error::Result;
use crate::source::Source;
use roxmltree::{Document, Node};
use std::ops::Range;

/// What the descriptor's file is called.
pub(crate) const NAME: &str = "DiskDescriptor.xml";
/// The root element.
const ROOT: &str = "Parallels_disk_image";
/// The longest descriptor that is read, in bytes.
const MAX_BYTES: u64 = 4 << 20;
/// The most storages and images a storage that are believed.
const MAX_ENTRIES: usize = 4096;
/// No snapshot: the parent of the first image.
const NONE: &str = "{00000000-0000-0000-0000-000000000000}";
/// What the present state is called when the descriptor does not say.
const PRESENT: &str = "{5fbaabe3-6958-40ff-92a7-860e329aab41}";

/// Whether a file that begins with `head` is a descriptor.
pub(super) fn is_descriptor(head: &[u8]) -> bool {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    text.starts_with(b"<?xml") && text.windows(ROOT.len()).any(|window| window == ROOT.as_bytes())
}

/// A disk of one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Descriptor {
    /// The disk's size in bytes.
    pub(super) size: u64,
    /// The parts of the disk, in its order and without a gap.
    pub(super) storages: Vec<Storage>,
    /// The identifiers of all states, each with its parent's.
    shots: Vec<Shot>,
    /// The identifier of the present state.
    pub(super) top: String,
}

/// A part of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Storage {
    /// Which bytes of the disk.
    pub(super) range: Range<u64>,
    images: Vec<Image>,
}

/// A file that holds what a storage was in one state, or what changed since the state before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    guid: String,
    /// Its file as the descriptor names it.
    pub(super) file: String,
    /// Whether the file is the content as it is, without a header.
    pub(super) plain: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Shot {
    guid: String,
    parent: String,
}

impl Descriptor {
    /// Reads the descriptor in `source`.
    pub(super) fn read(source: &Source) -> Result<Self> {
        let fail = |reason| source.error(None, reason);
        if source.size() > MAX_BYTES {
            return Err(fail(Reason::DescriptorSize { bytes: source.size() }));
        }
        let bytes = source.bytes(0, source.size())?;
        let text = std::str::from_utf8(&bytes).map_err(|_| fail(Reason::DescriptorText))?;
        Self::parse(text.trim_start_matches('\u{feff}')).map_err(fail)
    }

    fn parse(text: &str) -> Result<Self, Reason> {
        let document = Document::parse(text.trim_start())
            .map_err(|error| Reason::DescriptorXml { what: error.to_string() })?;
        let root = document.root_element();
        if root.tag_name().name() != ROOT {
            return Err(Reason::DescriptorLacks { what: ROOT });
        }
        let parameters = child(root, "Disk_Parameters")?;
        if let Some(engine) = parameters.descendants().find(|node| node.has_tag_name("Engine"))
            && !matches!(value(engine), "" | NONE)
        {
            return Err(Reason::Encrypted);
        }
        let size = sectors(parameters, "Disk_size")?;
        let storages = elements(child(root, "StorageData")?, "Storage").map(Storage::parse);
        let storages = storages.collect::<Result<Vec<_>, _>>()?;
        let snapshots = child(root, "Snapshots").ok();
        let shots: Vec<Shot> = snapshots
            .into_iter()
            .flat_map(|node| elements(node, "Shot"))
            .map(Shot::parse)
            .collect::<Result<_, _>>()?;
        let named = snapshots.and_then(|node| child(node, "TopGUID").ok()).map(value);
        let top = top(named, &shots, &storages)?;
        let descriptor = Self { size, storages, shots, top };
        descriptor.check()?;
        Ok(descriptor)
    }

    /// The storages cover the disk.
    fn check(&self) -> Result<(), Reason> {
        let mut end = 0;
        for storage in &self.storages {
            if storage.range.start != end || storage.range.is_empty() {
                return Err(Reason::StorageGap { at: end });
            }
            end = storage.range.end;
        }
        if end != self.size || self.storages.is_empty() {
            return Err(Reason::StorageGap { at: end });
        }
        Ok(())
    }

    /// The identifiers of the states that are not the present one.
    pub(super) fn snapshots(&self) -> impl Iterator<Item = &str> {
        self.shots.iter().map(|shot| shot.guid.as_str()).filter(|guid| *guid != self.top)
    }

    /// The identifiers of a state and of all below it, the state itself first.
    pub(super) fn chain(&self, state: &str) -> Result<Vec<&str>, Reason> {
        let missing = || Reason::State { guid: state.to_owned() };
        let Some(first) = self.shots.iter().find(|shot| shot.guid == state) else {
            // Without snapshots there need be no list of them.
            let present = self.shots.is_empty() && self.top == state;
            return if present { Ok(vec![&self.top]) } else { Err(missing()) };
        };
        let mut chain = vec![first.guid.as_str()];
        let mut next = &first.parent;
        while next != NONE {
            let shot = self.shots.iter().find(|shot| shot.guid == *next).ok_or_else(missing)?;
            if chain.len() == crate::MAX_CHAIN || chain.contains(&shot.guid.as_str()) {
                return Err(Reason::StateLoop);
            }
            chain.push(&shot.guid);
            next = &shot.parent;
        }
        Ok(chain)
    }

    /// The image on which the one in the file `is` says stands.
    pub(super) fn parent_of(&self, is: impl Fn(&str) -> bool) -> Option<&Image> {
        let storage =
            self.storages.iter().find(|storage| storage.images.iter().any(|image| is(&image.file)))?;
        let image = storage.images.iter().find(|image| is(&image.file))?;
        let parent = &self.shots.iter().find(|shot| shot.guid == image.guid)?.parent;
        storage.image(parent)
    }
}

impl Storage {
    fn parse(node: Node<'_, '_>) -> Result<Self, Reason> {
        let range = sectors(node, "Start")?..sectors(node, "End")?;
        let images = elements(node, "Image").map(Image::parse).collect::<Result<_, _>>()?;
        Ok(Self { range, images })
    }

    /// The image of a state.
    pub(super) fn image(&self, guid: &str) -> Option<&Image> {
        self.images.iter().find(|image| image.guid == guid)
    }
}

impl Image {
    fn parse(node: Node<'_, '_>) -> Result<Self, Reason> {
        let plain = match value(child(node, "Type")?) {
            "Plain" => true,
            "Compressed" => false,
            other => return Err(Reason::ImageType { kind: other.to_owned() }),
        };
        let file = value(child(node, "File")?).to_owned();
        Ok(Self { guid: guid(node, "GUID")?, file, plain })
    }
}

impl Shot {
    fn parse(node: Node<'_, '_>) -> Result<Self, Reason> {
        Ok(Self { guid: guid(node, "GUID")?, parent: guid(node, "ParentGUID")? })
    }
}

/// The identifier of the present state: the one that is `named`, the usual one, or the only one there is.
fn top(named: Option<&str>, shots: &[Shot], storages: &[Storage]) -> Result<String, Reason> {
    let images = || storages.iter().flat_map(|storage| &storage.images);
    if let Some(named) = named {
        return Ok(named.to_ascii_lowercase());
    }
    if images().any(|image| image.guid == PRESENT) {
        return Ok(PRESENT.to_owned());
    }
    let mut leaves = shots.iter().filter(|shot| shots.iter().all(|other| other.parent != shot.guid));
    match (leaves.next(), leaves.next()) {
        (Some(only), None) => Ok(only.guid.clone()),
        _ => Err(Reason::DescriptorLacks { what: "TopGUID" }),
    }
}

fn elements<'a, 'input: 'a>(
    node: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |node| node.has_tag_name(name)).take(MAX_ENTRIES)
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &'static str) -> Result<Node<'a, 'input>, Reason> {
    node.children().find(|node| node.has_tag_name(name)).ok_or(Reason::DescriptorLacks { what: name })
}

fn value<'a>(node: Node<'a, '_>) -> &'a str {
    node.text().unwrap_or_default().trim()
}

/// An identifier in its braces, in lower case.
fn guid(node: Node<'_, '_>, name: &'static str) -> Result<String, Reason> {
    Ok(value(child(node, name)?).to_ascii_lowercase())
}

/// A number of sectors, in bytes.
fn sectors(node: Node<'_, '_>, name: &'static str) -> Result<u64, Reason> {
    let number: u64 =
        value(child(node, name)?).parse().map_err(|_| Reason::DescriptorLacks { what: name })?;
    let bytes = number.checked_mul(SECTOR).filter(|bytes| *bytes <= crate::MAX_VIRTUAL_SIZE);
    bytes.ok_or(Reason::Size { sectors: number })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "{aaaaaaaa-0000-0000-0000-000000000000}";
    const B: &str = "{bbbbbbbb-0000-0000-0000-000000000000}";

    fn xml(storages: &str, snapshots: &str) -> String {
        format!(
            "<?xml version='1.0' encoding='UTF-8'?>\n<Parallels_disk_image Version=\"1.0\"><Disk_Parameters>\
             <Disk_size>20</Disk_size></Disk_Parameters><StorageData>{storages}</StorageData>\
             <Snapshots>{snapshots}</Snapshots></Parallels_disk_image>"
        )
    }

    fn storage(start: u32, end: u32, guids: &[&str]) -> String {
        let image = |guid: &&str| {
            format!("<Image><GUID>{guid}</GUID><Type>Compressed</Type><File>{start}{guid}.hds</File></Image>")
        };
        let images: String = guids.iter().map(image).collect();
        format!(
            "<Storage><Start>{start}</Start><End>{end}</End><Blocksize>2048</Blocksize>{images}</Storage>"
        )
    }

    fn shot(guid: &str, parent: &str) -> String {
        format!("<Shot><GUID>{guid}</GUID><ParentGUID>{parent}</ParentGUID></Shot>")
    }

    #[test]
    fn storages_in_a_row_and_snapshots_in_a_chain() {
        let storages = storage(0, 8, &[A, B]) + &storage(8, 20, &[A, B]);
        let text = xml(&storages, &(shot(A, NONE) + &shot(&B.to_uppercase(), A)));
        assert!(is_descriptor(text.as_bytes()));
        let descriptor = Descriptor::parse(&text).unwrap();
        assert_eq!((descriptor.size, descriptor.top.as_str()), (20 * 512, B));
        assert_eq!(descriptor.chain(B).unwrap(), [B, A]);
        assert_eq!(descriptor.snapshots().collect::<Vec<_>>(), [A]);
        let parent = descriptor.parent_of(|file| file == format!("8{B}.hds")).unwrap();
        assert_eq!(parent.file, format!("8{A}.hds"));
        assert!(descriptor.parent_of(|file| file == format!("8{A}.hds")).is_none());
    }

    #[test]
    fn the_present_state_is_the_named_the_usual_or_the_only_one() {
        let of = |guids: &[&str], shots: &str| Descriptor::parse(&xml(&storage(0, 20, guids), shots));
        let named = format!("<TopGUID>{A}</TopGUID>{}{}", shot(A, NONE), shot(B, NONE));
        assert_eq!(of(&[A, B], &named).unwrap().top, A);
        assert_eq!(of(&[A, PRESENT], "").unwrap().top, PRESENT);
        let forked = shot(A, NONE) + &shot(B, NONE);
        assert_eq!(of(&[A, B], &forked).unwrap_err(), Reason::DescriptorLacks { what: "TopGUID" });
    }

    #[test]
    fn descriptors_that_make_no_sense() {
        let fails = |text: &str| Descriptor::parse(text).unwrap_err();
        let loops =
            Descriptor::parse(&xml(&storage(0, 20, &[A, B]), &(shot(A, B) + &shot(B, A) + "<TopGUID/>")));
        assert!(loops.unwrap().chain(A).is_err());
        assert_eq!(fails(&xml(&storage(0, 8, &[PRESENT]), "")), Reason::StorageGap { at: 8 * 512 });
        assert_eq!(fails(&xml(&storage(1, 20, &[PRESENT]), "")), Reason::StorageGap { at: 0 });
        assert!(matches!(fails("<?xml version='1.0'?><a/>"), Reason::DescriptorLacks { .. }));
        assert!(matches!(fails("<?xml"), Reason::DescriptorXml { .. }));
        let encrypted = xml(&storage(0, 20, &[PRESENT]), "").replace(
            "</Disk_Parameters>",
            &format!("<Encryption><Engine>{A}</Engine></Encryption></Disk_Parameters>"),
        );
        assert_eq!(fails(&encrypted), Reason::Encrypted);
    }
}

//! The media registry: which file a medium's identifier stands for.

use super::document::{Settings, child, children, uuid};
use super::{Error, Result};
use machine::{Loss, Severity};
use roxmltree::Node;
use std::collections::BTreeMap;
use uuid::Uuid;

/// The deepest chain of images that is read.
const MAX_DEPTH: usize = 256;

/// A medium.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Medium {
    /// Its file, as the registry names it.
    pub(super) location: String,
    /// Its format, by VirtualBox's name; images in drives have none.
    pub(super) format: Option<String>,
    /// The type of the chain that it is in: `Normal`, `Writethrough`, `Shareable`, ….
    pub(super) kind: String,
}

/// The media that the machine's file registers, by identifier.
#[derive(Debug, Default)]
pub(super) struct Media {
    by_uuid: BTreeMap<Uuid, Medium>,
}

impl Media {
    /// Reads the registry.
    pub(super) fn read(settings: &Settings<'_>, losses: &mut Vec<Loss>) -> Result<Self> {
        let mut media = Self::default();
        let Some(registry) = child(settings.machine, "MediaRegistry") else { return Ok(media) };
        for list in ["DVDImages", "FloppyImages"] {
            for image in child(registry, list).into_iter().flat_map(|list| children(list, "Image")) {
                media.add(settings, image, "Readonly")?;
            }
        }
        let disks = child(registry, "HardDisks").into_iter().flat_map(|list| children(list, "HardDisk"));
        // The tree is as deep as whoever wrote the file liked: no recursion.
        let mut open: Vec<(Node, String, usize)> =
            disks.map(|disk| (disk, disk.attribute("type").unwrap_or("Normal").to_owned(), 1)).collect();
        while let Some((disk, kind, depth)) = open.pop() {
            media.add(settings, disk, &kind)?;
            for below in children(disk, "HardDisk") {
                if depth == MAX_DEPTH {
                    let why = format!("chains of more than {MAX_DEPTH} images are not read");
                    losses.push(Loss::dropped(Severity::Warning, "MediaRegistry/HardDisks", why));
                    continue;
                }
                open.push((below, kind.clone(), depth + 1));
            }
        }
        Ok(media)
    }

    fn add(&mut self, settings: &Settings<'_>, node: Node, kind: &str) -> Result<()> {
        let location = node.attribute("location").unwrap_or_default().to_owned();
        if children(node, "Property").any(|property| property.attribute("name") == Some("CRYPT/KeyId")) {
            return Err(Error::EncryptedDisk { location: crate::text::excerpt(&location, 80) });
        }
        let Some(id) = uuid(node, "uuid") else {
            return Err(settings.wrong(node, "uuid", "an identifier in braces"));
        };
        let format = node.attribute("format").map(str::to_owned);
        let medium = Medium { location, format, kind: kind.to_owned() };
        match self.by_uuid.insert(id, medium) {
            None => Ok(()),
            Some(_) => Err(Error::Duplicate { uuid: id, line: settings.line(node) }),
        }
    }

    /// The medium with that identifier.
    pub(super) fn find(&self, id: Uuid) -> Option<&Medium> {
        self.by_uuid.get(&id)
    }
}

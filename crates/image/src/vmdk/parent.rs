//! Where the parent of a delta is: VMware's products record a name, VirtualBox records the parent's identifier alone.

use super::descriptor::{self, Descriptor};
use super::header::{self, Geometry};
use super::open::read_descriptor;
use super::reason::Reason;
use crate::bytes::Bytes;
use crate::error::{Error, Result};
use crate::gate::{Gate, foreign_base_name, sibling};
use crate::layer::Parent;
use crate::source::Source;
use crate::virtualbox;
use uuid::Uuid;

/// The parent of the delta `name` in `source`; none of a disk that has none.
///
/// A name comes with the parent's content ID, which shows that the file of that name is the one. VirtualBox leaves the
/// fields of VMware's empty (`parentCID=ffffffff`) and writes `ddb.uuid.parent`, which is null in a disk without a parent.
///
/// # Errors
/// [`Reason::ParentMissing`] when only its identifier is known, and no VMDK beside the delta, above it or in VirtualBox's
/// directory for snapshots has it; [`Error::ParentChanged`] when that one was written since.
pub(super) fn find(
    gate: &dyn Gate,
    name: &str,
    source: &Source,
    descriptor: &Descriptor,
) -> Result<Option<Parent>> {
    match (descriptor.parent_cid, &descriptor.parent_hint, descriptor.parent_identifier) {
        (Some(expected), Some(hint), _) => {
            // The hint is where the parent was when the delta was made, which is often another machine. The same file
            // name beside the delta is tried next.
            let beside = foreign_base_name(hint).map(|base| sibling(name, base));
            let names = std::iter::once(sibling(name, hint)).chain(beside).collect();
            Ok(Some(Parent { names, format: None, content_ids: vec![format!("{expected:08x}")] }))
        }
        (_, _, Some(wanted)) => by_identifier(gate, name, source, descriptor, wanted).map(Some),
        (Some(_), None, None) => {
            Err(source.error(None, Reason::DescriptorLacks { what: "parentFileNameHint" }))
        }
        (None, _, None) => Ok(None),
    }
}

fn by_identifier(
    gate: &dyn Gate,
    name: &str,
    source: &Source,
    descriptor: &Descriptor,
    wanted: Uuid,
) -> Result<Parent> {
    let mut candidates = virtualbox::parents(gate, name, ".vmdk").into_iter();
    let found = candidates.find_map(|file| {
        read(gate, &file).filter(|found| found.identifier == Some(wanted)).map(|found| (file, found))
    });
    let (file, found) = found.ok_or_else(|| source.error(None, Reason::ParentMissing { uuid: wanted }))?;
    match (descriptor.parent_modification, found.modification) {
        (Some(expected), Some(actual)) if expected != actual => Err(Error::ParentChanged {
            path: source.path.clone(),
            parent: file,
            found: actual.to_string(),
            expected: expected.to_string(),
        }),
        _ => Ok(Parent { names: vec![file], format: None, content_ids: Vec::new() }),
    }
}

/// The descriptor of the VMDK `name`; `None` when it is none.
fn read(gate: &dyn Gate, name: &str) -> Option<Descriptor> {
    let source = Source { disk: gate.open(name).ok()?, path: gate.describe(name) };
    let (offset, length) = match source.structure::<[u8; 4]>(0).ok()?? {
        header::SPARSE_MAGIC => Geometry::hosted(&source, 0).ok()?.descriptor?,
        _ => (0, source.size()),
    };
    let head = source.bytes(offset, length.min(512)).ok()?;
    descriptor::is_descriptor(&head).then(|| read_descriptor(&source, offset, length).ok())?
}

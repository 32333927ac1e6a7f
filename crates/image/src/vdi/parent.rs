//! Finding the parent of a differencing image, which records no name but the parent's identifiers.

use super::Reason;
use super::header::{Header, MAGIC, MAGIC_OFFSET};
use crate::bytes::Bytes;
use crate::error::Result;
use crate::gate::Gate;
use crate::layer::Parent;
use crate::source::Source;
use crate::virtualbox;
use uuid::Uuid;

/// Where the parent of the image `name` in `source` is.
///
/// # Errors
/// [`Reason::ParentMissing`] when no VDI beside the image, above it or in VirtualBox's directory for snapshots has
/// the parent's identifier; [`Reason::ParentUnnamed`].
pub(super) fn find(gate: &dyn Gate, name: &str, source: &Source, header: &Header) -> Result<Parent> {
    let uuid = header.parent_creation;
    if uuid.is_nil() {
        return Err(source.error(Some(0x1a8), Reason::ParentUnnamed));
    }
    let candidates = virtualbox::parents(gate, name, ".vdi");
    let found = candidates.into_iter().find(|file| identifier(gate, file) == Some(uuid));
    let found = found.ok_or_else(|| source.error(Some(0x1a8), Reason::ParentMissing { uuid }))?;
    // It is null until the parent is written for the first time.
    let modification = header.parent_modification;
    let content_ids = if modification.is_nil() { Vec::new() } else { vec![modification.to_string()] };
    Ok(Parent { names: vec![found], format: Some(&super::FORMAT), content_ids })
}

/// The creation identifier of the VDI `name`; `None` when it is none.
fn identifier(gate: &dyn Gate, name: &str) -> Option<Uuid> {
    let source = Source { disk: gate.open(name).ok()?, path: gate.describe(name) };
    let magic = source.structure::<[u8; 4]>(MAGIC_OFFSET as u64).ok()??;
    (magic == MAGIC.to_le_bytes()).then_some(())?;
    Header::read(&source).ok().map(|(_, header)| header.creation)
}

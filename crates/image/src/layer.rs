//! One image of a backing chain, as a format opens it: [`Layer`].

use crate::format::Format;
use block::BlockRead;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One opened image, not yet joined with its parent.
pub(crate) struct Layer {
    /// Its own data; what it does not hold is absent.
    pub(crate) disk: Arc<dyn BlockRead>,
    pub(crate) info: LayerInfo,
    pub(crate) parent: Option<Parent>,
}

/// Where a layer says that its parent is.
#[derive(Default)]
pub(crate) struct Parent {
    /// Names from the gate's root, tried in this order. The parent is often recorded by where it was on another
    /// machine: a format adds the same file name beside the layer.
    pub(crate) names: Vec<String>,
    /// The format that the layer says it has; it is probed when the layer says nothing.
    pub(crate) format: Option<&'static Format>,
    /// The [content IDs](LayerInfo::content_id) of which the parent must have one; empty when any will do.
    pub(crate) content_ids: Vec<String>,
}

/// What is known of one image of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LayerInfo {
    /// The format's name: `vmdk`, `qcow2`, `raw`.
    pub format: &'static str,
    /// The variant, as the image itself calls it: `streamOptimized`, `v3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subformat: Option<String>,
    /// The size of the layer's disk in bytes.
    pub virtual_size: u64,
    /// Its files as the gate calls them; the first is the one that was opened by name.
    pub files: Vec<String>,
    /// What a child records of its parent, in lower case: the content ID of a VMDK, the unique ID of a VHD, the data
    /// write GUID of a VHDX, the modification UUID of a VDI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_id: Option<String>,
    /// The unit in which the format keeps data (cluster, block or grain), in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_size: Option<u64>,
    /// The internal snapshots.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SnapshotInfo>,
    /// What else the format says of itself, for people: `creator`, `compression`, `dirty`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<&'static str, String>,
}

/// An internal snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SnapshotInfo {
    /// Its identifier within the image.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The size of the disk then, in bytes.
    pub virtual_size: u64,
    /// When it was taken, in seconds since 1970, UTC.
    pub seconds: u64,
    /// How many bytes of the machine's state were saved with it.
    pub state_bytes: u64,
}

impl LayerInfo {
    /// What is known of every image: its format, the size of its disk in bytes, and its one file.
    pub(crate) fn new(format: &'static str, virtual_size: u64, name: &str) -> Self {
        Self { format, virtual_size, files: vec![name.to_owned()], ..Self::default() }
    }
}

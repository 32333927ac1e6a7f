//! One image of a backing chain, as a format opens it: [`Layer`].

use crate::format::Format;
use block::BlockRead;
use serde::Serialize;
use std::sync::Arc;

/// One opened image, not yet joined with its parent.
pub(crate) struct Layer {
    /// Its own data; what it does not hold is absent.
    pub(crate) disk: Arc<dyn BlockRead>,
    pub(crate) info: LayerInfo,
    pub(crate) parent: Option<Parent>,
}

/// Where a layer says that its parent is.
pub(crate) struct Parent {
    /// From the gate's root.
    pub(crate) name: String,
    /// Where to look when nothing can be opened by that name.
    pub(crate) beside: Option<String>,
    /// The format that the layer says it has; it is probed when the layer says nothing.
    pub(crate) format: Option<&'static Format>,
    /// The content ID that the parent must have (VMDK).
    pub(crate) content_id: Option<u32>,
}

/// What is known of one image of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    /// What changes when the image is written: the content ID of a VMDK.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_id: Option<String>,
}

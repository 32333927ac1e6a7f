//! One file of an image, with the name that messages call it by: [`Source`].

use block::BlockRead;
use std::path::PathBuf;
use std::sync::Arc;

/// One file of an image.
#[derive(Clone)]
pub(crate) struct Source {
    /// Its bytes.
    pub(crate) disk: Arc<dyn BlockRead>,
    /// What messages call it.
    pub(crate) path: PathBuf,
}

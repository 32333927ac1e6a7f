//! Telling somebody how a migration goes.

use image::copy::Progress;

/// Whoever is told how a migration goes.
pub trait Reporter: Send + Sync {
    /// Something begins that may last; `text` says what, as a sentence without its full stop.
    fn begin(&self, text: &str);

    /// Something with a known length begins. Dropping the answer ends it.
    fn measured(&self, text: &str) -> Box<dyn Progress>;
}

/// Nobody.
pub struct Silent;

impl Reporter for Silent {
    fn begin(&self, _: &str) {}

    fn measured(&self, _: &str) -> Box<dyn Progress> {
        Box::new(image::copy::NoProgress)
    }
}

//! How long each part of a run took.

use serde::{Deserialize, Serialize};
use std::time::Instant;

/// The parts of a run with their wall-clock times, in the order in which they ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timeline(Vec<Part>);

/// A part of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What was done.
    pub part: String,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl Timeline {
    /// Runs `work` and notes how long it took.
    pub fn time<T>(&mut self, part: &str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        self.0.push(Part {
            part: part.into(),
            seconds: (start.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        });
        done
    }

    /// The parts, in the order in which they ended.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }
}

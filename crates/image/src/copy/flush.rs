//! Putting on the disk, in the background, what was written: [`Flush`].

use super::turn::lock;
use std::sync::{Condvar, Mutex, PoisonError};

/// Asks the thread that flushes for its work.
#[derive(Default)]
pub(super) struct Flush {
    state: Mutex<FlushState>,
    changed: Condvar,
}

#[derive(Default)]
struct FlushState {
    wanted: bool,
    ended: bool,
}

impl Flush {
    /// There is enough to flush.
    pub(super) fn request(&self) {
        lock(&self.state).wanted = true;
        self.changed.notify_all();
    }

    /// There will be no more.
    pub(super) fn end(&self) {
        lock(&self.state).ended = true;
        self.changed.notify_all();
    }

    /// Waits for a request; `false` when there will be none.
    pub(super) fn wait(&self) -> bool {
        let idle = |state: &mut FlushState| !state.wanted && !state.ended;
        let state = lock(&self.state);
        let mut state = self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        state.wanted = false;
        !state.ended
    }
}

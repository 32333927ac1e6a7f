//! How much one connection may have in flight: requests wait here for a worker, and bytes for room.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many bytes of payload and read replies one connection may hold. At least one request of the greatest length
/// fits.
const MAX_BYTES: u64 = 64 << 20;
/// How many requests of one connection may wait.
const MAX_WAITING: usize = 64;

/// A queue from the thread that reads requests to the workers that serve them, bounded in requests and bytes.
pub(super) struct Budget<J> {
    state: Mutex<State<J>>,
    /// Something is queued, or the queue is closed.
    work: Condvar,
    /// There may be room again.
    room: Condvar,
}

struct State<J> {
    queue: VecDeque<J>,
    bytes: u64,
    /// How many workers wait for something to do.
    idle: usize,
    closed: bool,
}

impl<J> Budget<J> {
    pub(super) fn new() -> Self {
        let state = State { queue: VecDeque::new(), bytes: 0, idle: 0, closed: false };
        Self { state: Mutex::new(state), work: Condvar::new(), room: Condvar::new() }
    }

    /// Waits until `bytes` more may be held, or the queue is closed, and holds them.
    pub(super) fn hold(&self, bytes: u64) {
        let mut state = self.state();
        while !state.closed
            && (state.queue.len() >= MAX_WAITING || (state.bytes > 0 && state.bytes + bytes > MAX_BYTES))
        {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.bytes += bytes;
    }

    /// Queues a job. Returns whether no idle worker is left for it.
    pub(super) fn push(&self, job: J) -> bool {
        let mut state = self.state();
        state.queue.push_back(job);
        self.work.notify_one();
        state.queue.len() > state.idle
    }

    /// Makes the caller answer for bytes that are held: they are held no longer when the answer is dropped.
    pub(super) fn held(&self, bytes: u64) -> Held<'_, J> {
        Held { budget: self, bytes }
    }

    /// The next job, once there is one; `None` when the queue is closed and empty.
    pub(super) fn pop(&self) -> Option<J> {
        let mut state = self.state();
        state.idle += 1;
        while state.queue.is_empty() && !state.closed {
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.idle -= 1;
        let job = state.queue.pop_front();
        drop(state);
        self.room.notify_one();
        job
    }

    /// Says that no more jobs come.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.work.notify_all();
        self.room.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that are held until this is dropped.
pub(super) struct Held<'a, J> {
    budget: &'a Budget<J>,
    bytes: u64,
}

impl<J> Drop for Held<'_, J> {
    fn drop(&mut self) {
        self.budget.state().bytes -= self.bytes;
        self.budget.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_queued_is_served_before_the_end() {
        let budget = Budget::new();
        assert!(budget.push(1), "nobody is idle yet");
        budget.push(2);
        budget.close();
        assert_eq!((budget.pop(), budget.pop(), budget.pop()), (Some(1), Some(2), None));
    }

    #[test]
    fn bytes_wait_for_room() {
        let budget = Budget::<()>::new();
        budget.hold(MAX_BYTES);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| budget.hold(1));
            drop(budget.held(MAX_BYTES));
            waiting.join().unwrap();
        });
        assert_eq!(budget.state().bytes, 1);
    }
}

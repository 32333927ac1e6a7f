//! Work that is done by many and finished in order: [`Turn`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Lets workers pass one by one in the order of their numbers.
#[derive(Default)]
pub(super) struct Turn {
    next: Mutex<u64>,
    changed: Condvar,
    stopped: AtomicBool,
}

impl Turn {
    /// Waits until every piece before `number` has passed, then runs `pass`; `None` when everything has stopped.
    pub(super) fn take<T>(&self, number: u64, pass: impl FnOnce() -> T) -> Option<T> {
        let next = lock(&self.next);
        let waiting = |next: &mut u64| *next != number && !self.is_stopped();
        let mut next = self.changed.wait_while(next, waiting).unwrap_or_else(PoisonError::into_inner);
        if self.is_stopped() {
            return None;
        }
        let result = pass();
        *next += 1;
        drop(next);
        self.changed.notify_all();
        Some(result)
    }

    /// Lets nobody pass any more.
    pub(super) fn stop(&self) {
        let _next = lock(&self.next);
        self.stopped.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Runs `work`; a panic in it stops everything, since others would wait for its turn for ever.
    pub(super) fn guard<T>(&self, work: impl FnOnce() -> T) -> T {
        let stop = StopOnPanic(self);
        let result = work();
        std::mem::forget(stop);
        result
    }
}

/// Stops everything when it is dropped, which happens only on the way out of a panic.
struct StopOnPanic<'a>(&'a Turn);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// What a mutex guards, also when a thread that held it has panicked: the panic itself is passed on elsewhere.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pass_in_order() {
        let turn = Turn::default();
        let passed = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for number in [3, 1, 0, 2, 4] {
                let (turn, passed) = (&turn, &passed);
                scope.spawn(move || turn.take(number, || lock(passed).push(number)));
            }
        });
        assert_eq!(passed.into_inner().unwrap(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_panic_lets_nobody_wait() {
        let turn = Turn::default();
        let waiting = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| turn.take(1, || ()));
            let panicking = scope.spawn(|| turn.guard(|| panic!("on purpose")));
            assert!(panicking.join().is_err());
            waiting.join().unwrap()
        });
        assert_eq!(waiting, None);
    }
}

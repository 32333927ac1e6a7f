//! A bounded cache whose values are made once, however many threads want them: [`Cache`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many locks share the keys. More than threads that usually meet.
const SHARDS: usize = 16;

/// At most `capacity` values, forgetting the one that was not asked for the longest (by second chance).
pub(crate) struct Cache<V> {
    shards: Vec<Mutex<Shard<V>>>,
    /// How many values a shard keeps.
    share: usize,
}

struct Shard<V> {
    slots: HashMap<u64, Slot<V>>,
    /// The keys in the order in which they are considered for eviction, and where that stands.
    ring: Vec<u64>,
    hand: usize,
}

struct Slot<V> {
    value: Arc<Mutex<Option<V>>>,
    used: bool,
}

impl<V: Clone> Cache<V> {
    /// A cache for about `capacity` values.
    pub(crate) fn new(capacity: usize) -> Self {
        let shard = || Mutex::new(Shard { slots: HashMap::new(), ring: Vec::new(), hand: 0 });
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), share: capacity.div_ceil(SHARDS).max(1) }
    }

    /// The value of `key`, made by `make` if it is not there. Threads that want the same key wait for the one
    /// that makes it; a failure is not kept.
    pub(crate) fn get_or_make<E>(&self, key: u64, make: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        let slot = self.shard(key).slot(key, self.share);
        let mut value = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = value.as_ref() {
            return Ok(value.clone());
        }
        let made = make()?;
        *value = Some(made.clone());
        Ok(made)
    }

    /// The value of `key`, if it is there.
    pub(crate) fn get(&self, key: u64) -> Option<V> {
        let slot = {
            let mut shard = self.shard(key);
            let slot = shard.slots.get_mut(&key)?;
            slot.used = true;
            Arc::clone(&slot.value)
        };
        slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Shard<V>> {
        // Neighbours are wanted together: they go to different shards.
        let index = (key % SHARDS as u64) as usize;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Shard<V> {
    fn slot(&mut self, key: u64, share: usize) -> Arc<Mutex<Option<V>>> {
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.used = true;
            return Arc::clone(&slot.value);
        }
        let value = Arc::new(Mutex::new(None));
        if self.ring.len() < share {
            self.ring.push(key);
        } else {
            let place = self.victim();
            if let Some(old) = self.ring.get_mut(place) {
                self.slots.remove(&std::mem::replace(old, key));
            }
        }
        self.slots.insert(key, Slot { value: Arc::clone(&value), used: false });
        value
    }

    /// Which place of the ring is given up next.
    fn victim(&mut self) -> usize {
        // After one round every mark is cleared, so the second finds one.
        for _ in 0..=2 * self.ring.len() {
            let place = self.hand;
            self.hand = (self.hand + 1) % self.ring.len().max(1);
            let slot = self.ring.get(place).and_then(|key| self.slots.get_mut(key));
            match slot {
                Some(slot) if slot.used => slot.used = false,
                _ => return place,
            }
        }
        self.hand
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn stays_bounded_and_right() {
        let cache = Cache::new(32);
        for round in 0..3u64 {
            for key in 0..1000 {
                let value = cache.get_or_make(key, || Ok::<_, Infallible>(key * 7)).unwrap();
                assert_eq!(value, key * 7, "round {round}");
            }
        }
        let kept: usize = cache.shards.iter().map(|shard| shard.lock().unwrap().slots.len()).sum();
        assert_eq!(kept, 32);
    }

    #[test]
    fn a_value_is_made_once_and_a_failure_is_not_kept() {
        let cache = Cache::new(8);
        assert_eq!(cache.get_or_make(1, || Err::<u64, _>("no")), Err("no"));
        let made = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    cache.get_or_make(1, || {
                        made.fetch_add(1, Ordering::Relaxed);
                        Ok::<_, Infallible>(5)
                    })
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
        assert_eq!(cache.get(1), Some(5));
    }
}

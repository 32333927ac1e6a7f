//! The recorded end of a serial port: [`Console`].

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much of a port's output is kept.
const KEPT: usize = 256 << 10;

/// What a guest writes to a serial port: a thread reads it, the last 256 KiB are kept.
#[derive(Debug)]
pub struct Console {
    stream: UnixStream,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    log: Mutex<Log>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct Log {
    kept: Vec<u8>,
    /// How many bytes came before `kept`.
    dropped: u64,
    /// What [`Console::wait_for`] has already passed over.
    consumed: u64,
    ended: bool,
}

/// How waiting for a pattern came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waited {
    /// This pattern of those asked for came; the next wait starts behind it.
    Found(usize),
    /// The port was closed: QEMU has ended.
    Ended,
    /// Nothing of it came in time.
    TimedOut,
}

impl Console {
    /// Starts to record `stream`.
    pub(crate) fn record(stream: UnixStream) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let reader = stream.try_clone()?;
        let sink = Arc::clone(&shared);
        std::thread::Builder::new().name("console".into()).spawn(move || fill(reader, &sink))?;
        Ok(Self { stream, shared })
    }

    /// Waits until one of `patterns` has been written since the last pattern that was found, or since the start.
    /// When several are there, the first in the output counts.
    pub fn wait_for(&self, patterns: &[&str], limit: Duration) -> Waited {
        let deadline = Instant::now() + limit;
        let mut log = self.log();
        loop {
            if let Some(found) = log.find(patterns) {
                return Waited::Found(found);
            }
            if log.ended {
                return Waited::Ended;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Waited::TimedOut;
            }
            log = self.shared.grown.wait_timeout(log, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The last of the output, at most `bytes` of it, from the beginning of a line where there is one.
    pub fn tail(&self, bytes: usize) -> String {
        let log = self.log();
        let start = log.kept.len().saturating_sub(bytes);
        let mut tail = log.kept.get(start..).unwrap_or_default();
        if start > 0
            && let Some(line) = tail.iter().position(|byte| *byte == b'\n')
        {
            tail = tail.get(line + 1..).unwrap_or_default();
        }
        String::from_utf8_lossy(tail).into_owned()
    }

    /// Whether the port is closed.
    pub fn has_ended(&self) -> bool {
        self.log().ended
    }

    /// Types into the port.
    ///
    /// # Errors
    /// The operating system's, when QEMU is gone.
    pub fn send(&self, bytes: &[u8]) -> std::io::Result<()> {
        (&self.stream).write_all(bytes)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn append(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        // Twice the bound before anything moves: one copy for every KEPT bytes, not for every read.
        if self.kept.len() > 2 * KEPT {
            let excess = self.kept.len() - KEPT;
            self.kept.drain(..excess);
            self.dropped += excess as u64;
        }
    }

    fn find(&mut self, patterns: &[&str]) -> Option<usize> {
        let start = usize::try_from(self.consumed.saturating_sub(self.dropped)).ok()?;
        let rest = self.kept.get(start..).unwrap_or_default();
        let (at, pattern) = patterns
            .iter()
            .enumerate()
            .filter_map(|(index, pattern)| position(rest, pattern.as_bytes()).map(|at| (at, index)))
            .min()?;
        let length = patterns.get(pattern).map_or(0, |pattern| pattern.len());
        self.consumed = self.dropped + (start + at + length) as u64;
        Some(pattern)
    }
}

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn fill(mut reader: UnixStream, shared: &Shared) {
    let mut buffer = [0; 4096];
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        let mut log = shared.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.append(buffer.get(..read).unwrap_or_default());
        log.ended = read == 0;
        let ended = log.ended;
        drop(log);
        shared.grown.notify_all();
        if ended {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_patterns_in_the_order_of_the_output_and_each_once() {
        let (mut guest, host) = UnixStream::pair().unwrap();
        let console = Console::record(host).unwrap();
        guest.write_all(b"panic: no\nlogin: ").unwrap();
        let patterns = ["login: ", "panic"];
        assert_eq!(console.wait_for(&patterns, Duration::from_secs(10)), Waited::Found(1));
        assert_eq!(console.wait_for(&patterns, Duration::from_secs(10)), Waited::Found(0));
        assert_eq!(console.wait_for(&patterns, Duration::from_millis(1)), Waited::TimedOut);
        drop(guest);
        assert_eq!(console.wait_for(&patterns, Duration::from_secs(10)), Waited::Ended);
        assert_eq!(console.tail(11), "login: ");
    }

    #[test]
    fn keeps_a_bounded_end() {
        let mut log = Log::default();
        for _ in 0..1000 {
            log.append(&[b'x'; 4096]);
        }
        log.append(b"end");
        assert!(log.kept.len() <= 2 * KEPT + 4096);
        assert_eq!(log.find(&["xend"]), Some(0));
        assert_eq!(log.dropped + log.kept.len() as u64, 4_096_003);
    }
}

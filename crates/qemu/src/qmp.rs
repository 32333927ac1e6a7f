//! QEMU's machine protocol: [`Qmp`].
//!
//! The protocol is that of QEMU's "QMP Protocol Specification": one JSON object a line, a greeting first, then
//! capabilities are negotiated, then commands; events come at any time.

use crate::error::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// The longest line that is taken from QEMU.
const LINE: usize = 4 << 20;
/// How many events are kept for those who ask later; the oldest go first.
const EVENTS: usize = 256;

/// A connection to QEMU's monitor.
#[derive(Debug)]
pub struct Qmp {
    stream: UnixStream,
    buffer: Vec<u8>,
    events: VecDeque<Event>,
}

/// Something that QEMU tells unasked: `SHUTDOWN`, `GUEST_PANICKED`, `BLOCK_IO_ERROR`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Event {
    /// Its name.
    #[serde(rename = "event")]
    pub name: String,
    /// What it carries.
    #[serde(default)]
    pub data: Value,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Message {
    Event(Event),
    Refused {
        error: Refusal,
    },
    Answer {
        #[serde(rename = "return")]
        value: Value,
    },
    Greeting {
        #[serde(rename = "QMP")]
        _greeting: Value,
    },
}

#[derive(Deserialize)]
struct Refusal {
    class: String,
    desc: String,
}

impl Qmp {
    /// Greets the QEMU at the other end of `stream`.
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute).
    pub fn connect(stream: UnixStream, limit: Duration) -> Result<Self> {
        let mut qmp = Self { stream, buffer: Vec::new(), events: VecDeque::new() };
        let deadline = Instant::now() + limit;
        loop {
            match qmp.message("greet", limit, deadline)? {
                Message::Greeting { .. } => break,
                Message::Event(event) => qmp.remember(event),
                Message::Answer { .. } | Message::Refused { .. } => {}
            }
        }
        qmp.execute("qmp_capabilities", Value::Null, limit)?;
        Ok(qmp)
    }

    /// Runs a command and answers with what it returned.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Timeout`], [`Error::Disconnected`], [`Error::Protocol`].
    pub fn execute(&mut self, command: &str, arguments: Value, limit: Duration) -> Result<Value> {
        let deadline = Instant::now() + limit;
        let mut request = json!({ "execute": command });
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        self.stream.write_all(format!("{request}\n").as_bytes()).map_err(|_| Error::Disconnected)?;
        loop {
            match self.message("answer on its monitor", limit, deadline)? {
                Message::Event(event) => self.remember(event),
                Message::Greeting { .. } => {}
                Message::Answer { value } => return Ok(value),
                Message::Refused { error } => {
                    let command = command.to_string();
                    return Err(Error::Refused { command, class: error.class, description: error.desc });
                }
            }
        }
    }

    /// Waits for an event of one of these names, or takes one that came earlier.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Disconnected`], [`Error::Protocol`].
    pub fn wait_event(&mut self, names: &[&str], limit: Duration) -> Result<Event> {
        let deadline = Instant::now() + limit;
        loop {
            let known = self.events.iter().position(|event| names.contains(&event.name.as_str()));
            if let Some(event) = known.and_then(|index| self.events.remove(index)) {
                return Ok(event);
            }
            if let Message::Event(event) = self.message("report what it was to report", limit, deadline)? {
                self.remember(event);
            }
        }
    }

    /// Takes the events that came with answers so far.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.events.drain(..).collect()
    }

    /// What the machine is doing: `running`, `paused`, `io-error`, `guest-panicked`, …
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute).
    pub fn status(&mut self, limit: Duration) -> Result<String> {
        let answer = self.execute("query-status", Value::Null, limit)?;
        Ok(answer.get("status").and_then(Value::as_str).unwrap_or("unknown").to_string())
    }

    /// Presses the power button.
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute).
    pub fn press_power(&mut self, limit: Duration) -> Result<()> {
        self.execute("system_powerdown", Value::Null, limit).map(drop)
    }

    /// Saves the screen as a PNG image.
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute); QEMU refuses when the machine has no screen.
    pub fn save_screen(&mut self, file: &Path, limit: Duration) -> Result<()> {
        let arguments = json!({ "filename": file.to_string_lossy(), "format": "png" });
        self.execute("screendump", arguments, limit).map(drop)
    }

    fn remember(&mut self, event: Event) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn message(&mut self, operation: &'static str, limit: Duration, deadline: Instant) -> Result<Message> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return serde_json::from_slice(&line).map_err(|_| not_qmp(&line));
            }
            if self.buffer.len() > LINE {
                return Err(not_qmp(&self.buffer));
            }
            self.fill(operation, limit, deadline)?;
        }
    }

    fn fill(&mut self, operation: &'static str, limit: Duration, deadline: Instant) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Timeout { operation, limit });
        }
        self.stream.set_read_timeout(Some(left)).map_err(|_| Error::Disconnected)?;
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(Error::Disconnected),
            Ok(read) => {
                self.buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
                Ok(())
            }
            Err(error) => match error.kind() {
                std::io::ErrorKind::Interrupted
                | std::io::ErrorKind::WouldBlock
                | std::io::ErrorKind::TimedOut => Ok(()),
                _ => Err(Error::Disconnected),
            },
        }
    }
}

fn not_qmp(line: &[u8]) -> Error {
    let start = line.get(..line.len().min(120)).unwrap_or_default();
    Error::Protocol { line: String::from_utf8_lossy(start).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn pair(script: &'static str) -> (UnixStream, std::thread::JoinHandle<()>) {
        let (host, mut peer) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || {
            peer.write_all(script.as_bytes()).unwrap();
            let mut rest = Vec::new();
            let _ = peer.read_to_end(&mut rest);
        });
        (host, thread)
    }

    #[test]
    fn keeps_events_that_come_before_an_answer() {
        let (stream, thread) = pair(
            "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n{\"return\": {}}\n\
             {\"event\": \"RESUME\", \"timestamp\": {\"seconds\": 1}}\n{\"return\": {\"status\": \"running\"}}\n\
             {\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n",
        );
        let mut qmp = Qmp::connect(stream, LIMIT).unwrap();
        assert_eq!(qmp.status(LIMIT).unwrap(), "running");
        assert_eq!(qmp.wait_event(&["RESUME"], LIMIT).unwrap().name, "RESUME");
        assert!(matches!(qmp.press_power(LIMIT), Err(Error::Refused { .. })));
        let timeout = qmp.wait_event(&["SHUTDOWN"], Duration::from_millis(1));
        assert!(matches!(timeout, Err(Error::Timeout { .. })));
        drop(qmp);
        thread.join().unwrap();
    }

    #[test]
    fn refuses_what_is_not_qmp() {
        let (stream, thread) = pair("RFB 003.008\n");
        assert!(matches!(Qmp::connect(stream, LIMIT), Err(Error::Protocol { .. })));
        thread.join().unwrap();
    }
}

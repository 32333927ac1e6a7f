//! Talk and progress on standard error: a bar on a terminal, plain lines elsewhere.

use image::copy::Progress;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use migrate::reporter::Reporter;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often a plain line may come.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// The reporter that this standard error deserves.
pub(crate) fn reporter() -> Box<dyn Reporter> {
    if std::io::stderr().is_terminal() { Box::new(Terminal::new()) } else { Box::new(Plain) }
}

/// Writes a line of talk. Standard error may be closed, and that is no reason to fail.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Progress of what is not worth a word while it takes less than a second.
pub(crate) fn patient(text: &str) -> Box<dyn Progress> {
    Box::new(Patient { text: text.to_owned(), begun: Instant::now(), state: Mutex::default() })
}

/// How long something may last without a word.
const PATIENCE: Duration = Duration::from_secs(1);

struct Patient {
    text: String,
    begun: Instant,
    state: Mutex<PatientState>,
}

#[derive(Default)]
struct PatientState {
    total: u64,
    done: u64,
    told: Option<Box<dyn Progress>>,
}

impl Progress for Patient {
    fn start(&self, total: u64) {
        let Ok(mut state) = self.state.lock() else { return };
        *state = PatientState { total, ..PatientState::default() };
    }

    fn advance(&self, bytes: u64) {
        let Ok(mut state) = self.state.lock() else { return };
        match &state.told {
            Some(told) => told.advance(bytes),
            None => {
                state.done += bytes;
                if self.begun.elapsed() >= PATIENCE {
                    let told = reporter().measured(&self.text);
                    told.start(state.total);
                    told.advance(state.done);
                    state.told = Some(told);
                }
            }
        }
    }
}

/// Bars below, lines above them: several things go on at once.
struct Terminal {
    bars: MultiProgress,
}

impl Terminal {
    fn new() -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()) }
    }
}

impl Reporter for Terminal {
    fn begin(&self, text: &str) {
        // Standard error may be closed, and that is no reason to fail.
        let _ = self.bars.println(format!("· {text}"));
    }

    fn measured(&self, text: &str) -> Box<dyn Progress> {
        let bar = self.bars.add(ProgressBar::no_length());
        let style =
            "· {msg} {wide_bar} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(text.to_owned());
        Box::new(Bar(bar))
    }
}

struct Bar(ProgressBar);

impl Progress for Bar {
    fn start(&self, total: u64) {
        self.0.set_length(total);
        self.0.reset();
    }

    fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish();
    }
}

struct Plain;

impl Reporter for Plain {
    fn begin(&self, text: &str) {
        say(text);
    }

    fn measured(&self, text: &str) -> Box<dyn Progress> {
        say(text);
        Box::new(Lines { text: text.to_owned(), state: Mutex::new(LineState::default()) })
    }
}

struct Lines {
    text: String,
    state: Mutex<LineState>,
}

#[derive(Default)]
struct LineState {
    total: u64,
    done: u64,
    started: Option<Instant>,
    said: Option<Instant>,
}

impl LineState {
    /// The line that is due, when one is.
    fn line(&mut self, text: &str, now: Instant) -> Option<String> {
        let started = *self.started.get_or_insert(now);
        if now.duration_since(self.said.unwrap_or(started)) < PLAIN_INTERVAL {
            return None;
        }
        self.said = Some(now);
        let rate = self.done as f64 / now.duration_since(started).as_secs_f64().max(0.001);
        let left = self.total.saturating_sub(self.done) as f64 / rate.max(1.0);
        Some(format!(
            "{text}: {} of {} MiB, {:.0} MiB/s, {left:.0} s left",
            self.done >> 20,
            self.total >> 20,
            rate / f64::from(1 << 20)
        ))
    }
}

impl Lines {
    fn update(&self, change: impl FnOnce(&mut LineState)) {
        let Ok(mut state) = self.state.lock() else { return };
        change(&mut state);
        if let Some(line) = state.line(&self.text, Instant::now()) {
            say(&line);
        }
    }
}

impl Progress for Lines {
    fn start(&self, total: u64) {
        self.update(|state| *state = LineState { total, ..LineState::default() });
    }

    fn advance(&self, bytes: u64) {
        self.update(|state| state.done += bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_come_at_intervals_with_bytes_rate_and_time_left() {
        let start = Instant::now();
        let mut state = LineState { total: 1000 << 20, done: 0, started: None, said: None };
        assert_eq!(state.line("copying", start), None);
        state.done = 500 << 20;
        assert_eq!(
            state.line("copying", start + Duration::from_secs(5)).unwrap(),
            "copying: 500 of 1000 MiB, 100 MiB/s, 5 s left"
        );
        assert_eq!(state.line("copying", start + Duration::from_secs(6)), None);
    }
}

//! What the user of a command that takes its time sees while it runs: lines on standard output, or none with `--json`; progress on standard
//! error where that is a terminal.

use std::cell::Cell;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

/// How wide the output is at most.
pub(crate) const WIDTH: usize = 100;

/// Where things are shown.
pub(crate) struct Show {
    text: bool,
    progress: bool,
    /// Whether progress stands on the terminal.
    stands: Cell<bool>,
}

impl Show {
    /// As text, unless `json` is wanted.
    pub(crate) fn new(json: bool) -> Self {
        Self { text: !json, progress: io::stderr().is_terminal(), stands: Cell::new(false) }
    }

    /// A line, or several. A reader that went away does not end us.
    pub(crate) fn line(&self, text: &str) {
        if self.text {
            let _ = writeln!(io::stdout(), "{text}");
        }
    }

    /// What is going on, in the place of what was going on before; nothing clears it.
    pub(crate) fn progress(&self, text: &str) {
        if self.progress && (self.stands.get() || !text.is_empty()) {
            self.stands.set(!text.is_empty());
            let text: String = text.chars().take(WIDTH - 1).collect();
            let _ = write!(io::stderr(), "\r\x1b[K{text}");
        }
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        self.progress("");
    }
}

/// Whole milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Seconds, in hundredths.
pub(crate) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 100.0).round() / 100.0
}

//! What happened in a run, step by step. It is written down only where somebody asks for it: a run is repeated by its
//! seed to be told.

use std::cell::RefCell;

use sluice_shared::clock::Millis;

use super::clockwork::Process;

/// The steps of a run.
pub(super) struct Timeline {
    begin: Millis,
    lines: Option<RefCell<Vec<String>>>,
}

impl Timeline {
    pub(super) fn new(begin: Millis, told: bool) -> Self {
        Self { begin, lines: told.then(RefCell::default) }
    }

    pub(super) fn tell(&self, now: Millis, who: Process, what: impl FnOnce() -> String) {
        if let Some(lines) = &self.lines {
            let since = now.since(self.begin);
            let line = format!("{:>6}.{:03} s  {:<12} {}", since.as_secs(), since.subsec_millis(), name(who), what());
            lines.borrow_mut().push(line);
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.as_ref().map(|lines| lines.borrow().clone()).unwrap_or_default()
    }
}

/// A process for people.
pub(super) fn name(process: Process) -> String {
    match process.0 {
        0 => "broker".into(),
        number @ 1..100 => format!("worker {number}"),
        number @ 100..200 => format!("delivery {}", number - 100),
        number => format!("client {}", number - 200),
    }
}

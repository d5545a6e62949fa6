//! What should have happened, held against what was seen.
//!
//! Pure. An expectation that was not met is a sentence for people, with what was seen instead.

use std::fmt::Display;

/// The expectations that were not met.
#[derive(Debug, Default)]
pub(crate) struct Expectations {
    failed: Vec<String>,
}

impl Expectations {
    /// Something that should hold; where it does not, what should have been, and what was seen.
    pub(crate) fn expect(&mut self, holds: bool, should: impl Display, seen: impl Display) {
        if !holds {
            self.failed.push(format!("{should}; seen: {seen}"));
        }
    }

    /// Two values that should be equal.
    pub(crate) fn equal<T: PartialEq + Display>(&mut self, what: impl Display, seen: T, should: T) {
        let holds = seen == should;
        self.expect(holds, format_args!("{what} should be {should}"), seen);
    }

    /// What was not met, in the order in which it was expected.
    pub(crate) fn failed(self) -> Vec<String> {
        self.failed
    }
}

//! What the headers of an answer say about how fast its destination may be called, and when it may be called again.
//!
//! Pure. Owns the reading of headers, one file a dialect; what a gate does with it is in `gate`. Each dialect yields the same
//! plain value, a [`Pace`]. Invariant: a header that cannot be read, or names a time that is past, says nothing.
//!
//! Sources: each dialect's file names the documentation it goes by.

mod anthropic;
mod conventional;
mod discord;
mod github;
mod headers;
mod ietf;
mod moment;
mod openai;
mod outright;
mod retry_after;
mod shopify;
mod structured;

use std::time::Duration;

use super::classify::TOO_MANY_REQUESTS;
use super::gate::{Heard, Nanos, Pacing};
use crate::clock::Millis;
use headers::Headers;

/// The status that may come with a time to try again (RFC 9110, section 15.6.4).
const UNAVAILABLE: u16 = 503;
/// The status that some answer in its place.
const FORBIDDEN: u16 = 403;

/// What the headers of an answer say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pace {
    /// Not before this moment, said outright.
    pub retry_after: Option<Millis>,
    /// How much the destination takes in a time, in general.
    pub policies: Vec<Policy>,
    /// How much of it is left now.
    pub budgets: Vec<Budget>,
    /// How fast the destination wants to be called, said outright.
    pub pacing: Option<Pacing>,
    /// Whether its limits are those of the account whose credential was sent, said outright.
    pub by_account: Option<bool>,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Calls.
    Requests,
    /// Something that a call costs an unknown number of: tokens, bytes.
    Other,
}

/// So much in any window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The header that says so, in lower case.
    pub source: &'static str,
    /// Which of several limits it is, where the header says so.
    pub name: Option<String>,
    /// What it counts.
    pub unit: Unit,
    /// How much, at least 1.
    pub quota: u64,
    /// In how long, above zero.
    pub window: Duration,
}

/// What is left until a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The header that says so, in lower case.
    pub source: &'static str,
    /// Which of several limits it is, where the headers say so.
    pub name: Option<String>,
    /// What it counts.
    pub unit: Unit,
    /// How much there is when nothing is used.
    pub limit: Option<u64>,
    /// How much is left.
    pub remaining: Option<u64>,
    /// When the count starts anew, or all is there again.
    pub reset: Option<Millis>,
    /// Whether it comes back bit by bit until then, as in a bucket, and not at once.
    pub refills: bool,
}

/// Whether and until when an answer closes its gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closes {
    /// It does not.
    Not,
    /// It does, nobody said for how long.
    ForNow,
    /// It does, until this moment.
    Until(Millis),
}

impl Pace {
    /// Reads the headers, whose names are in lower case, of an answer that came at `now`.
    #[must_use]
    pub fn read(headers: &[(String, String)], now: Millis) -> Self {
        let headers = Headers::new(headers, now);
        let mut pace = Self { retry_after: retry_after::read(&headers), ..Self::default() };
        outright::read(&headers, &mut pace);
        for dialect in [openai::read, anthropic::read, shopify::read] {
            dialect(&headers, &mut pace);
        }
        // Many say the same in several of these: the most telling counts.
        for dialect in [ietf::read, github::read, discord::read, conventional::read] {
            let known = pace.budgets.len();
            dialect(&headers, &mut pace);
            if pace.budgets.len() > known {
                break;
            }
        }
        pace
    }

    /// What an answer of this status does to its gate: a 429 always closes it, a 403 or a 503 with a time too, and any answer
    /// that says that nothing is left.
    #[must_use]
    pub fn closes(&self, status: u16, now: Millis) -> Closes {
        let exhausted = self.budgets.iter().filter(|budget| budget.remaining == Some(0));
        let reopens = exhausted.filter_map(|budget| budget.reopens(now)).max();
        let said = match status {
            TOO_MANY_REQUESTS => {
                // Where a part of it comes back at any moment, and there is some left, it was not this that was exceeded.
                let whole = self.budgets.iter().filter(|budget| !budget.refills);
                self.retry_after.or(reopens).or_else(|| whole.filter_map(|budget| budget.reset).min())
            }
            // GitHub's secondary limits answer 403 with a time.
            FORBIDDEN | UNAVAILABLE => self.retry_after,
            _ => None,
        };
        match said.or(reopens) {
            Some(until) => Closes::Until(until),
            None if status == TOO_MANY_REQUESTS => Closes::ForNow,
            None => Closes::Not,
        }
    }

    /// What a gate learns from an answer of this status to a call that was sent at `sent_at`. Limits that count no calls
    /// teach it nothing: how much a call costs of them is not known.
    #[must_use]
    pub fn heard(self, status: u16, sent_at: Nanos) -> Heard {
        let calls = |unit: Unit| unit == Unit::Requests;
        Heard {
            sent_at,
            refused: status == TOO_MANY_REQUESTS,
            pacing: self.pacing,
            policies: self.policies.into_iter().filter(|policy| calls(policy.unit)).collect(),
            budgets: self.budgets.into_iter().filter(|budget| calls(budget.unit)).collect(),
        }
    }
}

impl Budget {
    /// When there is something left again: at the reset; of one that comes back bit by bit, when there is a call again, or
    /// a tenth of what calls cost an unknown part of.
    fn reopens(&self, now: Millis) -> Option<Millis> {
        let reset = self.reset?;
        let limit = self.limit.unwrap_or(0);
        let missing = limit.saturating_sub(self.remaining.unwrap_or(0));
        if !self.refills || missing == 0 {
            return Some(reset);
        }
        let needed = match self.unit {
            Unit::Requests => 1,
            Unit::Other => (limit / 10).max(1),
        };
        let millis = reset.since(now).as_millis() * u128::from(needed.min(missing)) / u128::from(missing);
        Some(now.after(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX).max(1))))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

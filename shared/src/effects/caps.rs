//! How much fits where: all limits derive from what the broker takes in one message.

use super::Effects;
use crate::domain::job::Body;
use crate::domain::record::{Branch, Record};
use crate::domain::reroute;
use crate::nats::publish::{HEADROOM, PublishError};
use crate::wire;

/// Bodies up to this size travel in the record, larger ones in a bucket of their own. Bytes.
pub(super) const INLINE_BODY: u64 = 8 * 1024;
/// What is kept of the body of an answer that does not win. Bytes.
pub const LOSER_BODY: usize = 16 * 1024;
/// Room for headers and framing beside any payload. Bytes.
const SLACK: usize = 64 * 1024;

/// Room for an outcome without an answer. Bytes.
const BARE_OUTCOME: usize = 4 * 1024;

impl Effects {
    /// Whether a job could be ended under the broker's limit as it is now, with nothing kept that can be spared.
    ///
    /// # Errors
    /// Where its record would be more than the broker takes.
    pub fn could_end(&self, record: &Record) -> Result<(), PublishError> {
        let mut least = record.clone();
        for branch in &mut least.branches {
            branch.last = None;
            branch.contender.request.forget_contents();
        }
        let (size, limit) = (wire::encode(&least).len() + BARE_OUTCOME, self.nats.max_payload());
        if size + HEADROOM > limit { Err(PublishError::TooLarge { size, limit }) } else { Ok(()) }
    }
}

/// Limits in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// What the broker takes in one message.
    pub max_payload: usize,
    /// What is kept of a winning answer's body.
    pub response_body: usize,
}

impl Caps {
    /// The limits under a broker that takes `max_payload`, with `response_body` as configured but never more than half
    /// of that: a record must always be settleable.
    #[must_use]
    pub fn new(max_payload: usize, response_body: usize) -> Self {
        Self { max_payload, response_body: response_body.min(max_payload / 2) }
    }

    /// The largest request body that can be stored.
    #[must_use]
    pub fn request_body(&self) -> u64 {
        self.max_payload.saturating_sub(SLACK) as u64
    }

    /// Whether the record could still be settled with every answer at its cap, and every branch moved as often as it may.
    #[must_use]
    pub fn can_settle(&self, record: &Record) -> bool {
        let moves = |branch: &Branch| reroute::most(&branch.contender.retry) as usize;
        let moved = |branch: &Branch| moves(branch) * (wire::encode(branch).len() + LOSER_BODY + 4096);
        let moved: usize = record.branches.iter().filter(|branch| moves(branch) > 0).map(moved).sum();
        let answers = self.response_body + record.branches.len() * (LOSER_BODY + 4096);
        wire::encode(record).len() + moved + answers + SLACK <= self.max_payload
    }

    /// What is kept of the body of a success: in a fanout each branch has a share. Bytes.
    #[must_use]
    pub fn kept_of_success(&self, record: &Record) -> usize {
        let all = record.branches.iter().filter(|branch| branch.placed.moved.is_none()).count();
        if record.is_fanout() { (self.response_body / all.max(1)).max(LOSER_BODY) } else { self.response_body }
    }

    /// Whether a body is kept in its own place.
    #[must_use]
    pub fn is_large(body: &Body) -> bool {
        body.len() > INLINE_BODY
    }
}

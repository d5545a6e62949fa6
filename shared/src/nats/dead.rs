//! Dead letters: what was given up, kept with the reason where an operator finds it.
//!
//! The payload is the thing itself as it was, so that it can be tried again; the headers say why. One subject holds one
//! letter: setting the same thing aside twice keeps it once.

use std::borrow::Cow;

use async_nats::HeaderMap;
use bytes::Bytes;

use super::Nats;
use super::ack::InHand;
use super::guarded::{Moved, NotMoved};
use super::publish::EXPECTED_LAST;
use crate::clock;

/// The header that says why, in one line.
pub const REASON: &str = "Sluice-Reason";
/// The header that says when, in milliseconds since the epoch.
pub const AT: &str = "Sluice-At";
/// The longest reason that is kept, in characters.
const LONGEST_REASON: usize = 2_000;
/// Room for the headers beside what is kept, in bytes: four for each character of the reason, and the rest.
const HEADERS: usize = 16 * 1024;

/// What was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadKind {
    /// A webhook that was not delivered.
    Webhook,
    /// A submission that was refused.
    Submission,
    /// A message that nobody can handle.
    Message,
    /// An outcome that cannot be handed on.
    Result,
}

impl DeadKind {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Webhook, Self::Submission, Self::Message, Self::Result];

    /// The kind of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The token of its subject.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Submission => "submission",
            Self::Message => "message",
            Self::Result => "result",
        }
    }
}

/// Something that was given up, and why.
#[derive(Clone, Debug)]
pub struct DeadLetter<'a> {
    /// What it was.
    pub kind: DeadKind,
    /// Whose it was; `_` where nobody knows.
    pub tenant: &'a str,
    /// What tells it from all others of this kind and tenant: subject tokens.
    pub name: String,
    /// Why; names no header, body or key.
    pub reason: &'a str,
    /// The thing itself.
    pub payload: Bytes,
}

impl Nats {
    /// Keeps a dead letter, once for each name, until it is certain. What leaves no room for the headers is cut, and the
    /// reason says so.
    ///
    /// # Errors
    /// Where the broker gave no answer for several seconds, has no room, or will not take it.
    pub async fn set_aside(&self, letter: DeadLetter<'_>) -> Result<Moved, NotMoved> {
        let subject = self.topology().dead(letter.kind.as_str(), letter.tenant, &letter.name);
        let (payload, reason) = fitting(&letter, self.max_payload());
        let mut headers = HeaderMap::new();
        headers.insert(REASON, one_line(&reason, LONGEST_REASON));
        headers.insert(AT, clock::now().to_string());
        headers.insert(EXPECTED_LAST, "0");
        self.publish_until_certain(&subject, &headers, &payload).await
    }
}

impl Nats {
    /// Keeps a message that nobody can handle, under its own subject and sequence, until it is certain.
    ///
    /// # Errors
    /// As `set_aside`.
    pub async fn set_message_aside(&self, message: &InHand, reason: &str) -> Result<Moved, NotMoved> {
        let subject = message.subject().strip_prefix(self.prefix()).unwrap_or(message.subject());
        self.set_aside(DeadLetter {
            kind: DeadKind::Message,
            tenant: "_",
            name: format!("{}.{}", subject.trim_start_matches('.'), message.sequence()),
            reason,
            payload: message.payload().clone(),
        })
        .await
    }
}

/// As much of the letter as fits into one message, and the reason.
fn fitting<'a>(letter: &DeadLetter<'a>, max_payload: usize) -> (Bytes, Cow<'a, str>) {
    let (size, room) = (letter.payload.len(), max_payload.saturating_sub(HEADERS));
    if size <= room {
        return (letter.payload.clone(), letter.reason.into());
    }
    let reason = format!("{} (of {size} bytes the first {room} are kept)", letter.reason);
    (letter.payload.slice(..room), reason.into())
}

/// Text as the value of a header, which must be one line: at most `longest` characters of it.
#[must_use]
pub fn one_line(text: &str, longest: usize) -> String {
    text.chars().take(longest).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

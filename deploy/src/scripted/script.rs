//! What is done with one call: an answer, when, how fast; or none at all.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// What is done with one call.
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) delay: Duration,
    pub(super) act: Act,
}

#[derive(Clone, Debug)]
pub(super) enum Act {
    Answer(Answer),
    Hang,
    Close,
}

#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
    /// Sent in pieces of so many bytes, with a pause before each.
    pub(super) pace: Option<(usize, Duration)>,
    /// The connection is closed after so many bytes of the body.
    pub(super) break_off: Option<u64>,
}

/// A body, or how long a made-up one is.
#[derive(Clone)]
pub(super) enum Content {
    Given(Bytes),
    Filled(u64),
}

impl Content {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Given(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Filled(length) => *length,
        }
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.length())
    }
}

impl Script {
    /// Answers with this status and an empty body.
    ///
    /// # Panics
    /// Where `status` is none (100 to 999).
    #[must_use]
    pub fn answer(status: u16) -> Self {
        let Ok(status) = StatusCode::from_u16(status) else { panic!("{status} is no HTTP status") };
        let content = Content::Given(Bytes::new());
        let answer = Answer { status, headers: HeaderMap::new(), content, pace: None, break_off: None };
        Self { delay: Duration::ZERO, act: Act::Answer(answer) }
    }

    /// Never answers; the connection stays open until the client leaves.
    #[must_use]
    pub fn hang() -> Self {
        Self { delay: Duration::ZERO, act: Act::Hang }
    }

    /// Closes the connection without an answer.
    #[must_use]
    pub fn close() -> Self {
        Self { delay: Duration::ZERO, act: Act::Close }
    }

    /// Waits so long before it does what it does.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Adds a header to the answer.
    ///
    /// # Panics
    /// Where it is no valid header.
    #[must_use]
    pub fn header(self, name: &str, value: impl ToString) -> Self {
        let value = value.to_string();
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            panic!("{name} with its value is no HTTP header");
        };
        self.with(|answer| {
            answer.headers.append(name, value);
        })
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        self.with(|answer| answer.content = Content::Given(body.into()))
    }

    /// A JSON body, with its content type.
    #[must_use]
    pub fn json(self, value: &serde_json::Value) -> Self {
        self.body(value.to_string()).header(header::CONTENT_TYPE.as_str(), "application/json")
    }

    /// A body of `length` bytes, all `x`, made while it is sent.
    #[must_use]
    pub fn filled(self, length: u64) -> Self {
        self.with(|answer| answer.content = Content::Filled(length))
    }

    /// Sends the body in pieces of `bytes`, with a pause before each. Its length is not told beforehand (chunked).
    #[must_use]
    pub fn slowly(self, bytes: usize, pause: Duration) -> Self {
        self.with(|answer| answer.pace = Some((bytes.max(1), pause)))
    }

    /// Closes the connection after so many bytes of the body, which is announced in full.
    #[must_use]
    pub fn break_off_after(self, bytes: u64) -> Self {
        self.with(|answer| answer.break_off = Some(bytes))
    }

    fn with(mut self, change: impl FnOnce(&mut Answer)) -> Self {
        match &mut self.act {
            Act::Answer(answer) => change(answer),
            Act::Hang | Act::Close => {}
        }
        self
    }
}

//! How attempts and jobs end: answers, what they mean, outcomes.

use std::fmt;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::id::{BranchId, Region, Token};
use crate::clock::Millis;

/// How a job ended. Written once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether it succeeded.
    pub status: Status,
    /// Why it did not.
    pub reason: Option<Reason>,
    /// The branch or signal whose handler settled the job.
    pub winner: Token,
    /// When it was settled.
    pub at: Millis,
    /// The winner's answer, or the last one of the branch that failed last. None where a fanout succeeded: each of its
    /// branches has an answer of its own.
    pub answer: Option<Answer>,
}

/// The three ways a job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "OutcomeStatus")]
pub enum Status {
    /// A branch got an answer that counts as success; in a fanout, all of them.
    Success,
    /// Every branch is dead, or one of a fanout, or the deadline has passed.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

impl Status {
    /// As the wire says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why a job did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No branch has an attempt left; the last answer says why.
    Exhausted,
    /// The job's deadline has passed.
    Deadline,
    /// Somebody cancelled it.
    Cancelled,
    /// The submission was refused: what was wrong with it.
    Refused(String),
    /// What was to end it could not be handled: why. A defect of this program.
    Poisoned(String),
}

/// What one attempt of a branch came back with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Which attempt of the branch, from 1.
    pub attempt: u32,
    /// When it was there.
    pub at: Millis,
    /// What it was.
    pub content: Content,
    /// The region of the worker that made the call, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

/// An HTTP response, or why there was none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Content {
    /// The destination answered.
    Response(Response),
    /// It did not.
    Error {
        /// What went wrong, for decisions.
        kind: ErrorKind,
        /// What went wrong, for people; names no header, body or key.
        message: String,
    },
}

/// An HTTP response as kept. Headers and body are the caller's: never shown by `Debug`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Headers as received, hop-by-hop ones left out.
    pub headers: Vec<(String, String)>,
    /// The body, cut where `truncated`.
    pub body: Bytes,
    /// Whether the body was longer than what is kept.
    pub truncated: bool,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}, {} headers, {} bytes)", self.status, self.headers.len(), self.body.len())
    }
}

/// Why there was no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The connection could not be made: name, address, TLS.
    Connect,
    /// The attempt took longer than it may.
    Timeout,
    /// The connection broke before the whole answer was there.
    Interrupted,
    /// The job was older than the maximum age when its turn came; nothing was sent.
    Expired,
    /// The request can never be sent as it is: the reason is in the message.
    Unsendable,
    /// The target may not be called: nothing was sent.
    TargetRefused,
    /// Its sealed headers, or a secret that it names, could not be opened: the key is not there any more.
    Unopened,
    /// It names a secret that there is not.
    SecretMissing,
    /// The message that carried the branch could not be read.
    Unreadable,
    /// The code that handled the branch broke down each time: a defect of this program.
    Poisoned,
}

impl Answer {
    /// The status code, where there was a response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match &self.content {
            Content::Response(response) => Some(response.status),
            Content::Error { .. } => None,
        }
    }

    /// The same answer with its body cut to what is kept of a loser.
    #[must_use]
    pub fn cut_to(mut self, bytes: usize) -> Self {
        if let Content::Response(response) = &mut self.content
            && response.body.len() > bytes
        {
            // A copy, because a slice would keep the whole body in memory.
            response.body = Bytes::copy_from_slice(&response.body[..bytes]);
            response.truncated = true;
        }
        self
    }
}

/// What an answer means for its branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The branch wins, if it is the first.
    Success,
    /// The gate was wrong about the destination: closed, and the attempt is not used up.
    Limited,
    /// Worth another attempt, if the branch has one left.
    Retryable,
    /// The branch is over.
    Final,
}

/// A branch and its last answer, as a failed outcome lists them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchAnswer {
    /// The branch.
    pub branch: BranchId,
    /// Its last answer, if it got any.
    pub answer: Option<Answer>,
}

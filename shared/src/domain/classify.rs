//! What an answer means for its branch: success, closed gate, worth another attempt, over.
//!
//! Pure. Owns no counting and no times: those are in `retry`. Invariant: every answer has exactly one class, and only a
//! 429 is free.

use super::job::RetryPolicy;
use super::outcome::{Class, Content, ErrorKind};
use crate::config::StatusRange;

/// The status that says a limit was exceeded (RFC 6585, section 4).
pub const TOO_MANY_REQUESTS: u16 = 429;

/// The class of an answer. The policy's `retry_codes`, where it has any, stand in for `defaults`; connection errors and
/// timeouts are worth another attempt whatever the codes say.
#[must_use]
pub fn classify(content: &Content, policy: &RetryPolicy, defaults: &[StatusRange]) -> Class {
    match content {
        Content::Response(response) => of_status(response.status, policy, defaults),
        Content::Error { kind, .. } => match kind {
            ErrorKind::Connect | ErrorKind::Timeout | ErrorKind::Interrupted => Class::Retryable,
            ErrorKind::Expired
            | ErrorKind::Unsendable
            | ErrorKind::TargetRefused
            | ErrorKind::Unopened
            | ErrorKind::SecretMissing
            | ErrorKind::Unreadable
            | ErrorKind::Poisoned => Class::Final,
        },
    }
}

/// Whether a destination works, as far as an answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Working {
    /// It answered, be it with a refusal.
    Yes,
    /// It answered with this 5xx, or not at all.
    No(Option<u16>),
}

/// What an answer tells about its destination. A call that took too long tells nothing: its job may have had little time.
#[must_use]
pub fn working(content: &Content) -> Option<Working> {
    match content {
        Content::Response(response) if response.status >= 500 => Some(Working::No(Some(response.status))),
        Content::Response(_) => Some(Working::Yes),
        Content::Error { kind: ErrorKind::Connect | ErrorKind::Interrupted, .. } => Some(Working::No(None)),
        Content::Error { .. } => None,
    }
}

fn of_status(status: u16, policy: &RetryPolicy, defaults: &[StatusRange]) -> Class {
    let retried = match &policy.retry_codes {
        Some(codes) => codes.contains(&status),
        None => defaults.iter().any(|range| (range.first..=range.last).contains(&status)),
    };
    match status {
        200..=299 => Class::Success,
        TOO_MANY_REQUESTS => Class::Limited,
        _ if retried => Class::Retryable,
        _ => Class::Final,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::outcome::Response;

    const DEFAULTS: [StatusRange; 3] = [
        StatusRange { first: 408, last: 408 },
        StatusRange { first: 425, last: 425 },
        StatusRange { first: 500, last: 599 },
    ];

    fn status(status: u16) -> Content {
        Content::Response(Response { status, headers: Vec::new(), body: Bytes::new(), truncated: false })
    }

    #[test]
    fn each_status_has_its_class() {
        let table = [
            (Class::Success, vec![200, 204, 299]),
            (Class::Limited, vec![429]),
            (Class::Retryable, vec![408, 425, 500, 503, 599]),
            (Class::Final, vec![101, 302, 400, 401, 404, 410, 422, 600]),
        ];
        for (class, statuses) in table {
            for code in statuses {
                assert_eq!(classify(&status(code), &RetryPolicy::default(), &DEFAULTS), class, "{code}");
            }
        }
    }

    #[test]
    fn a_destination_that_refuses_works_and_one_that_is_silent_for_too_long_may() {
        let error = |kind| Content::Error { kind, message: String::new() };
        for code in [200, 302, 404, 429] {
            assert_eq!(working(&status(code)), Some(Working::Yes), "{code}");
        }
        assert_eq!(working(&status(503)), Some(Working::No(Some(503))));
        assert_eq!(working(&error(ErrorKind::Connect)), Some(Working::No(None)));
        assert_eq!(working(&error(ErrorKind::Timeout)), None);
        assert_eq!(working(&error(ErrorKind::Unsendable)), None);
    }

    #[test]
    fn retry_codes_stand_in_for_the_defaults_but_never_for_a_success_or_a_429() {
        let policy = RetryPolicy { retry_codes: Some(vec![200, 404, 429]), ..RetryPolicy::default() };
        let classes = [200, 404, 429, 503].map(|code| classify(&status(code), &policy, &DEFAULTS));
        assert_eq!(classes, [Class::Success, Class::Retryable, Class::Limited, Class::Final]);
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_never_can_is_not() {
        let policy = RetryPolicy { retry_codes: Some(Vec::new()), ..RetryPolicy::default() };
        let class = |kind| classify(&Content::Error { kind, message: String::new() }, &policy, &DEFAULTS);
        for kind in [ErrorKind::Connect, ErrorKind::Timeout, ErrorKind::Interrupted] {
            assert_eq!(class(kind), Class::Retryable);
        }
        let finals = [
            ErrorKind::Expired,
            ErrorKind::Unsendable,
            ErrorKind::TargetRefused,
            ErrorKind::Unopened,
            ErrorKind::SecretMissing,
            ErrorKind::Unreadable,
            ErrorKind::Poisoned,
        ];
        for kind in finals {
            assert_eq!(class(kind), Class::Final);
        }
    }
}

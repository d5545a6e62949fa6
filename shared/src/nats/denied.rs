//! What the broker does not let this user do, as it says itself: a publish or a subscription that it drops, without an
//! answer to whoever waits for one.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::Nats;

/// Subjects that are kept, at most: each is told in the log once.
const MOST: usize = 1_000;

/// What was refused so far.
#[derive(Debug, Default)]
pub(super) struct Denied(Mutex<BTreeSet<String>>);

/// What a user may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Publish,
    Subscribe,
}

impl Denied {
    /// Takes in what the broker says, if it is about this.
    pub(super) fn hear(&self, said: &str) {
        let Some((deed, subject)) = read(said) else {
            tracing::debug!(said, "NATS");
            return;
        };
        let mut subjects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = subjects.len() < MOST && subjects.insert(subject.to_owned());
        drop(subjects);
        if is_new {
            let what = if deed == Deed::Publish { "publish to" } else { "subscribe to" };
            tracing::warn!(
                subject,
                "NATS does not let this user {what} a subject: `sluice nats-config` says what it needs"
            );
        }
    }

    fn has(&self, is_meant: impl Fn(&str) -> bool) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|subject| is_meant(subject))
    }
}

impl Nats {
    /// Whether the broker has refused this user a subject, or one that goes on behind it.
    pub(crate) fn is_denied(&self, subject: &str) -> bool {
        let goes_on = |rest: &str| rest.is_empty() || rest.starts_with('.');
        self.0.denied.has(|denied| denied.strip_prefix(subject).is_some_and(goes_on))
    }
}

/// `Permissions Violation for Publish to "a.b"`, or `… for Subscription to "a.b"` and more.
fn read(said: &str) -> Option<(Deed, &str)> {
    const BEGINNING: &str = "permissions violation for ";
    let rest = said.get(BEGINNING.len()..).filter(|_| said[..BEGINNING.len()].eq_ignore_ascii_case(BEGINNING))?;
    let deed = if rest.to_ascii_lowercase().starts_with("publish") { Deed::Publish } else { Deed::Subscribe };
    let (_, subject) = rest.split_once('"')?;
    Some((deed, subject.split('"').next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_allowed_is_told_from_what_else_the_broker_says() {
        assert_eq!(read(r#"Permissions Violation for Publish to "a.b""#), Some((Deed::Publish, "a.b")));
        let queue = r#"Permissions Violation for Subscription to "a.>" using queue "q""#;
        assert_eq!(read(queue), Some((Deed::Subscribe, "a.>")));
        for other in ["Stale Connection", "", "Permissions Violation", "Permissions Violation for Publish to nothing"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn a_subject_that_goes_on_counts_and_one_that_only_begins_alike_does_not() {
        let denied = Denied::default();
        denied.hear(r#"Permissions Violation for Publish to "$JS.API.STREAM.CREATE.S_1""#);
        assert!(denied.has(|subject| subject == "$JS.API.STREAM.CREATE.S_1"));
        assert!(!denied.has(|subject| subject == "$JS.API.STREAM.CREATE.S"));
    }
}

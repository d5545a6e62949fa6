//! Anchors: a message in a work queue that nobody takes, so that its newest file is never empty.
//!
//! A nats-server keeps a stream in files of some megabytes, and makes a new one when the last message of the newest is
//! removed. A queue that is empty most of the time, as it should be, is a new file for every message then: a quarter of all
//! that the server does at 500 jobs a second. An anchor keeps the file; and as a file is full at some time, the anchor is
//! published again, in the place of the one before it, for every few hundred messages.
//!
//! It is about speed alone. Nobody waits for it, and one that is lost or comes twice is missed by nobody.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;

use super::Nats;

/// An anchor is good for so many messages: few enough that the newest file is without one for a small part of its life, which
/// is some ten thousand messages long.
const STRETCH: u64 = 256;
/// What it takes the place of: all that is on its subject.
const ROLLUP: (&str, &str) = ("Nats-Rollup", "sub");

/// The anchors of all streams that this process pulls from.
#[derive(Debug, Default)]
pub(super) struct Anchors(Mutex<HashMap<String, Anchor>>);

/// The anchor of one stream. All pullers of the stream share it.
#[derive(Clone, Debug)]
pub(super) struct Anchor(Arc<Place>);

#[derive(Debug)]
struct Place {
    subject: Subject,
    /// The newest stretch that this process has seen a message of, from 1.
    stretch: AtomicU64,
}

impl Anchor {
    fn on(subject: Subject) -> Self {
        Self(Arc::new(Place { subject, stretch: AtomicU64::new(0) }))
    }

    /// Whether this message is the first that is seen of its stretch: the anchor is to follow it then.
    fn is_left_behind_by(&self, sequence: u64) -> bool {
        let (seen, stretch) = (&self.0.stretch, sequence / STRETCH + 1);
        stretch > seen.load(Ordering::Relaxed) && seen.fetch_max(stretch, Ordering::Relaxed) < stretch
    }

    /// Publishes it, in the place of the one before it, if this message has left that behind. Nobody waits for it.
    pub(super) fn follow(&self, nats: &Nats, sequence: u64) {
        if !self.is_left_behind_by(sequence) {
            return;
        }
        let (client, subject) = (nats.client().clone(), self.0.subject.clone());
        tokio::spawn(async move {
            let mut headers = HeaderMap::new();
            headers.insert(ROLLUP.0, ROLLUP.1);
            // A connection that is closed for good is noticed by whoever pulls.
            let _ = client.publish_with_headers(subject, headers, Bytes::new()).await;
        });
    }
}

impl Nats {
    /// The anchor of a stream, if it has one.
    pub(super) fn anchor(&self, stream: &str) -> Option<Anchor> {
        let subject = self.topology().anchor(stream)?;
        let mut all = self.0.anchors.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(all.entry(stream.to_owned()).or_insert_with(|| Anchor::on(subject.into())).clone())
    }

    /// How many messages a work queue holds, without its anchor: one too many at the moment when that is first published.
    ///
    /// # Errors
    /// Where the broker does not answer, or has no such stream.
    pub async fn held(&self, stream: &str) -> Result<u64, async_nats::Error> {
        let mut found = self.jetstream().get_stream(stream).await?;
        let anchored = match self.topology().anchor(stream) {
            Some(anchor) => found.direct_get_last_for_subject(anchor).await.is_ok(),
            None => false,
        };
        let messages = found.info().await?.state.messages; // looked at last, or a message could pass for the anchor
        Ok(messages.saturating_sub(u64::from(anchored)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_follows_once_in_a_stretch_whoever_sees_it_first() {
        let one = Anchor::on("anchor".into());
        let other = one.clone();
        assert!(one.is_left_behind_by(7), "there is none yet");
        assert!(!one.is_left_behind_by(8) && !other.is_left_behind_by(STRETCH - 1));
        assert!(other.is_left_behind_by(STRETCH + 3));
        assert!(!one.is_left_behind_by(STRETCH) && !one.is_left_behind_by(9), "what comes late does not take it back");
    }
}

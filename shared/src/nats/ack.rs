//! A message in hand and the ways to let go of it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::message::AckKind;
use async_nats::{HeaderMap, Message, Request};
use bytes::Bytes;

use super::pull::{Generation, Holding};
use super::{Nats, REQUEST_TIMEOUT};
use crate::clock::Millis;

/// By how much the clocks of this process and the broker may differ.
const CLOCKS_DIFFER: Duration = Duration::from_secs(5);
/// How often an ack without an answer is repeated.
const TRIES: u32 = 5;

/// A message that a consumer handed out.
#[derive(Debug)]
pub struct InHand {
    nats: Nats,
    message: Message,
    sequence: u64,
    delivered: u64,
    published: Millis,
    holding: Holding,
    /// When the puller that brought it was opened.
    pulled_since: Millis,
    /// When the broker last heard, or said, that it is in hand.
    sign: Mutex<Instant>,
}

impl std::fmt::Debug for Nats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nats")
    }
}

impl InHand {
    /// Takes a message as it came from a consumer; `None` where it did not come from one, or this process has it in hand.
    #[must_use]
    pub(super) fn new(nats: &Nats, message: Message, generation: &Generation, pulled_since: Millis) -> Option<Self> {
        let handed_out = jetstream::Message { message, context: nats.jetstream().clone() };
        let (sequence, delivered, published) = {
            let info = handed_out.info().ok()?;
            let published = u64::try_from(info.published.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
            (info.stream_sequence, u64::try_from(info.delivered).unwrap_or(1), Millis(published))
        };
        let message = handed_out.message;
        Some(Self {
            nats: nats.clone(),
            message,
            sequence,
            delivered,
            published,
            holding: generation.hold(sequence)?,
            pulled_since,
            sign: Mutex::new(Instant::now()),
        })
    }

    /// Its subject.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.message.subject.as_str()
    }

    /// Its payload.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.message.payload
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.message.headers.as_ref()?.get(name).map(|value| value.as_str())
    }

    /// Its headers, if it has any.
    #[must_use]
    pub fn headers(&self) -> Option<&HeaderMap> {
        self.message.headers.as_ref()
    }

    /// Its sequence in the stream.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How often it was handed out, this time included.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// When it was stored, by the broker's clock.
    #[must_use]
    pub fn published(&self) -> Millis {
        self.published
    }

    /// Whether nobody had it in hand before, for certain. The count alone does not tell: a broker that was restarted, or whose
    /// consumer was made again, may have forgotten whom it gave a message to, so what is older than the puller, or not much
    /// younger, may have been handed out.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.delivered == 1 && self.published > self.pulled_since.after(CLOCKS_DIFFER)
    }

    /// Lets go for good, without waiting. An ack that is lost brings the message again, and the record says what to
    /// do with it then.
    pub async fn ack(&self) {
        self.send(AckKind::Ack).await;
    }

    /// Lets go for good and waits until the broker has taken it; says whether it did.
    pub async fn ack_confirmed(&self) -> bool {
        let Some(reply) = self.message.reply.clone() else { return true };
        for again in 0..TRIES {
            let request = Request::new().payload(Bytes::from_static(b"+ACK")).timeout(Some(REQUEST_TIMEOUT));
            // An answer without a body means taken; an error is "nobody took it" or "no answer": ask again.
            if self.nats.client().send_request(reply.clone(), request).await.is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50 << again)).await;
        }
        false
    }

    /// Gives it back, to be handed out again after a time. Nothing where its consumer was made again since: that one has
    /// handed it out anew, and would do so once more.
    pub async fn nak(&self, delay: Option<Duration>) {
        if self.is_current() {
            self.holding.let_go();
            self.send(AckKind::Nak(delay)).await;
        }
    }

    /// Says that work on it goes on.
    pub async fn progress(&self) {
        if self.is_current() {
            self.send(AckKind::Progress).await;
        }
    }

    /// The same, unless so much time has passed without a sign that somebody else has it by now.
    pub async fn keep(&self, ack_wait: Duration) {
        if self.is_kept(ack_wait) {
            *self.sign.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            self.progress().await;
        }
    }

    /// Whether the broker has had a sign of work on it within the time that it waits for one. A process that stood still for
    /// longer has lost it, for good: it was handed out again.
    #[must_use]
    pub fn is_kept(&self, ack_wait: Duration) -> bool {
        self.sign.lock().unwrap_or_else(PoisonError::into_inner).elapsed() <= ack_wait
    }

    fn is_current(&self) -> bool {
        self.holding.is_current()
    }

    async fn send(&self, kind: AckKind) {
        let Some(reply) = self.message.reply.clone() else { return };
        if let Err(error) = self.nats.client().publish(reply, kind.into()).await {
            tracing::debug!(%error, "an ack was not sent; the message comes again");
        }
    }
}

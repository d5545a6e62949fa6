//! Pulling exactly as many messages as there is room for.
//!
//! One subscription for each puller; a pull request names how many messages may come and how long it stands. What ends a
//! request is told apart: used up, expired, the consumer gone, the broker silent.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Nats;
use super::ack::InHand;
use super::anchor::Anchor;
use crate::clock::{self, Millis};

/// How long past its own end a request may be silent before it counts as lost.
const SILENCE: Duration = Duration::from_secs(2);
/// How long a broker may take to end a subscription when a puller closes.
const ENDS: Duration = Duration::from_secs(2);
/// What a request may bring beside its messages: how it ended, and how the one before it did.
const STATUSES: usize = 2;
/// So many messages fit into a block of a subscription's channel. Behind a full block comes another, and the channel keeps both:
/// 6 KiB each, for each of ten thousand queues.
const BLOCK: usize = 32;

/// Which life of a consumer a message was handed out by, and which of its messages this process has in hand.
///
/// A consumer that was made again hands out everything unacked anew, so whoever still holds a message of the earlier one has
/// no say in when it comes again. One that has waited for too long for a sign hands a message out again, maybe to the very
/// process that has it: the second copy is passed over, or it would be dealt with twice at once.
#[derive(Clone, Debug, Default)]
pub struct Generation(Arc<Lives>);

#[derive(Debug, Default)]
struct Lives {
    now: AtomicU64,
    /// By life and sequence.
    in_hand: Mutex<HashSet<(u64, u64)>>,
}

/// A message is in hand for as long as this lives, or until it is let go of.
#[derive(Debug)]
pub(super) struct Holding {
    generation: Generation,
    life: u64,
    sequence: u64,
    let_go: AtomicBool,
}

impl Generation {
    pub(super) fn now(&self) -> u64 {
        self.0.now.load(Ordering::Acquire)
    }

    fn next(&self) {
        self.0.now.fetch_add(1, Ordering::AcqRel);
    }

    /// `None` where this process has it in hand already.
    pub(super) fn hold(&self, sequence: u64) -> Option<Holding> {
        let life = self.now();
        let is_new = self.0.in_hand.lock().unwrap_or_else(PoisonError::into_inner).insert((life, sequence));
        is_new.then(|| Holding { generation: self.clone(), life, sequence, let_go: AtomicBool::new(false) })
    }
}

impl Holding {
    /// It may come again from now on.
    pub(super) fn let_go(&self) {
        if !self.let_go.swap(true, Ordering::AcqRel) {
            let in_hand = &self.generation.0.in_hand;
            in_hand.lock().unwrap_or_else(PoisonError::into_inner).remove(&(self.life, self.sequence));
        }
    }

    /// Whether the consumer is the one that handed it out.
    pub(super) fn is_current(&self) -> bool {
        self.generation.now() == self.life
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Pulls from one consumer.
pub struct Puller {
    nats: Nats,
    request_subject: Subject,
    inbox: Subject,
    subscription: Subscriber,
    connections: watch::Receiver<u64>,
    generation: Generation,
    outstanding: usize,
    /// All that the subscription has brought.
    received: usize,
    /// Whether the last request stood to its end: the queue is not busy.
    stood: bool,
    opened: Millis,
    until: Instant,
    anchor: Option<Anchor>,
}

/// What came of waiting.
#[derive(Debug)]
pub enum Pulled {
    /// A message.
    Message(Box<InHand>),
    /// The request is over: ask again.
    Over,
    /// So many requests wait at the consumer that the broker refuses more (512 where nothing else is said): others take what comes.
    /// Ask again after a while, or asking is all that is done.
    Crowded,
    /// The consumer is gone: create it.
    Gone,
    /// The connection or the broker changed, or has been silent: open a new puller.
    Lost,
}

/// The subscription could not be made.
#[derive(Debug, thiserror::Error)]
#[error("no subscription: {0}")]
pub struct PullError(String);

impl Puller {
    /// Opens a puller on a durable consumer. All pullers of one consumer in this process share its `generation`.
    ///
    /// # Errors
    /// Where the connection is closed for good.
    pub async fn open(nats: &Nats, stream: &str, consumer: &str, generation: &Generation) -> Result<Self, PullError> {
        let mut connections = nats.connections();
        connections.mark_unchanged();
        let (inbox, subscription) = subscribe(nats).await?;
        Ok(Self {
            nats: nats.clone(),
            request_subject: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}").into(),
            inbox,
            subscription,
            connections,
            generation: generation.clone(),
            outstanding: 0,
            received: 0,
            stood: false,
            opened: clock::now(),
            until: Instant::now(),
            anchor: nats.anchor(stream),
        })
    }

    /// How many messages the standing request may still bring.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Asks for messages. Call it only when nothing is outstanding.
    ///
    /// # Errors
    /// Where the connection is closed for good.
    pub async fn request(&mut self, batch: usize, expires: Duration) -> Result<(), PullError> {
        self.send(batch, format!(r#"{{"batch":{batch},"expires":{}}}"#, expires.as_nanos()), expires).await
    }

    /// The same for messages that may be large: not more than so many bytes come, subjects and headers included. Leave
    /// room for the largest message there can be, or the request is over at once as long as that is the next.
    ///
    /// # Errors
    /// Where the connection is closed for good.
    pub async fn request_within(&mut self, batch: usize, bytes: usize, expires: Duration) -> Result<(), PullError> {
        let body = format!(r#"{{"batch":{batch},"max_bytes":{bytes},"expires":{}}}"#, expires.as_nanos());
        self.send(batch, body, expires).await
    }

    async fn send(&mut self, batch: usize, body: String, expires: Duration) -> Result<(), PullError> {
        if std::mem::take(&mut self.stood) && self.received + STATUSES >= BLOCK {
            // Nothing is outstanding, so nothing is lost with the old subscription.
            (self.inbox, self.subscription) = subscribe(&self.nats).await?;
            self.received = 0;
        }
        self.nats
            .client()
            .publish_with_reply(self.request_subject.clone(), self.inbox.clone(), body.into())
            .await
            .map_err(|e| PullError(e.to_string()))?;
        self.outstanding = batch;
        self.until = Instant::now() + expires + SILENCE;
        Ok(())
    }

    /// Waits for what the standing request brings. Safe to drop and call again.
    pub async fn next(&mut self) -> Pulled {
        loop {
            let message = tokio::select! {
                biased;
                message = self.subscription.next() => message,
                _ = self.connections.changed() => return Pulled::Lost,
                () = tokio::time::sleep_until(self.until) => return Pulled::Lost,
            };
            let Some(message) = message else { return Pulled::Lost };
            self.received += 1;
            match message.status {
                None => {
                    self.outstanding = self.outstanding.saturating_sub(1);
                    // Large messages can take longer than the request stands; what comes is not silence.
                    self.until = self.until.max(Instant::now() + SILENCE);
                    match self.in_hand(message) {
                        Some(in_hand) => {
                            if let Some(anchor) = &self.anchor {
                                anchor.follow(&self.nats, in_hand.sequence());
                            }
                            return Pulled::Message(Box::new(in_hand));
                        }
                        None if self.outstanding == 0 => return Pulled::Over,
                        None => {}
                    }
                }
                Some(StatusCode::IDLE_HEARTBEAT) => {}
                // Said after the last message of a request with a limit of bytes: counted already, and by now perhaps
                // another request stands.
                Some(_) if message.description.as_deref() == Some("Batch Completed") => {}
                Some(status) => return self.ended(status, message.description.as_deref().unwrap_or_default()),
            }
        }
    }

    /// Asks for nothing more, and gives back at once what is under way already, however much that is.
    ///
    /// A subscription that ends at once drops what is under way, which comes again only when its time in hand is over. So it
    /// ends by number: after as many messages as it can bring at most, what is missing to that being sent by ourselves. The
    /// broker sends none beyond, and hands out again at once what its consumers would have sent; the client keeps the
    /// subscription until the last has come.
    pub async fn close(mut self) {
        let bring = self.outstanding + STATUSES;
        let last = u64::try_from(self.received + bring).unwrap_or(u64::MAX);
        if self.outstanding == 0 || self.subscription.unsubscribe_after(last).await.is_err() {
            return;
        }
        let mut held = Vec::new();
        let ending = async {
            for _ in 0..bring {
                self.nats.client().publish(self.inbox.clone(), Bytes::new()).await.ok()?;
            }
            while let Some(message) = self.subscription.next().await {
                held.extend(self.in_hand(message));
            }
            Some(())
        };
        // A broker that is away ends it too: what it holds for us comes again with its next life, or when its time is over.
        let _ = tokio::time::timeout(ENDS, ending).await;
        for in_hand in held {
            in_hand.nak(None).await;
        }
        // The process may end now.
        let _ = tokio::time::timeout(ENDS, self.nats.client().flush()).await;
    }

    fn in_hand(&self, message: async_nats::Message) -> Option<InHand> {
        InHand::new(&self.nats, message, &self.generation, self.opened)
    }

    fn ended(&mut self, status: StatusCode, description: &str) -> Pulled {
        self.outstanding = 0;
        let description = description.to_ascii_lowercase();
        let gone = match status.as_u16() {
            404 | 408 => {
                self.stood = true;
                return Pulled::Over;
            }
            409 if description.contains("maxwaiting") => return Pulled::Crowded,
            // The request asked for what the consumer cannot give right now; asking again is right.
            409 if description.contains("maxbytes") => return Pulled::Over,
            409 => description.contains("consumer deleted") || description.contains("not found"),
            503 => true,
            _ => false,
        };
        if gone {
            self.generation.next();
            return Pulled::Gone;
        }
        Pulled::Lost
    }
}

async fn subscribe(nats: &Nats) -> Result<(Subject, Subscriber), PullError> {
    let inbox = Subject::from(nats.client().new_inbox());
    let subscription = nats.client().subscribe(inbox.clone()).await.map_err(|e| PullError(e.to_string()))?;
    Ok((inbox, subscription))
}

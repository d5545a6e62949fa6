//! A KV bucket of values of one type, changed by compare-and-swap, watched with a new start at every reconnect.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{DeliverPolicy, push};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::publish::{EXPECTED_LAST, PublishError, TTL};
use super::read::ReadError;
use super::{Nats, broker_error};
use crate::clock::Millis;
use crate::topology::Topology;
use crate::wire::{self, Unreadable};

/// How long a removal is told to those who watch.
const MARKER_TTL: Duration = Duration::from_secs(3600);

/// A bucket by name. Cheap to clone.
pub struct Bucket<T> {
    nats: Nats,
    name: Arc<str>,
    values: PhantomData<fn() -> T>,
}

impl<T> Clone for Bucket<T> {
    fn clone(&self) -> Self {
        Self { nats: self.nats.clone(), name: self.name.clone(), values: PhantomData }
    }
}

/// A value and its revision.
#[derive(Clone, Debug)]
pub struct Entry<T> {
    /// The value.
    pub value: T,
    /// What a swap compares.
    pub revision: u64,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is there, at this revision.
    At(u64),
    /// Somebody else wrote first; nothing was stored.
    Changed,
    /// It may be there or not: read before acting on it.
    Unknown,
}

/// Why a bucket is of no use at the moment.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The value is not readable by this program.
    #[error("{key}: {why}")]
    Unreadable {
        /// Where it stands.
        key: String,
        /// Why not.
        why: Unreadable,
    },
    /// The broker has no room or will not take it.
    #[error(transparent)]
    Refused(PublishError),
}

/// What a watch tells.
#[derive(Debug)]
pub enum Change<T> {
    /// All that was known may be old: what follows begins with every entry there is.
    Anew,
    /// A key has this value now.
    Put {
        /// The key.
        key: String,
        /// Its value and revision.
        entry: Entry<T>,
        /// When it was written, by the broker's clock.
        at: Millis,
    },
    /// A key is gone.
    Removed {
        /// The key.
        key: String,
    },
    /// A key has a value now that this program cannot read.
    Unreadable {
        /// The key.
        key: String,
    },
    /// Everything that was there when the watch began has been told.
    Current,
}

impl<T> Bucket<T> {
    pub(super) fn new(nats: Nats, name: &str) -> Self {
        Self { nats, name: name.into(), values: PhantomData }
    }

    fn subject(&self, key: &str) -> String {
        Topology::key(&self.name, key)
    }

    async fn write(&self, key: &str, value: Bytes, headers: HeaderMap) -> Result<Written, BucketError> {
        match self.nats.publish(self.subject(key), headers, value).await {
            Ok(stored) => Ok(Written::At(stored.sequence)),
            Err(PublishError::Behind) => Ok(Written::Changed),
            Err(PublishError::BeingWritten | PublishError::NotTaken | PublishError::Unknown) => Ok(Written::Unknown),
            Err(error @ (PublishError::NoRoom(_) | PublishError::TooLarge { .. } | PublishError::Refused(_))) => {
                Err(BucketError::Refused(error))
            }
        }
    }

    /// Removes a key if it is at this revision; those who watch are told.
    ///
    /// # Errors
    /// Where the broker refuses.
    pub async fn remove(&self, key: &str, revision: u64) -> Result<Written, BucketError> {
        self.remove_told_for(key, revision, MARKER_TTL).await
    }

    /// The same, told for so long: where many are removed, what tells of it must not pile up.
    ///
    /// # Errors
    /// Where the broker refuses.
    pub async fn remove_told_for(&self, key: &str, revision: u64, told: Duration) -> Result<Written, BucketError> {
        let mut headers = expecting(revision);
        headers.insert("KV-Operation", "DEL");
        headers.insert(TTL, format!("{}s", told.as_secs().max(1)));
        self.write(key, Bytes::new(), headers).await
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Bucket<T> {
    /// The value of a key, never one that is behind.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn get(&self, key: &str) -> Result<Option<Entry<T>>, BucketError> {
        let held = self.nats.entry(&Topology::stream_of(&self.name), &self.subject(key)).await?;
        let Some(held) = held.filter(|held| held.header("KV-Operation").is_none()) else { return Ok(None) };
        let value = wire::decode(&held.payload).map_err(|why| BucketError::Unreadable { key: key.to_owned(), why })?;
        Ok(Some(Entry { value, revision: held.sequence }))
    }

    /// The revision of a key, whatever its value is; `None` where there is none.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn revision(&self, key: &str) -> Result<Option<u64>, BucketError> {
        let held = self.nats.entry(&Topology::stream_of(&self.name), &self.subject(key)).await?;
        Ok(held.filter(|held| held.header("KV-Operation").is_none()).map(|held| held.sequence))
    }

    /// Writes a key that does not exist. A key that was removed exists until its removal is forgotten, so this reads
    /// the removal's revision and swaps.
    ///
    /// # Errors
    /// Where the broker refuses.
    pub async fn create(&self, key: &str, value: &T) -> Result<Written, BucketError> {
        let written = self.swap(key, value, 0).await?;
        if written != Written::Changed {
            return Ok(written);
        }
        match self.nats.entry(&Topology::stream_of(&self.name), &self.subject(key)).await? {
            Some(held) if held.header("KV-Operation").is_some() => self.swap(key, value, held.sequence).await,
            Some(_) | None => Ok(Written::Changed),
        }
    }

    /// Writes a key that is at this revision (0: not there).
    ///
    /// # Errors
    /// Where the broker refuses.
    pub async fn swap(&self, key: &str, value: &T, revision: u64) -> Result<Written, BucketError> {
        self.write(key, wire::encode(value), expecting(revision)).await
    }

    /// The same for a value that is forgotten after a time.
    ///
    /// # Errors
    /// Where the broker refuses.
    pub async fn swap_for(&self, key: &str, value: &T, revision: u64, ttl: Duration) -> Result<Written, BucketError> {
        let mut headers = expecting(revision);
        headers.insert(TTL, format!("{}s", ttl.as_secs().max(1)));
        self.write(key, wire::encode(value), headers).await
    }

    /// Watches every key: all there is, then every change, from the start again after each reconnect or error.
    /// Ends when the receiver is dropped.
    #[must_use]
    pub fn watch(&self) -> mpsc::Receiver<Change<T>> {
        let (tell, told) = mpsc::channel(1024);
        let bucket = self.clone();
        tokio::spawn(async move { bucket.keep_watching(&tell).await });
        told
    }

    async fn keep_watching(&self, tell: &mpsc::Sender<Change<T>>) {
        let mut connections = self.nats.connections();
        while !tell.is_closed() {
            connections.mark_unchanged();
            tokio::select! {
                ended = self.watch_once(tell) => match ended {
                    Ok(()) => return,
                    Err(why) => tracing::debug!(bucket = &*self.name, why, "a watch ended, opening it again"),
                },
                // A watch over a reconnect can be silent for long: begin anew.
                _ = connections.changed() => {}
                () = tell.closed() => return,
            }
            tokio::time::sleep(Duration::from_millis(rand::random_range(20..200))).await;
        }
    }

    async fn watch_once(&self, tell: &mpsc::Sender<Change<T>>) -> Result<(), String> {
        let stream = Topology::stream_of(&self.name);
        let config = push::OrderedConfig {
            deliver_subject: self.nats.client().new_inbox(),
            filter_subject: self.subject(">"),
            deliver_policy: DeliverPolicy::LastPerSubject,
            ..push::OrderedConfig::default()
        };
        let consumer =
            self.nats.jetstream().create_consumer_on_stream(config, stream).await.map_err(|e| broker_error(&e))?;
        let mut told_all = consumer.cached_info().num_pending == 0;
        let mut messages = consumer.messages().await.map_err(|e| broker_error(&e))?;
        let mut changes = vec![Change::Anew];
        if told_all {
            changes.push(Change::Current);
        }
        loop {
            for change in changes.drain(..) {
                if tell.send(change).await.is_err() {
                    return Ok(());
                }
            }
            let message = messages.next().await.ok_or("the stream ended")?.map_err(|e| broker_error(&e))?;
            let info = message.info().map_err(|e| e.to_string())?;
            changes.extend(self.change(&message, info.stream_sequence, info.published.unix_timestamp_nanos()));
            if !told_all && info.pending == 0 {
                told_all = true;
                changes.push(Change::Current);
            }
        }
    }

    fn change(&self, message: &async_nats::Message, revision: u64, nanos: i128) -> Option<Change<T>> {
        let key = message.subject.as_str().strip_prefix(&self.subject(""))?.to_owned();
        if message.headers.as_ref().is_some_and(|headers| headers.get("KV-Operation").is_some()) {
            return Some(Change::Removed { key });
        }
        match wire::decode(&message.payload) {
            Ok(value) => {
                let at = Millis(u64::try_from(nanos / 1_000_000).unwrap_or(0));
                Some(Change::Put { key, entry: Entry { value, revision }, at })
            }
            Err(why) => {
                tracing::debug!(bucket = &*self.name, key, %why, "an entry cannot be read");
                Some(Change::Unreadable { key })
            }
        }
    }
}

fn expecting(revision: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(EXPECTED_LAST, revision.to_string());
    headers
}

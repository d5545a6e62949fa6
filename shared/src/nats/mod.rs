//! The broker as this program uses it: guarded publish, records and buckets with compare-and-swap, exact pulls,
//! confirmed acks. The only place that matches NATS error kinds.

pub mod ack;
mod anchor;
pub mod backlog;
pub mod batch;
pub mod bucket;
mod connect;
pub mod dead;
pub mod deliveries;
mod denied;
pub(crate) mod for_now;
pub mod guarded;
pub mod hand_over;
pub mod heads;
pub mod lane;
pub mod letters;
pub mod publish;
pub mod pull;
pub mod read;
pub mod records;
mod time;
pub mod watched;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::Context;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::timeout;

pub use connect::{ConnectError, ConnectOptions};

use crate::topology::{Party, Topology};

/// How long one request to the broker may take before its effect counts as unknown.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// How often an echo is waited for.
const ECHOES: u32 = 5;

/// A connection to the broker and the names of what is there. Cheap to clone, and no larger than a pointer: each
/// queue, gate and message of a worker has its own.
#[derive(Clone)]
pub struct Nats(Arc<Connection>);

struct Connection {
    client: Client,
    jetstream: Context,
    topology: Topology,
    connections: watch::Receiver<u64>,
    denied: Arc<denied::Denied>,
    party: Option<Party>,
    anchors: anchor::Anchors,
}

impl Nats {
    /// The client, for core subjects.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// The JetStream API, for what has no typed form here.
    #[must_use]
    pub fn jetstream(&self) -> &Context {
        &self.0.jetstream
    }

    /// The names of everything.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.0.topology
    }

    /// Whether it is for this connection to change what is this party's own.
    pub(crate) fn acts_for(&self, owner: Party) -> bool {
        self.0.party.is_none_or(|party| party == owner || party == Party::Operator)
    }

    /// The subject prefix.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.0.topology.prefix()
    }

    /// Counts connections: a change means that every stream and watch must be opened anew.
    #[must_use]
    pub fn connections(&self) -> watch::Receiver<u64> {
        self.0.connections.clone()
    }

    /// Resolves when the broker has taken in all that this connection has sent: what was subscribed to is found by others. It
    /// reads what comes over a connection in order, and a flush tells only that it was sent. A broker that is away does so
    /// when it is back, and is not waited for.
    ///
    /// # Errors
    /// Where the connection is closed for good.
    pub async fn has_taken_in(&self) -> Result<(), async_nats::Error> {
        let client = self.client();
        for _ in 0..ECHOES {
            let inbox = client.new_inbox();
            let mut echo = client.subscribe(inbox.clone()).await?;
            client.publish(inbox, Bytes::new()).await?;
            // Without an echo the connection was lost in between.
            if let Ok(Some(_)) = timeout(REQUEST_TIMEOUT, echo.next()).await {
                break;
            }
        }
        Ok(())
    }

    /// The largest payload the broker takes, in bytes.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.0.client.server_info().max_payload
    }

    /// A bucket of values of one type.
    #[must_use]
    pub fn bucket<T>(&self, name: &str) -> bucket::Bucket<T> {
        bucket::Bucket::new(self.clone(), name)
    }

    /// The records of all jobs.
    #[must_use]
    pub fn records(&self) -> records::Records {
        records::Records::new(self.clone())
    }
}

/// What the broker or the client library said, with its causes.
pub fn broker_error(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

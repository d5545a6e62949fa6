//! Makes what the names name: idempotent, from any role, at any start.

use std::error::Error;
use std::time::Duration;

use async_nats::jetstream::consumer::{self, AckPolicy, pull};
use async_nats::jetstream::stream::{Config as Stream, ConsumerCreateStrictErrorKind};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::access::Party;
use super::lanes::{LaneConsumer, Laned};
use super::names::{Settings, Topology};
use crate::domain::id::QueueName;
use crate::domain::lane::Lane;
use crate::nats::bucket::{BucketError, Written};
use crate::nats::for_now::ForNow;
use crate::nats::read::ReadError;
use crate::nats::{Nats, broker_error};
use crate::queues::QueueEntry;

/// The oldest nats-server that runs this: older ones corrupt schedules on recovery or stall consumers after deletes.
pub const MIN_SERVER: (u64, u64) = (2, 15);

/// How long what came due may be in hand: it is handled in milliseconds.
const DUE_ACK_WAIT: Duration = Duration::from_secs(15);
/// A queue's consumer that nobody asked anything for so long removes itself: longer than its entry is kept without work.
const QUEUE_INACTIVE: Duration = Duration::from_secs(26 * 3600);
/// So many things are made at a time: for most starts they are there, and each is one question.
const AT_ONCE: usize = 16;
/// The key of the settings in the bucket of queues.
const SETTINGS_KEY: &str = "_topology";

/// Why the assets are not there.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The broker is older than what this program relies on.
    #[error("nats-server {found} is too old: {}.{} or newer is needed", MIN_SERVER.0, MIN_SERVER.1)]
    ServerTooOld {
        /// What it says it is.
        found: String,
    },
    /// The deployment was started with other settings before.
    #[error(
        "this deployment was made with {there:?}, the configuration says {wanted:?}: set [topology] to what is there, \
         or use another prefix"
    )]
    Contradiction {
        /// What the broker holds.
        there: Box<Settings>,
        /// What the configuration says.
        wanted: Box<Settings>,
    },
    /// The broker refused to make something.
    #[error("{asset} could not be made: {why}")]
    Refused {
        /// Which stream, bucket or consumer.
        asset: String,
        /// What the broker said.
        why: String,
    },
    /// The broker cannot make it at the moment.
    #[error("{asset} cannot be made at the moment: {why}")]
    NotNow {
        /// Which stream, bucket or consumer.
        asset: String,
        /// What the broker said.
        why: String,
    },
    /// Something is not there, and this user may not make it.
    #[error(
        "{asset} is not there, and NATS does not let this user make it: run `sluice topology` as one who may (the \
         operator's key of `sluice nats-config`)"
    )]
    NotAllowed {
        /// Which stream, bucket or consumer.
        asset: String,
    },
    /// The settings could not be read or written.
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

impl CreateError {
    /// Whether it says nothing about what was to be made: the broker cannot answer at the moment.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::ServerTooOld { .. } | Self::Contradiction { .. } | Self::Refused { .. } | Self::NotAllowed { .. } => {
                false
            }
            Self::NotNow { .. } => true,
            Self::Bucket(error) => matches!(error, BucketError::Read(ReadError::NoAnswer)),
        }
    }

    /// `request` is what the broker was asked on to make it.
    fn of<E: Error + ForNow>(nats: &Nats, request: &str, asset: String, error: &E) -> Self {
        let why = broker_error(error);
        if nats.is_denied(request) {
            return Self::NotAllowed { asset };
        }
        if error.is_for_now() { Self::NotNow { asset, why } } else { Self::Refused { asset, why } }
    }
}

/// How long dead letters are kept, and what consumers are made with.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Dead letters older than this are dropped.
    pub dead_letter_age: Duration,
    /// How long a message may be in hand without a sign of life.
    pub ack_wait: Duration,
}

impl Topology {
    /// Makes every stream, bucket and fixed consumer that is not there yet, after checking that the deployment agrees.
    ///
    /// # Errors
    /// Where the server is too old, the settings contradict those of the deployment, or the broker refuses.
    pub async fn create(&self, nats: &Nats, options: Options) -> Result<(), CreateError> {
        server_is_new_enough(nats)?;
        self.make(nats, self.bucket(&self.queues_bucket())).await?;
        self.agree(nats).await?;
        let records = (0..self.settings().record_buckets).map(|number| self.records_bucket(number));
        let buckets = records.chain(self.other_buckets()).map(|bucket| self.bucket(&bucket));
        let jobs = (0..self.settings().shards).map(|shard| self.jobs(shard));
        let others = [self.results(), self.deliveries(), self.dead_letters(options), self.submissions(), self.events()];
        some_at_once(buckets.chain(jobs).chain(others).map(|stream| self.make(nats, stream))).await?;
        some_at_once((0..self.settings().shards).map(|shard| self.create_due_consumer(nats, shard))).await?;
        self.create_lane_consumers(nats, options.ack_wait).await
    }

    /// Makes the consumer of a queue from what its entry says. One that is there already stays as it is.
    ///
    /// # Errors
    /// Where the broker refuses.
    pub async fn create_queue_consumer(
        &self,
        nats: &Nats,
        name: &QueueName,
        entry: &QueueEntry,
        ack_wait: Duration,
    ) -> Result<(), CreateError> {
        let stream = self.jobs_stream(entry.shard);
        let config = pull::Config {
            durable_name: Some(name.to_string()),
            filter_subject: self.queue_filter(entry.shard, name),
            ack_policy: AckPolicy::Explicit,
            ack_wait,
            max_deliver: -1,
            max_ack_pending: entry.max_ack_pending,
            inactive_threshold: QUEUE_INACTIVE,
            num_replicas: usize::from(self.settings().replicas),
            memory_storage: self.settings().consumers_in_memory,
            ..pull::Config::default()
        };
        let Err(error) = nats.jetstream().create_consumer_strict_on_stream(config, &stream).await else {
            return Ok(());
        };
        if error.kind() == ConsumerCreateStrictErrorKind::AlreadyExists {
            return Ok(());
        }
        Err(not_made(nats, &stream, name.as_str(), &error))
    }

    /// Makes the consumer of what comes due in a shard, again where the broker lost it.
    ///
    /// # Errors
    /// Where the broker refuses.
    pub async fn create_due_consumer(&self, nats: &Nats, shard: u16) -> Result<(), CreateError> {
        let options = Options { ack_wait: DUE_ACK_WAIT, dead_letter_age: Duration::ZERO };
        let stream = self.jobs_stream(shard);
        self.consume(nats, Party::Worker, (&stream, self.due_consumer()), self.due_filter(shard), options).await
    }

    /// Makes the stream of events, again where a restart of the broker has lost it with its memory.
    ///
    /// # Errors
    /// Where the broker refuses.
    pub async fn create_events(&self, nats: &Nats) -> Result<(), CreateError> {
        self.make(nats, self.events()).await
    }

    /// Makes the consumers of all lanes: of results, deliveries and submissions.
    ///
    /// # Errors
    /// Where the broker refuses.
    pub async fn create_lane_consumers(&self, nats: &Nats, ack_wait: Duration) -> Result<(), CreateError> {
        let all = Laned::ALL.into_iter().flat_map(|what| self.lanes().map(move |lane| (what, lane)));
        some_at_once(all.map(|(what, lane)| self.create_lane_consumer(nats, what, lane, ack_wait))).await
    }

    /// Makes the consumer of a lane, again where the broker lost it.
    ///
    /// # Errors
    /// Where the broker refuses.
    pub async fn create_lane_consumer(
        &self,
        nats: &Nats,
        what: Laned,
        lane: Lane,
        ack_wait: Duration,
    ) -> Result<(), CreateError> {
        let options = Options { ack_wait, dead_letter_age: Duration::ZERO };
        let LaneConsumer { owner, stream, name, filter } = self.lane(what, lane);
        Box::pin(self.consume(nats, owner, (&stream, &name), filter, options)).await
    }

    /// The first start writes the settings, every later one compares.
    async fn agree(&self, nats: &Nats) -> Result<(), CreateError> {
        let bucket = nats.bucket::<Settings>(&self.queues_bucket());
        loop {
            if let Some(there) = bucket.get(SETTINGS_KEY).await? {
                let (there, wanted) = (Box::new(there.value), Box::new(self.settings().clone()));
                return if there == wanted { Ok(()) } else { Err(CreateError::Contradiction { there, wanted }) };
            }
            match bucket.create(SETTINGS_KEY, self.settings()).await? {
                Written::At(_) => return Ok(()),
                Written::Changed | Written::Unknown => {}
            }
        }
    }

    async fn make(&self, nats: &Nats, stream: Stream) -> Result<(), CreateError> {
        let asset = stream.name.clone();
        if nats.jetstream().get_stream(&asset).await.is_ok() {
            return Ok(()); // a setting that an operator changed on purpose stays
        }
        let made = nats.jetstream().create_stream(stream).await;
        made.map(|_| ()).map_err(|error| {
            let request = format!("$JS.API.STREAM.CREATE.{asset}");
            CreateError::of(nats, &request, asset, &error)
        })
    }

    async fn consume(
        &self,
        nats: &Nats,
        owner: Party,
        (stream, name): (&str, &str),
        filter: String,
        options: Options,
    ) -> Result<(), CreateError> {
        let config = pull::Config {
            durable_name: Some(name.to_owned()),
            filter_subject: filter,
            ack_policy: AckPolicy::Explicit,
            ack_wait: options.ack_wait,
            max_deliver: -1,
            max_ack_pending: 10_000,
            num_replicas: usize::from(self.settings().replicas),
            ..pull::Config::default()
        };
        let there = nats.jetstream().get_consumer_from_stream::<pull::Config, _, _>(name, stream).await;
        // One that somebody else pulls is theirs to change.
        let will_do = |there: &consumer::Config| is_as_wanted(there, &config) || !nats.acts_for(owner);
        if there.as_ref().is_ok_and(|there| will_do(&there.cached_info().config)) {
            return Ok(());
        }
        let Err(error) = nats.jetstream().create_consumer_on_stream(config, stream).await else { return Ok(()) };
        // One that is there and cannot be changed is better than none. (Made within milliseconds of its predecessor's
        // removal, a consumer loses its directory to that, and refuses changes until the next restart.)
        if nats.jetstream().get_consumer_from_stream::<pull::Config, _, _>(name, stream).await.is_ok() {
            tracing::warn!(stream, consumer = name, why = broker_error(&error), "a consumer stays as it was");
            return Ok(());
        }
        Err(not_made(nats, stream, name, &error))
    }
}

/// Makes all of them, several at a time.
async fn some_at_once<F>(makers: impl Iterator<Item = F>) -> Result<(), CreateError>
where
    F: Future<Output = Result<(), CreateError>>,
{
    stream::iter(makers).buffer_unordered(AT_ONCE).try_collect().await
}

/// Whether a consumer need not be changed: what else it is made with follows from its name.
fn is_as_wanted(there: &consumer::Config, wanted: &pull::Config) -> bool {
    there.ack_wait == wanted.ack_wait
        && there.filter_subject == wanted.filter_subject
        && there.max_ack_pending == wanted.max_ack_pending
        && there.max_deliver == wanted.max_deliver
}

fn not_made<E: Error + ForNow>(nats: &Nats, stream: &str, name: &str, error: &E) -> CreateError {
    let request = format!("$JS.API.CONSUMER.CREATE.{stream}.{name}");
    CreateError::of(nats, &request, format!("consumer {name} on {stream}"), error)
}

fn server_is_new_enough(nats: &Nats) -> Result<(), CreateError> {
    let found = nats.client().server_info().version;
    let mut parts = found.split(['.', '-']).map(|part| part.parse::<u64>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version < MIN_SERVER { Err(CreateError::ServerTooOld { found }) } else { Ok(()) }
}

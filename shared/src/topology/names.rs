//! The names of all assets, from the few settings that a deployment chooses once.

use crate::domain::event::{About, What};
use crate::domain::id::{Incarnation, JobId, QueueName, Tenant};

/// What a deployment chooses once; written into the broker at first start and compared from then on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    /// The first token of every subject, and the beginning of every stream and bucket name.
    pub prefix: String,
    /// How many `JOBS` streams the queues are spread over.
    pub shards: u16,
    /// How many buckets the records are spread over.
    pub record_buckets: u16,
    /// How many lanes submissions, results and webhooks that come due are spread over, by tenant.
    pub lanes: u16,
    /// Copies of every stream and bucket: 1, 3 or 5.
    pub replicas: u8,
    /// Whether the consumers of queues keep their state in memory only.
    pub consumers_in_memory: bool,
}

/// The names of all streams, subjects, consumers and buckets.
#[derive(Clone, Debug)]
pub struct Topology {
    settings: Settings,
    upper: String,
}

impl Topology {
    /// The names under these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let upper = settings.prefix.to_uppercase();
        Self { settings, upper }
    }

    /// What the deployment chose.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether every stream has one copy: whoever answers for it then is never behind.
    #[must_use]
    pub fn has_one_copy(&self) -> bool {
        self.settings.replicas == 1
    }

    /// The first token of every subject.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.settings.prefix
    }

    // ---- job messages

    /// The stream of a shard.
    #[must_use]
    pub fn jobs_stream(&self, shard: u16) -> String {
        format!("{}_JOBS_{shard}", self.upper)
    }

    /// What the consumer of a queue takes.
    #[must_use]
    pub fn queue_filter(&self, shard: u16, queue: &QueueName) -> String {
        format!("{}.jobs.{shard}.{queue}.>", self.prefix())
    }

    /// The timers of a queue that wait.
    #[must_use]
    pub fn later_filter(&self, shard: u16, queue: &QueueName) -> String {
        format!("{}.later.{shard}.{queue}.>", self.prefix())
    }

    /// What the consumer of fired timers and signals of a shard takes.
    #[must_use]
    pub fn due_filter(&self, shard: u16) -> String {
        format!("{}.due.{shard}.>", self.prefix())
    }

    /// The name of the consumer of fired timers and signals of a shard.
    #[must_use]
    pub fn due_consumer(&self) -> &'static str {
        "due"
    }

    /// The shard that a new queue goes to.
    #[must_use]
    pub fn shard_for_new(&self, queue: &QueueName) -> u16 {
        u16::try_from(queue.spread() % u64::from(self.settings.shards)).unwrap_or(0)
    }

    // ---- records and bodies

    /// The bucket that holds a job's record.
    #[must_use]
    pub fn records_bucket_of(&self, job: &JobId) -> String {
        self.records_bucket(u16::try_from(job.spread() % u64::from(self.settings.record_buckets)).unwrap_or(0))
    }

    /// A bucket of records by number.
    #[must_use]
    pub fn records_bucket(&self, number: u16) -> String {
        format!("{}_records_{number}", self.prefix())
    }

    /// The bucket of request bodies too large for a record.
    #[must_use]
    pub fn bodies_bucket(&self) -> String {
        format!("{}_bodies", self.prefix())
    }

    // ---- other buckets

    /// The bucket of gates.
    #[must_use]
    pub fn gates_bucket(&self) -> String {
        format!("{}_gates", self.prefix())
    }

    /// The bucket of queues, which also holds the settings of the deployment.
    #[must_use]
    pub fn queues_bucket(&self) -> String {
        format!("{}_queues", self.prefix())
    }

    /// The bucket of deliveries that did not go through at the first try.
    #[must_use]
    pub fn deliveries_bucket(&self) -> String {
        format!("{}_deliveries", self.prefix())
    }

    /// The bucket of what each tenant's webhooks are signed with.
    #[must_use]
    pub fn webhook_secrets_bucket(&self) -> String {
        format!("{}_webhook_secrets", self.prefix())
    }

    /// The bucket of secrets that jobs name.
    #[must_use]
    pub fn secrets_bucket(&self) -> String {
        format!("{}_secrets", self.prefix())
    }

    /// The bucket of leases and cursors of the sweep.
    #[must_use]
    pub fn sweep_bucket(&self) -> String {
        format!("{}_sweep", self.prefix())
    }

    /// The bucket of API keys.
    #[must_use]
    pub fn keys_bucket(&self) -> String {
        format!("{}_keys", self.prefix())
    }

    /// The bucket of what was submitted with each key.
    #[must_use]
    pub fn meters_bucket(&self) -> String {
        format!("{}_meters", self.prefix())
    }

    /// The bucket of jobs that are open for keys which may have only so many.
    #[must_use]
    pub fn open_bucket(&self) -> String {
        format!("{}_open", self.prefix())
    }

    /// The bucket of regions that have workers.
    #[must_use]
    pub fn regions_bucket(&self) -> String {
        format!("{}_regions", self.prefix())
    }

    /// All buckets but those of records and that of queues.
    #[must_use]
    pub fn other_buckets(&self) -> [String; 10] {
        [
            self.bodies_bucket(),
            self.gates_bucket(),
            self.deliveries_bucket(),
            self.webhook_secrets_bucket(),
            self.secrets_bucket(),
            self.sweep_bucket(),
            self.keys_bucket(),
            self.meters_bucket(),
            self.open_bucket(),
            self.regions_bucket(),
        ]
    }

    // ---- other streams

    /// The stream of outcomes on their way to the delivery service.
    #[must_use]
    pub fn results_stream(&self) -> String {
        format!("{}_RESULTS", self.upper)
    }

    /// The subject of a job's result, in the lane of its tenant.
    #[must_use]
    pub fn result(&self, tenant: &Tenant, job: &JobId) -> String {
        format!("{}.results.{}.{tenant}.{job}", self.prefix(), self.lane_of(tenant))
    }

    /// All results.
    #[must_use]
    pub fn results_filter(&self) -> String {
        format!("{}.results.>", self.prefix())
    }

    /// The stream of webhooks to be tried again.
    #[must_use]
    pub fn deliveries_stream(&self) -> String {
        format!("{}_DELIVERIES", self.upper)
    }

    /// A webhook that waits to be tried again, in the lane of its tenant: `…later.<lane>.<tenant>.<job>.<incarnation>.<n>`. The
    /// last three are the id of its event.
    #[must_use]
    pub fn delivery_later(&self, tenant: &Tenant, event: &str) -> String {
        self.delivery_at("later", tenant, event)
    }

    /// A webhook whose time to be tried again has come.
    #[must_use]
    pub fn delivery_due(&self, tenant: &Tenant, event: &str) -> String {
        self.delivery_at("due", tenant, event)
    }

    /// A webhook's messages, waiting or due: what an expectation is about.
    #[must_use]
    pub fn delivery_any(&self, tenant: &Tenant, event: &str) -> String {
        self.delivery_at("*", tenant, event)
    }

    fn delivery_at(&self, stage: &str, tenant: &Tenant, event: &str) -> String {
        format!("{}.deliveries.{stage}.{}.{tenant}.{event}", self.prefix(), self.lane_of(tenant))
    }

    /// All webhooks that wait to be tried again.
    #[must_use]
    pub fn deliveries_later_filter(&self) -> String {
        format!("{}.deliveries.later.>", self.prefix())
    }

    /// The stream of dead letters.
    #[must_use]
    pub fn dead_stream(&self) -> String {
        format!("{}_DEAD", self.upper)
    }

    /// A dead letter: `kind` is one of `webhook`, `submission`, `message`, `result`.
    #[must_use]
    pub fn dead(&self, kind: &str, tenant: &str, rest: &str) -> String {
        format!("{}.dead.{kind}.{tenant}.{rest}", self.prefix())
    }

    /// The stream of durable submissions.
    #[must_use]
    pub fn submit_stream(&self) -> String {
        format!("{}_SUBMIT", self.upper)
    }

    /// Durable submissions of a tenant; without its token, of the default one.
    #[must_use]
    pub fn submit(&self, tenant: Option<&Tenant>) -> String {
        match tenant {
            Some(tenant) => format!("{}.submit.{tenant}", self.prefix()),
            None => format!("{}.submit", self.prefix()),
        }
    }

    /// All durable submissions, those whose subject names no tenant properly too.
    #[must_use]
    pub fn submit_filters(&self) -> [String; 2] {
        let default = self.submit(None);
        [format!("{default}.>"), default]
    }

    /// The stream of what happens to jobs.
    #[must_use]
    pub fn events_stream(&self) -> String {
        format!("{}_EVENTS", self.upper)
    }

    /// An event of a job: `…events.<tenant>.<job>.<incarnation>.<about>.<kind>`.
    #[must_use]
    pub fn event(&self, tenant: &Tenant, job: &JobId, incarnation: &Incarnation, what: &What) -> String {
        format!("{}.events.{tenant}.{job}.{incarnation}.{}.{}", self.prefix(), what.about(), what.kind())
    }

    /// All events of one life of a job, or of all its lives.
    #[must_use]
    pub fn events_of(&self, tenant: &Tenant, job: &JobId, life: Option<&Incarnation>) -> String {
        let life = life.map_or("*", Incarnation::as_str);
        format!("{}.events.{tenant}.{job}.{life}.>", self.prefix())
    }

    /// The events about one thing in one life of a job.
    #[must_use]
    pub fn events_about(&self, tenant: &Tenant, job: &JobId, incarnation: &Incarnation, about: About) -> String {
        format!("{}.events.{tenant}.{job}.{incarnation}.{about}.*", self.prefix())
    }

    /// The end of a job, in whichever life.
    #[must_use]
    pub fn settled_event(&self, tenant: &Tenant, job: &JobId) -> String {
        format!("{}.events.{tenant}.{job}.*.job.settled", self.prefix())
    }

    /// The subject in a work queue that nobody takes: what keeps its newest file. That of durable submissions has none, for
    /// the broker puts all that begins with the prefix in lanes there.
    #[must_use]
    pub fn anchor(&self, stream: &str) -> Option<String> {
        (stream != self.submit_stream()).then(|| format!("{}.anchor.{stream}", self.prefix()))
    }

    // ---- core subjects

    /// Where the end of a race is announced to the workers in flight.
    #[must_use]
    pub fn settled(&self, job: &JobId) -> String {
        format!("{}.settled.{job}", self.prefix())
    }

    /// The ends of all races.
    #[must_use]
    pub fn settled_any(&self) -> String {
        format!("{}.settled.*", self.prefix())
    }

    /// The subject of an operation of the NATS service, with the tenant's token or a wildcard for it.
    #[must_use]
    pub fn api(&self, operation: &str, tenant: Option<&str>) -> String {
        match tenant {
            Some(tenant) => format!("{}.api.{operation}.{tenant}", self.prefix()),
            None => format!("{}.api.{operation}", self.prefix()),
        }
    }

    /// What stands in the place of the tenant in a subject that may end with one; nothing where it ends before.
    #[must_use]
    pub fn tenant_in<'a>(subject: &'a str, without: &str) -> Option<&'a str> {
        subject.strip_prefix(without)?.strip_prefix('.')
    }

    // ---- KV by hand

    /// The stream behind a bucket.
    #[must_use]
    pub fn stream_of(bucket: &str) -> String {
        format!("KV_{bucket}")
    }

    /// The subject of a key in a bucket.
    #[must_use]
    pub fn key(bucket: &str, key: &str) -> String {
        format!("$KV.{bucket}.{key}")
    }
}

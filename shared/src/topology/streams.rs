//! What each stream and bucket is made with.
//!
//! Pure. Invariant: what carries a job has no limit by bytes, messages or age.

use std::time::Duration;

use async_nats::jetstream::stream::{Config as Stream, DiscardPolicy, RetentionPolicy, StorageType, SubjectTransform};

use super::create::Options;
use super::names::Topology;

/// Results published twice within this window are stored once.
const RESULT_DUPLICATES: Duration = Duration::from_secs(120);
/// Submissions that are stored twice within this window, under one id, are stored once.
const SUBMIT_DUPLICATES: Duration = Duration::from_millis(100);
/// How long events are kept for timelines.
const EVENTS_AGE: Duration = Duration::from_secs(60 * 60);

impl Topology {
    /// A bucket is a stream by the KV convention; made by hand because records may have no delete markers.
    pub(super) fn bucket(&self, name: &str) -> Stream {
        Stream {
            name: Self::stream_of(name),
            subjects: vec![format!("$KV.{name}.>")],
            max_messages_per_subject: 1,
            discard: DiscardPolicy::New,
            allow_direct: true,
            allow_rollup: true,
            deny_delete: false,
            allow_message_ttl: true,
            ..self.stream()
        }
    }

    pub(super) fn jobs(&self, shard: u16) -> Stream {
        let prefix = self.prefix();
        let subjects = ["jobs", "later", "due"].map(|stage| format!("{prefix}.{stage}.{shard}.>"));
        Stream {
            max_messages_per_subject: 1,
            allow_message_schedules: true,
            allow_message_ttl: true,
            ..self.work_queue(self.jobs_stream(shard), subjects)
        }
    }

    pub(super) fn results(&self) -> Stream {
        Stream {
            duplicate_window: RESULT_DUPLICATES,
            ..self.work_queue(self.results_stream(), [self.results_filter()])
        }
    }

    pub(super) fn deliveries(&self) -> Stream {
        let prefix = self.prefix();
        let subjects = ["later", "due"].map(|stage| format!("{prefix}.deliveries.{stage}.>"));
        Stream {
            max_messages_per_subject: 1,
            allow_message_schedules: true,
            allow_message_ttl: true,
            ..self.work_queue(self.deliveries_stream(), subjects)
        }
    }

    pub(super) fn dead_letters(&self, options: Options) -> Stream {
        Stream {
            name: self.dead_stream(),
            subjects: vec![format!("{}.dead.>", self.prefix())],
            max_age: options.dead_letter_age,
            allow_direct: true,
            ..self.stream()
        }
    }

    pub(super) fn submissions(&self) -> Stream {
        let (source, destination) = self.submissions_transform();
        Stream {
            // An operator may limit it; what was acknowledged is never dropped for what comes.
            discard: DiscardPolicy::New,
            // The broker compares the ids of all tenants, so one could stand in another's way; one key is one job anyway,
            // however often it is stored. This is the least that the broker takes.
            duplicate_window: SUBMIT_DUPLICATES,
            // Clients know nothing of lanes.
            subject_transform: Some(SubjectTransform { source, destination }),
            ..self.work_queue(self.submit_stream(), self.submit_filters())
        }
    }

    pub(super) fn events(&self) -> Stream {
        Stream {
            name: self.events_stream(),
            subjects: vec![format!("{}.events.>", self.prefix())],
            storage: StorageType::Memory,
            max_age: EVENTS_AGE,
            max_bytes: 256 << 20,
            num_replicas: 1,
            allow_direct: true,
            ..self.stream()
        }
    }

    /// A stream whose messages go when they are acked.
    fn work_queue<const N: usize>(&self, name: String, subjects: [String; N]) -> Stream {
        let anchor = self.anchor(&name);
        Stream {
            name,
            // The anchor takes the place of the one before it. Nowhere else: what clients publish to must not be theirs to empty.
            allow_rollup: anchor.is_some(),
            subjects: subjects.into_iter().chain(anchor).collect(),
            retention: RetentionPolicy::WorkQueue,
            allow_direct: true,
            ..self.stream()
        }
    }

    fn stream(&self) -> Stream {
        Stream {
            storage: StorageType::File,
            num_replicas: usize::from(self.settings().replicas),
            max_messages: -1,
            max_bytes: -1,
            ..Stream::default()
        }
    }
}

//! Following a job: what happened so far, then what happens, then its outcome.
//!
//! Core NATS only says that there is something to read; what is told is read from the stream of events, in order and by
//! place. Invariant: it ends with the outcome, also where every event was lost, for the record is read again every few
//! seconds and says what no event said.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::Subscriber;
use futures_util::StreamExt;
use sluice_shared::clock;
use sluice_shared::domain::event::{Event, What, so_far};
use sluice_shared::domain::id::{Incarnation, JobId, Tenant};
use sluice_shared::domain::payload::OutcomeBody;
use sluice_shared::domain::record::Record;
use sluice_shared::nats::read::ReadError;
use tokio::sync::watch;
use tokio::time::sleep;

use super::Jobs;
use super::body::outcome_of;
use super::place::{Holds, Place};
use super::read::{GetError, READ_AGAIN, within};
use super::timeline::{Name, Told, complete, missing, taken};

/// Word of an event can come a moment before the event can be read: after which pauses it is looked for again.
const LOOK_AGAIN: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(5), Duration::from_millis(50), Duration::from_millis(200)];

/// For how long after it happened something may be told by the record and not yet by a message.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// What a follower is told next.
#[derive(Debug)]
pub enum Next {
    /// Something that happened.
    Event(Told),
    /// How the job ended; nothing follows.
    Outcome(Box<OutcomeBody>),
}

/// Follows one job. Dropping it frees all it holds.
pub struct Follower {
    jobs: Jobs,
    job: JobId,
    record: Box<Record>,
    word: Subscriber,
    connections: watch::Receiver<u64>,
    /// The stream as it was last seen; nothing where it is lost.
    holds: Option<Holds>,
    read_to: u64,
    /// Where the client goes on that was cut off.
    begun_behind: Option<Place>,
    /// Messages that word came of, less those that were read.
    owed: i64,
    /// What was told from the record: an event that comes after all is not told again.
    told_from_record: Vec<Name>,
    settlement_told: bool,
    ready: VecDeque<Next>,
    ended: bool,
}

/// Why a follower looks again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Woken {
    /// Something happened.
    ByWord,
    /// Nothing was heard for a while, or the connection was lost: anything may have been missed.
    ToBeSure,
}

impl Jobs {
    /// Follows a job of this tenant: from behind a place where all that follows it is held, else from its beginning.
    ///
    /// # Errors
    /// Where there is no such job, or the broker does not answer.
    pub async fn follow(&self, tenant: &Tenant, job: &JobId, after: Option<Place>) -> Result<Follower, GetError> {
        let nats = self.effects().nats();
        let connections = nats.connections();
        // Before the record is read, so that no word of an end is missed between the two.
        let subject = nats.topology().events_of(tenant, job, None);
        let word = nats.client().subscribe(subject).await;
        let word = word.map_err(|_| GetError::Unavailable(ReadError::NoAnswer))?;
        let mut follower = Follower {
            jobs: self.clone(),
            job: job.clone(),
            record: self.record(tenant, job).await?,
            word,
            connections,
            holds: self.events_held().await,
            read_to: 0,
            begun_behind: None,
            owed: 0,
            told_from_record: Vec::new(),
            settlement_told: false,
            ready: VecDeque::new(),
            ended: false,
        };
        follower.begin(after).await;
        Ok(follower)
    }

    /// What the stream of events holds; nothing where it is lost.
    async fn events_held(&self) -> Option<Holds> {
        let nats = self.effects().nats();
        let stream = within(nats.jetstream().get_stream(nats.topology().events_stream())).await?;
        let info = stream.cached_info();
        let created = u64::try_from(info.created.unix_timestamp_nanos() / 1_000_000).ok()?;
        Some(Holds { created, first: info.state.first_sequence, last: info.state.last_sequence })
    }
}

impl Follower {
    /// Which life of the job is followed.
    #[must_use]
    pub fn incarnation(&self) -> &Incarnation {
        &self.record.incarnation
    }

    /// Whether the outcome is the last of what is ready to be told.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// What comes next; nothing after the outcome, or where the job is gone.
    pub async fn next(&mut self) -> Option<Next> {
        loop {
            if let Some(next) = self.ready.pop_front() {
                return Some(next);
            }
            if self.ended {
                return None;
            }
            self.go_on().await;
        }
    }

    async fn begin(&mut self, after: Option<Place>) {
        let known = after.filter(|place| self.holds.is_some_and(|holds| holds.all_after(*place)));
        if let Some(place) = known {
            (self.begun_behind, self.read_to) = (Some(place), place.next().saturating_sub(1));
            // Told before this place, or it comes.
            self.settlement_told = self.record.outcome.is_some();
        }
        let mut held = self.read().await;
        if known.is_none() && self.is_ahead_of(&held) {
            self.owed = 1;
            held.extend(self.read_patiently().await);
        }
        let webhooks = self.jobs.webhooks(&self.job, &self.record).await;
        self.owed = 0;
        if known.is_some() {
            self.tell(held);
            self.tell(taken(&webhooks).into_iter().map(Told::not_held));
        } else {
            let all = complete(&self.record, &webhooks, held);
            self.told_from_record = all.iter().filter(|told| told.place.is_none()).map(Told::name).collect();
            self.tell(all);
        }
        if self.record.outcome.is_some() {
            self.end().await;
        }
    }

    /// Whether the record tells of something that is told right after it was written, perhaps together with what was before.
    fn is_ahead_of(&self, held: &[Told]) -> bool {
        let now = clock::now();
        let is_new = |event: &Event| event.what != What::Accepted && now.since(event.at) < TOLD_WITHIN;
        missing(&self.record, held).iter().any(is_new)
    }

    async fn go_on(&mut self) {
        let woken = self.wait().await;
        if woken == Woken::ToBeSure {
            self.look_at_stream().await;
        }
        let held = match woken {
            Woken::ByWord => self.read_patiently().await,
            Woken::ToBeSure => self.read().await,
        };
        self.tell_news(held);
        if self.settlement_told || woken == Woken::ToBeSure {
            self.look_at_record().await;
        }
    }

    async fn wait(&mut self) -> Woken {
        tokio::select! {
            Some(_) = self.word.next() => {
                self.owed += 1;
                Woken::ByWord
            }
            Ok(()) = self.connections.changed() => Woken::ToBeSure,
            () = sleep(READ_AGAIN) => Woken::ToBeSure,
        }
    }

    /// A stream that was made anew begins with sequence 1 again.
    async fn look_at_stream(&mut self) {
        let before = self.holds;
        self.holds = self.jobs.events_held().await.or(before);
        if self.holds.map(|holds| holds.created) != before.map(|holds| holds.created) {
            (self.begun_behind, self.read_to) = (None, 0);
        }
    }

    async fn look_at_record(&mut self) {
        match self.jobs.record(&self.record.tenant, &self.job).await {
            Ok(record) if record.incarnation != self.record.incarnation => self.ended = true,
            Ok(record) => {
                self.record = record;
                if self.record.outcome.is_some() {
                    self.end().await;
                }
            }
            Err(GetError::Unavailable(error)) => tracing::debug!(%error, "a followed job was not read, trying again"),
            Err(GetError::NotFound | GetError::Unreadable) => self.ended = true,
        }
    }

    /// The settlement, from the record where no event tells of it, then the outcome.
    async fn end(&mut self) {
        if !self.settlement_told {
            self.owed += 1; // it was told right after the record that was just read
            let held = self.read_patiently().await;
            self.tell_news(held);
        }
        if !self.settlement_told {
            let settled = so_far(&self.record).into_iter().filter(|event| matches!(event.what, What::Settled { .. }));
            self.tell(settled.map(Told::not_held));
        }
        self.ready.extend(outcome_of(&self.record).map(Box::new).map(Next::Outcome));
        self.ended = true;
    }

    /// Until what word came of is there; not for ever, for word can come of what was read before or of another life.
    async fn read_patiently(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        for pause in LOOK_AGAIN {
            sleep(pause).await;
            told.extend(self.read().await);
            if self.owed <= 0 {
                return told;
            }
        }
        self.owed = 0;
        told
    }

    /// What the stream holds of this life of the job beyond what was read.
    async fn read(&mut self) -> Vec<Told> {
        let Some(Holds { created, .. }) = self.holds else { return Vec::new() };
        let nats = self.jobs.effects().nats();
        let (stream, topology) = (nats.topology().events_stream(), nats.topology());
        let subject = topology.events_of(&self.record.tenant, &self.job, Some(&self.record.incarnation));
        let mut told = Vec::new();
        while let Some(Some(held)) = within(nats.next_from(&stream, &subject, self.read_to + 1)).await {
            self.read_to = held.sequence;
            self.owed -= 1;
            let known = self.begun_behind.filter(|place| place.sequence == held.sequence).and_then(|place| place.part);
            told.extend(Told::of_message(created, held.sequence, &held.payload).into_iter().skip(known.unwrap_or(0)));
        }
        told
    }

    /// What comes after all though it was told from the record is passed over, once.
    fn tell_news(&mut self, held: Vec<Told>) {
        for news in held {
            match self.told_from_record.iter().position(|told| *told == news.name()) {
                Some(told) => drop(self.told_from_record.swap_remove(told)),
                None => self.tell([news]),
            }
        }
    }

    fn tell(&mut self, told: impl IntoIterator<Item = Told>) {
        for told in told {
            self.settlement_told |= matches!(told.event.what, What::Settled { .. });
            self.ready.push_back(Next::Event(told));
        }
    }
}

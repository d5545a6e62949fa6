//! What handlers ask of the broker, again while nobody knows: the guarded publishes, records and reads of
//! `sluice_shared::nats`, step for step.

use std::rc::Rc;
use std::time::Duration;

use sluice_shared::clock::Millis;
use sluice_shared::domain::demand::When;
use sluice_shared::domain::id::JobId;
use sluice_shared::domain::record::Record;
use sluice_shared::domain::result::JobResult;
use sluice_shared::effects::NotDone;
use sluice_shared::nats::bucket::Written;
use sluice_shared::nats::guarded::{Moved, NotMoved};
use sluice_shared::nats::publish::PublishError;
use sluice_shared::nats::read::ReadError;
use sluice_shared::nats::records::Found;
use sluice_shared::topology::{JobSubject, Stage};

use super::broker::{Chain, Load};
use super::net::NoAnswer;
use super::rules::Rule;
use super::world::Node;

const PUBLISH_TRIES: u32 = 10;
const READ_TRIES: u32 = 8;

impl Node {
    /// `Nats::move_chain`.
    pub(super) async fn move_chain(
        &self,
        address: &JobSubject,
        when: When,
        attempt: u32,
        newest: u64,
    ) -> Result<Moved, NotMoved> {
        let (stage, at) = match when {
            When::Work => (Stage::Work, None),
            When::Due => (Stage::Due, None),
            When::Later(at) => (Stage::Later, Some(at)),
        };
        let expected = self.world.rules.keep(Rule::ExpectTheNewest).then_some(newest);
        self.publish_until_certain(stage, &Chain::Job(address.clone()), &Load::Pointer(attempt), at, expected).await
    }

    /// `Nats::publish_until_certain`.
    pub(super) async fn publish_until_certain(
        &self,
        stage: Stage,
        chain: &Chain,
        load: &Load,
        at: Option<Millis>,
        expected: Option<u64>,
    ) -> Result<Moved, NotMoved> {
        for again in 0..PUBLISH_TRIES {
            let (chain, load) = (chain.clone(), load.clone());
            match self.ask(move |world| world.publish((stage, &chain), load, at, expected)).await {
                Ok(Ok(_)) => return Ok(Moved::Stored),
                Ok(Err(PublishError::Behind)) => return Ok(Moved::FurtherOn),
                Ok(Err(error)) => return Err(NotMoved(error)),
                Err(_) => self.sleep(Duration::from_millis(20 << again.min(5))).await,
            }
        }
        Err(NotMoved(PublishError::Unknown))
    }

    /// `Effects::publish_result`.
    pub(super) async fn publish_result(&self, job: &JobId, record: &Record, again: bool) -> Result<(), NotDone> {
        let result = Rc::new(JobResult::of(job, record).ok_or(NotDone::Incomplete)?);
        for tries in 0..PUBLISH_TRIES {
            let (result, again) = (Rc::clone(&result), again || tries > 0);
            match self.ask(move |world| world.publish_result(result, again)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => return Err(NotDone::Result(error)),
                Err(_) => self.sleep(Duration::from_millis(20 << tries.min(5))).await,
            }
        }
        Err(NotDone::Result(PublishError::Unknown))
    }

    /// `Effects::announce`: core NATS, no promise.
    pub(super) fn announce(&self, job: &JobId) {
        let job = job.clone();
        self.tell(|| "announces the end".into());
        self.send(move |world| world.announced(&job));
    }

    /// `Records::read`.
    pub(super) async fn read(&self, job: &JobId) -> Result<Found, ReadError> {
        for again in 0..READ_TRIES {
            let name = job.clone();
            match self.ask(move |world| world.read(&name)).await {
                Ok(found) => {
                    self.saw(if let Found::Record(record, _) = &found { Some(record) } else { None });
                    return Ok(found);
                }
                Err(NoAnswer::Nobody) => self.sleep(Duration::from_millis(20 << again.min(6))).await,
                Err(NoAnswer::Silence) => {}
            }
        }
        Err(ReadError::NoAnswer)
    }

    /// `Records::write`.
    pub(super) async fn write(
        &self,
        job: &JobId,
        record: &Record,
        revision: u64,
        ttl: Duration,
    ) -> Result<Written, PublishError> {
        let ttl = record.outcome.is_some().then_some(ttl);
        let (name, next) = (job.clone(), Rc::new(record.clone()));
        match self.ask(move |world| world.write(&name, next, revision, ttl)).await {
            Ok(Ok(revision)) => {
                self.saw(Some(record));
                Ok(Written::At(revision))
            }
            Ok(Err(PublishError::Behind)) => Ok(Written::Changed),
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(Written::Unknown),
        }
    }

    /// The task knows the record as it was read or written.
    fn saw(&self, record: Option<&Record>) {
        let task = self.world.clockwork.current();
        self.world.checks.borrow_mut().saw(task, record.cloned());
    }
}

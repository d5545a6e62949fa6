//! The handlers' way from a decision to the broker. The loop is the product's own; `swap` and `perform` of
//! `sluice_shared::effects` are here once more, step for step.

use std::time::Duration;

use sluice_shared::clock::Millis;
use sluice_shared::domain::decide::Known;
use sluice_shared::domain::demand::{Decision, Demand, Expect};
use sluice_shared::domain::id::JobId;
use sluice_shared::domain::record::Record;
use sluice_shared::domain::result::FollowUp;
use sluice_shared::effects::{self, Carrier, Effects, Handled, JobMessage, NotDone, Seen, Unfinished};
use sluice_shared::nats::bucket::Written;
use sluice_shared::nats::publish::PublishError;
use sluice_shared::nats::read::ReadError;
use sluice_shared::nats::records::Found;

use super::checks::Sight;
use super::rules::Rule;
use super::world::Node;

/// How long a settled record is kept.
pub(super) const SETTLED_TTL: Duration = Duration::from_secs(24 * 3600);

impl Node {
    /// The product's own loop, with this process in the place of the broker.
    pub(super) async fn handle(
        &self,
        message: &JobMessage,
        seen: Option<Seen>,
        decide: impl Fn(Known<'_>, Millis) -> Decision,
    ) -> Result<Handled, Unfinished> {
        let decided = |known: Known<'_>, now| {
            if matches!(known, Known::Record(record) if record.incarnation != message.address.incarnation) {
                self.world.checks.borrow_mut().met(Sight::OldLife);
            }
            self.bent(message, decide(known, now))
        };
        effects::handle(self, message, seen, decided).await
    }

    /// `Effects::perform`.
    pub(super) async fn perform(
        &self,
        job: &JobId,
        record: &Record,
        demands: &[Demand],
        in_hand: u64,
    ) -> Result<(), NotDone> {
        for demand in demands {
            match demand {
                Demand::Message { token, when, attempt, expect } => {
                    let newest = match expect {
                        Expect::Nothing => 0,
                        Expect::InHand => in_hand,
                    };
                    let address = Effects::address(job, record, self.named(*token)).ok_or(NotDone::Incomplete)?;
                    self.move_chain(&address, *when, *attempt, newest).await?;
                }
                Demand::Result { again } => self.publish_result(job, record, *again).await?,
                Demand::Announce => self.announce(job),
                Demand::SubmitOnFailure => Box::pin(self.submit_on_failure(job, record)).await?,
            }
        }
        Ok(())
    }

    async fn submit_on_failure(&self, job: &JobId, record: &Record) -> Result<(), NotDone> {
        let Some(follow_up) = &record.on_failure else { return Ok(()) };
        self.submit_follow_up(&record.tenant, FollowUp::OnFailure.key(job, &record.incarnation), follow_up).await
    }
}

impl Carrier for Node {
    fn now(&self) -> Millis {
        Self::now(self)
    }

    fn settled_ttl(&self) -> Duration {
        SETTLED_TTL
    }

    async fn read(&self, job: &JobId) -> Result<Found, ReadError> {
        Self::read(self, job).await
    }

    /// `Effects::swap`.
    async fn swap(
        &self,
        job: &JobId,
        old: &Record,
        next: &Record,
        revision: u64,
        now: Millis,
    ) -> Result<Written, PublishError> {
        self.announce_too_early(job, next).await;
        let ttl = old.last_timer().since(now) + SETTLED_TTL;
        match self.write(job, next, revision, ttl).await? {
            Written::Changed | Written::Unknown if !self.world.rules.keep(Rule::LookAfterSwaps) => Ok(Written::At(0)),
            written @ (Written::At(_) | Written::Changed | Written::Unknown) => Ok(written),
        }
    }

    async fn perform(&self, job: &JobId, record: &Record, demands: &[Demand], in_hand: u64) -> Result<(), NotDone> {
        Self::perform(self, job, record, demands, in_hand).await
    }

    async fn pause(&self, again: u32) {
        self.sleep(Duration::from_millis(u64::from(again))).await;
    }
}

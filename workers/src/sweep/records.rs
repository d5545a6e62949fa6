//! The pass over records: branches and signals of pending jobs that have no message.

use std::collections::HashSet;

use sluice_shared::clock;
use sluice_shared::domain::demand::Demand;
use sluice_shared::domain::id::{JobId, Token};
use sluice_shared::domain::record::Record;
use sluice_shared::effects::Effects;
use sluice_shared::fault_points;
use sluice_shared::nats::heads::Head;
use sluice_shared::nats::publish::SCHEDULE;
use sluice_shared::nats::read::Held;
use sluice_shared::nats::records::{Found, STATE};
use sluice_shared::queues::QueueSpec;
use sluice_shared::telemetry::Healed;
use sluice_shared::topology::{JobSubject, Stage};

use super::needs::{missing, watched};
use super::round::{Round, Stopped};

impl Round<'_> {
    /// Looks at one record, if it is pending.
    pub(super) async fn record(&mut self, key: &str, head: &Head) -> Result<(), Stopped> {
        let (Some("pending"), Ok(job)) = (head.header(STATE), key.parse::<JobId>()) else { return Ok(()) };
        if let Found::Record(record, _) = self.effects.records().read(&job).await? {
            fault_points::point("sweep", &record.key);
            self.heal(&job, &record).await?;
            self.expire_deserted(&job, &record).await?;
        }
        self.pace().await
    }

    /// Looks at the chains first, then at the record as it is now: only what was empty before is filled from it.
    async fn heal(&mut self, job: &JobId, seen: &Record) -> Result<(), Stopped> {
        let without = self.without_message(job, seen).await?;
        if without.is_empty() {
            return Ok(());
        }
        let Found::Record(record, _) = self.effects.records().read(job).await? else { return Ok(()) };
        if record.incarnation != seen.incarnation {
            return Ok(());
        }
        let demands = missing(&record, &without, clock::now());
        self.effects.perform(job, &record, &demands, 0).await?;
        for demand in demands {
            if let Demand::Message { token, .. } = demand {
                tracing::info!(%job, %token, "a message that was missing is there again");
                self.metrics.healed(if matches!(token, Token::Branch(_)) { Healed::Chain } else { Healed::Signal });
            }
        }
        Ok(())
    }

    /// Of what should have a message, what has none. What else is found wrong on the way is put right.
    async fn without_message(&mut self, job: &JobId, seen: &Record) -> Result<HashSet<Token>, Stopped> {
        let nats = self.effects.nats();
        let mut without = HashSet::new();
        for token in watched(seen, clock::now()) {
            let Some(address) = Effects::address(job, seen, token) else { continue };
            let stream = nats.topology().jobs_stream(address.shard);
            match nats.newest(&stream, &address.any_stage(nats.prefix())).await? {
                None => {
                    without.insert(token);
                }
                Some(held) if self.is_overdue(held.header(SCHEDULE)) => {
                    self.publish_again(&held.subject, &held.payload, held.sequence).await?;
                }
                Some(held) => self.keep_queue_of_work(seen, token, &held).await?,
            }
            self.pace().await?;
        }
        Ok(without)
    }

    /// Work that slipped in while its queue was being removed gets the entry back.
    async fn keep_queue_of_work(&self, record: &Record, token: Token, held: &Held) -> Result<(), Stopped> {
        let work = matches!(JobSubject::parse(self.effects.nats().prefix(), &held.subject), Ok((Stage::Work, _)));
        let (true, Token::Branch(number)) = (work, token) else { return Ok(()) };
        let Some(branch) = record.branch(number) else { return Ok(()) };
        if self.effects.queues().get(&branch.queue).is_none()
            && let Some(spec) = QueueSpec::of_branch(record, branch)
        {
            self.effects.queues().keep(&spec, clock::now()).await?;
            self.metrics.healed(Healed::Queue);
        }
        Ok(())
    }
}

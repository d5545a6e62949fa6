//! The sweep: `sluice_workers::sweep`, step for step; what is missing is decided by the product (`needs`). Every worker
//! sweeps, as if the lease kept nobody from it.

use std::collections::HashSet;
use std::time::Duration;

use sluice_shared::clock::Millis;
use sluice_shared::domain::demand::{Demand, When};
use sluice_shared::domain::id::{JobId, Token};
use sluice_shared::domain::record::Record;
use sluice_shared::effects::{Effects, NotDone};
use sluice_shared::nats::guarded::Moved;
use sluice_shared::nats::records::Found;
use sluice_shared::topology::Stage;
use sluice_workers::sweep::needs::{missing, watched};

use super::broker::{Chain, Load, Message};
use super::checks::Sight;
use super::rules::Rule;
use super::world::Node;

const INTERVAL: Duration = Duration::from_secs(30);
const OVERDUE_AFTER: Duration = Duration::from_secs(60);
const PENDING_AFTER: Duration = Duration::from_secs(60);

/// What one record or timer refuses does not keep the others from being looked at.
struct PassedOver;

impl From<NotDone> for PassedOver {
    fn from(_: NotDone) -> Self {
        Self
    }
}

impl Node {
    /// Sweeps round after round.
    pub(super) async fn sweep(self) {
        loop {
            self.sleep(INTERVAL).await;
            if self.stop.begun.get() {
                return;
            }
            for message in self.overdue_timers().await {
                let _ = self.publish_again(&message).await;
            }
            for job in self.old_pending_records().await {
                let _ = self.heal(&job).await;
            }
        }
    }

    /// Signals before chains.
    async fn overdue_timers(&self) -> Vec<Message> {
        let now = self.now();
        let mut overdue = self
            .ask(move |world| {
                let broker = world.broker.borrow();
                broker.messages.iter().filter(|message| is_overdue(message, now)).cloned().collect::<Vec<_>>()
            })
            .await
            .unwrap_or_default();
        overdue.sort_by_key(|message| matches!(&message.chain, Chain::Job(at) if matches!(at.token, Token::Branch(_))));
        overdue
    }

    async fn old_pending_records(&self) -> Vec<JobId> {
        let now = self.now();
        self.ask(move |world| {
            let broker = world.broker.borrow();
            let old = broker
                .records
                .iter()
                .filter(|(_, kept)| kept.record.outcome.is_none() && now.since(kept.stored) > PENDING_AFTER);
            old.map(|(job, _)| job.clone()).collect()
        })
        .await
        .unwrap_or_default()
    }

    /// A copy that expects the sequence of what it replaces.
    async fn publish_again(&self, held: &Message) -> Result<(), PassedOver> {
        let soon = self.now().after(Duration::from_secs(1));
        let load = held.load.clone();
        let moved = self.publish_until_certain(Stage::Later, &held.chain, &load, Some(soon), Some(held.sequence)).await;
        if moved.map_err(|_| PassedOver)? == Moved::Stored {
            self.world.checks.borrow_mut().met(Sight::TimerHealed);
        }
        Ok(())
    }

    /// Looks at the chains first, then at the record as it is now.
    async fn heal(&self, job: &JobId) -> Result<(), PassedOver> {
        let seen = self.record(job).await?;
        if !self.world.rules.keep(Rule::ChainBeforeRecord) {
            self.pace().await;
            return self.heal_from(job, &seen).await;
        }
        self.pace().await;
        let without = self.without_message(job, &seen).await?;
        if without.is_empty() {
            return Ok(());
        }
        let record = self.record(job).await?;
        if record.incarnation != seen.incarnation {
            return Ok(());
        }
        let demands = missing(&record, &without, self.now());
        self.perform(job, &record, &demands, 0).await?;
        if !demands.is_empty() {
            self.world.checks.borrow_mut().met(Sight::MessageHealed);
        }
        Ok(())
    }

    /// The sweep takes its time, now and then a lot.
    async fn pace(&self) {
        let most = if self.world.mishap(self.world.faults.dawdle) { 150_000 } else { 4 };
        self.world.sleep(self.world.chance.between(0, most)).await;
    }

    async fn without_message(&self, job: &JobId, seen: &Record) -> Result<HashSet<Token>, PassedOver> {
        let mut without = HashSet::new();
        for token in watched(seen, self.now()) {
            match self.newest(job, seen, token).await? {
                None => {
                    without.insert(token);
                }
                Some(held) if is_overdue(&held, self.now()) => self.publish_again(&held).await?,
                Some(_) => {}
            }
        }
        Ok(without)
    }

    /// From the record that was read first, whatever the chains hold by now.
    async fn heal_from(&self, job: &JobId, seen: &Record) -> Result<(), PassedOver> {
        let all: HashSet<Token> = watched(seen, self.now()).into_iter().collect();
        for demand in missing(seen, &all, self.now()) {
            let Demand::Message { token, when, attempt, .. } = demand else { continue };
            let held = self.newest(job, seen, token).await?;
            let address = Effects::address(job, seen, token).ok_or(PassedOver)?;
            let soon = When::Later(self.now().after(Duration::from_secs(1)));
            let (when, newest) = match &held {
                None => (when, 0),
                Some(held) if is_overdue(held, self.now()) => (soon, held.sequence),
                Some(_) => continue,
            };
            self.move_chain(&address, when, attempt, newest).await.map_err(|_| PassedOver)?;
        }
        Ok(())
    }

    async fn record(&self, job: &JobId) -> Result<Box<Record>, PassedOver> {
        match self.read(job).await {
            Ok(Found::Record(record, _)) => Ok(record),
            Ok(Found::Absent | Found::Newer(_) | Found::Malformed(_)) | Err(_) => Err(PassedOver),
        }
    }

    async fn newest(&self, job: &JobId, record: &Record, token: Token) -> Result<Option<Message>, PassedOver> {
        let chain = Chain::Job(Effects::address(job, record, token).ok_or(PassedOver)?);
        self.ask(move |world| world.broker.borrow().newest(&chain).cloned()).await.map_err(|_| PassedOver)
    }
}

/// Whether this timer should have fired long ago.
fn is_overdue(message: &Message, now: Millis) -> bool {
    message.stage == Stage::Later
        && message.at.is_some_and(|at| now.since(at) > OVERDUE_AFTER)
        && has_load(&message.load)
}

fn has_load(load: &Load) -> bool {
    matches!(load, Load::Pointer(_) | Load::Delivery(_))
}

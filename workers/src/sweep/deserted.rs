//! Branches that are only for regions without workers, of jobs that are too old: nobody else is there to let them expire.
//!
//! Their messages stay in their queues, where they are dropped once somebody comes up.

use sluice_shared::clock::{self, Millis};
use sluice_shared::domain::decide::Kind;
use sluice_shared::domain::id::{BranchId, JobId, Token};
use sluice_shared::domain::outcome::ErrorKind;
use sluice_shared::domain::record::{BranchState, Record};
use sluice_shared::effects::{Effects, JobMessage};

use super::round::{Round, Stopped};
use crate::handler::Handler;

const EXPIRED: &str = "the job was older than the maximum age, and no region that it is only for had a worker";

impl Round<'_> {
    /// Ends those of a record that was just read. One that a worker takes at the same moment is decided by the record, as ever.
    pub(super) async fn expire_deserted(&mut self, job: &JobId, record: &Record) -> Result<(), Stopped> {
        let now = clock::now();
        if record.outcome.is_some() || now.since(record.starts_at) <= self.options.max_age {
            return Ok(());
        }
        for branch in self.deserted(record, now) {
            let Some(address) = Effects::address(job, record, Token::Branch(branch)) else { continue };
            let message = JobMessage { address, kind: Kind::Work, attempt: 0, sequence: 0, published: now };
            let handler = Handler::new(self.effects.clone(), self.metrics.clone());
            handler.die(&message, ErrorKind::Expired, EXPIRED.to_owned()).await?;
            tracing::info!(%job, %branch, "a branch that was only for regions without workers has expired");
            self.pace().await?;
        }
        Ok(())
    }

    fn deserted(&self, record: &Record, now: Millis) -> Vec<BranchId> {
        let live = self.effects.queues().regions().live();
        let waits = |state| matches!(state, BranchState::Live { due_at, .. } if due_at <= now);
        let deserted = record.numbered().filter(|(_, one)| waits(one.state) && one.placed.place.is_deserted(&live));
        deserted.map(|(number, _)| number).collect()
    }
}

//! The pass over request bodies: those whose record never came, or whose job ended without letting go of them.

use sluice_shared::domain::id::{BranchId, Incarnation, JobId};
use sluice_shared::domain::outcome::Status;
use sluice_shared::domain::record::Record;
use sluice_shared::nats::heads::Head;
use sluice_shared::nats::publish::TTL;
use sluice_shared::nats::records::Found;
use sluice_shared::telemetry::Healed;

use super::round::{Round, Stopped};

/// Whose body it is.
struct Owner {
    job: JobId,
    incarnation: Incarnation,
    branch: BranchId,
}

impl Round<'_> {
    /// Looks at one body, if it is kept without end: its record should be there.
    pub(super) async fn body(&mut self, key: &str, head: &Head) -> Result<(), Stopped> {
        let (None, Some(owner)) = (head.header(TTL), Owner::parse(key)) else { return Ok(()) };
        self.keep_or_forget(&owner).await?;
        self.pace().await
    }

    async fn keep_or_forget(&self, owner: &Owner) -> Result<(), Stopped> {
        let Owner { job, incarnation, branch } = owner;
        let records = self.effects.records();
        match records.read(job).await? {
            Found::Record(record, _) if owner.is_needed_by(&record) => return Ok(()),
            Found::Newer(_) | Found::Malformed(_) => return Ok(()),
            // Kept for a retry, as long as the record.
            Found::Record(record, _) if owner.may_be_retried_by(&record) => {
                if let Some(body) = records.body(job, incarnation, *branch).await? {
                    records.put_body(job, incarnation, *branch, body, Some(self.effects.settled_ttl())).await?;
                }
            }
            Found::Record(..) | Found::Absent => records.forget_body(job, incarnation, *branch).await,
        }
        self.metrics.healed(Healed::Body);
        Ok(())
    }
}

impl Owner {
    fn parse(key: &str) -> Option<Self> {
        let mut tokens = key.split('.');
        let (job, incarnation) = (tokens.next()?.parse().ok()?, tokens.next()?.parse().ok()?);
        let branch = BranchId(tokens.next()?.parse().ok()?);
        tokens.next().is_none().then_some(Self { job, incarnation, branch })
    }

    fn is_needed_by(&self, record: &Record) -> bool {
        record.incarnation == self.incarnation && record.outcome.is_none()
    }

    fn may_be_retried_by(&self, record: &Record) -> bool {
        let ended_badly = record.outcome.as_ref().is_some_and(|outcome| outcome.status != Status::Success);
        record.incarnation == self.incarnation && ended_badly
    }
}

//! The pass over request bodies: those whose record never came, or whose job ended without letting go of them.

use sluice_shared::clock;
use sluice_shared::domain::id::{BranchId, Incarnation, JobId};
use sluice_shared::domain::outcome::Status;
use sluice_shared::domain::record::Record;
use sluice_shared::nats::publish::TTL;
use sluice_shared::nats::records::Found;
use sluice_shared::telemetry::Healed;
use sluice_shared::topology::Topology;

use super::cursor::Cursor;
use super::round::{Round, Stopped, go_on};

/// Whose body it is.
struct Owner {
    job: JobId,
    incarnation: Incarnation,
    branch: BranchId,
}

impl Round<'_> {
    /// Looks at bodies that are kept without end, and old enough that their record should be there.
    pub(super) async fn bodies(&mut self) -> Result<(), Stopped> {
        let nats = self.effects.nats();
        let bucket = nats.topology().bodies_bucket();
        let stream = Topology::stream_of(&bucket);
        let mut cursor = Cursor::read(nats, &stream).await?;
        let heads = cursor.advance(nats, &stream, &Topology::key(&bucket, ">")).await?;
        for head in heads {
            if clock::now().since(head.stored) <= self.options.orphan_after {
                return Ok(());
            }
            let key = head.subject.strip_prefix(&Topology::key(&bucket, ""));
            if head.header(TTL).is_none()
                && let Some(owner) = key.and_then(Owner::parse)
            {
                let looked = self.body(&owner).await;
                go_on(looked)?;
                self.pace().await?;
            }
        }
        Ok(())
    }

    async fn body(&self, owner: &Owner) -> Result<(), Stopped> {
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

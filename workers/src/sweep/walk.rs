//! Walking through a long stream: the oldest first, a bounded number in a round, the place kept page by page.

use std::time::Duration;

use sluice_shared::clock;
use sluice_shared::nats::heads::Head;
use sluice_shared::panics::caught;
use sluice_shared::topology::Topology;

use super::cursor::{Cursor, MOST, PAGE};
use super::round::{Round, Stopped, go_on};

/// What is looked at on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// Records of jobs.
    Records,
    /// Request bodies.
    Bodies,
}

impl Round<'_> {
    /// Looks at what is old enough in a bucket, first at what no earlier round has reached. What breaks down about one
    /// message does not keep the others from being looked at.
    pub(super) async fn walk(&mut self, walk: Walk, bucket: &str) -> Result<(), Stopped> {
        let nats = self.effects.nats();
        let stream = Topology::stream_of(bucket);
        let mut cursor = Cursor::read(nats, &stream).await?;
        let heads = cursor.heads(nats, &stream, &Topology::key(bucket, ">")).await?;
        for page in heads.chunks(PAGE) {
            // Sequences grow with time: all that follows the first young one is younger.
            let old = page.iter().take_while(|head| self.is_old(walk, head)).count();
            for head in &page[..old] {
                self.look(walk, bucket, head).await?;
            }
            match page.last() {
                Some(last) if old == page.len() => cursor.keep(last.sequence + 1).await?,
                Some(_) | None => return Ok(cursor.begin_anew().await?),
            }
            self.pace().await?;
        }
        if heads.len() < MOST {
            cursor.begin_anew().await?;
        }
        Ok(())
    }

    fn is_old(&self, walk: Walk, head: &Head) -> bool {
        let after: Duration = match walk {
            Walk::Records => self.options.pending_after,
            Walk::Bodies => self.options.orphan_after,
        };
        clock::now().since(head.stored) > after
    }

    async fn look(&mut self, walk: Walk, bucket: &str, head: &Head) -> Result<(), Stopped> {
        let Some(key) = head.subject.strip_prefix(&Topology::key(bucket, "")) else { return Ok(()) };
        let looked = match walk {
            Walk::Records => caught(Box::pin(self.record(key, head))).await,
            Walk::Bodies => caught(Box::pin(self.body(key, head))).await,
        };
        match looked {
            Ok(looked) => go_on(looked),
            Err(panicked) => {
                tracing::error!(key, %panicked, "the sweep passes something over");
                Ok(())
            }
        }
    }
}

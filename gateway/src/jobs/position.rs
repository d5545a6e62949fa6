//! Where in its queue a branch is: exact near the front and wherever the stream holds nothing else, estimated far behind.
//!
//! A queue is worked off by the sequences of its messages in their stream. Ahead of one are no more than there are sequences
//! before it, and no fewer than all messages less those that can be behind it. Where these bounds differ the first
//! [`COUNTED`] messages are looked at; beyond them the place is drawn on a line between the queue's first message and its
//! last, within the bounds. What is on the wire is not ahead any more, as far as the gate knows.

use futures_util::future::join;
use sluice_shared::domain::gate::{GateState, Nanos, in_flight};
use sluice_shared::domain::id::{BranchId, GateName, JobId, Token};
use sluice_shared::domain::record::{Branch, Record};
use sluice_shared::effects::Effects;
use sluice_shared::nats::backlog::Backlog;
use sluice_shared::nats::read::ReadError;
use sluice_shared::topology::{JobSubject, Stage};

use super::Jobs;
use super::read::within;

/// So many messages ahead are counted one by one, at most.
const COUNTED: usize = 64;

/// A stretch of a stream in which a queue's messages lie.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// The sequence of the first of them.
    first: u64,
    /// That of the last.
    last: u64,
    /// How many there are.
    messages: u64,
}

impl Jobs {
    /// The place in its queue of a branch that waits there, 1 being the next; nothing where it is not there or the broker does
    /// not say in time.
    pub(super) async fn position(
        &self,
        job: &JobId,
        record: &Record,
        number: BranchId,
        branch: &Branch,
        gates: &[(GateName, GateState)],
        now: Nanos,
    ) -> Option<u64> {
        let nats = self.effects().nats();
        let address = Effects::address(job, record, Token::Branch(number))?;
        let stream = nats.topology().jobs_stream(branch.shard);
        let chain = address.any_stage(nats.prefix());
        let (newest, backlog) =
            join(within(nats.newest(&stream, &chain)), within(nats.backlog(branch.shard, &branch.queue))).await;
        let (newest, backlog) = (newest??, backlog?);
        let Ok((Stage::Work, _)) = JobSubject::parse(nats.prefix(), &newest.subject) else { return None };
        let ahead = within(self.ahead(branch, backlog, newest.sequence)).await??;
        let on_the_wire = gates.iter().map(|(_, gate)| u64::from(in_flight(gate, now))).min().unwrap_or(0);
        Some(ahead - on_the_wire.min(backlog.in_hand).min(ahead) + 1)
    }

    /// How many messages of the branch's queue are ahead of the one at this sequence; nothing where they are gone meanwhile.
    async fn ahead(&self, branch: &Branch, backlog: Backlog, sequence: u64) -> Result<Option<u64>, ReadError> {
        let messages = backlog.waiting + backlog.in_hand;
        if messages <= 1 {
            return Ok(Some(0));
        }
        let nats = self.effects().nats();
        let stream = nats.topology().jobs_stream(branch.shard);
        let filter = nats.topology().queue_filter(branch.shard, &branch.queue);
        let Some(first) = nats.next_from(&stream, &filter, backlog.done_to + 1).await? else { return Ok(None) };
        let Some(last) = nats.newest(&stream, &filter).await? else { return Ok(None) };
        let stretch = Stretch { first: first.sequence, last: last.sequence, messages };
        let (least, most) = stretch.bounds(sequence);
        if least == most {
            return Ok(Some(most));
        }
        let asked = COUNTED.min(usize::try_from(most).unwrap_or(COUNTED));
        let shown = nats.shown(&stream, &filter, first.sequence, asked).await?;
        let counted = count(shown.iter().filter(|message| message.sequence < sequence).count());
        let all_are_ahead = counted == count(COUNTED);
        Ok(Some(if all_are_ahead { stretch.ahead_of(sequence).max(counted) } else { counted }))
    }
}

impl Stretch {
    /// How many messages are ahead of a sequence, by a straight line, within what can be.
    fn ahead_of(self, sequence: u64) -> u64 {
        let (least, most) = self.bounds(sequence);
        let (others, before) = (self.messages.saturating_sub(1), sequence.saturating_sub(self.first));
        let all = u128::from(self.last.saturating_sub(self.first)).max(1);
        let line = u64::try_from(u128::from(others) * u128::from(before) / all).unwrap_or(u64::MAX);
        line.clamp(least, most)
    }

    /// How many can be ahead of it at least and at most.
    fn bounds(self, sequence: u64) -> (u64, u64) {
        let others = self.messages.saturating_sub(1);
        let (before, behind) = (sequence.saturating_sub(self.first), self.last.saturating_sub(sequence));
        let most = others.min(before);
        (others.saturating_sub(behind).min(most), most)
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_stream_holds_nothing_else_the_place_is_exact() {
        let stretch = Stretch { first: 1_001, last: 11_000, messages: 10_000 };
        for place in [0, 300, 5_000, 9_999] {
            assert_eq!(stretch.ahead_of(1_001 + place), place);
        }
    }

    #[test]
    fn among_others_the_place_is_drawn_on_a_line() {
        let stretch = Stretch { first: 1, last: 1_000_001, messages: 1_001 };
        assert_eq!(stretch.ahead_of(500_001), 500);
        assert_eq!(stretch.ahead_of(1_000_001), 1_000);
    }

    #[test]
    fn however_unevenly_the_messages_lie_the_place_is_within_bounds_that_hold() {
        for (factor, modulus) in [(7, 13), (31, 97), (1, 500), (17, 4)] {
            let gaps = (0..600_u64).map(|n| n * factor % modulus + 1);
            let sequences: Vec<u64> = gaps
                .scan(0, |sum, gap| {
                    *sum += gap;
                    Some(*sum)
                })
                .collect();
            let stretch = Stretch { first: sequences[0], last: sequences[599], messages: 600 };
            for (at, sequence) in sequences.iter().enumerate() {
                let (least, most) = stretch.bounds(*sequence);
                assert!((least..=most).contains(&count(at)), "{at} is not in {least}..={most}");
                assert!((least..=most).contains(&stretch.ahead_of(*sequence)));
            }
        }
    }
}

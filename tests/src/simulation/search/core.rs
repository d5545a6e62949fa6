//! The project's own decisions as a table that is filled while it is looked up: they are pure, so each is asked for once.

use std::collections::HashMap;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use sluice_shared::clock::Millis;
use sluice_shared::domain::decide::{Incoming, Kind, Known, Verdict, conclude, decide, enter};
use sluice_shared::domain::demand::{Demand, Then};
use sluice_shared::domain::id::{Destination, QueueName, Tenant, Token};
use sluice_shared::domain::job::{Priority, RegionPolicy};
use sluice_shared::domain::outcome::{Answer, Content, Response};
use sluice_shared::domain::record::Record;
use sluice_shared::domain::region::Place;
use sluice_shared::domain::reroute::Elsewhere;
use sluice_shared::wire;
use sluice_workers::sweep::needs::{missing, watched};

/// The moment at which everything is decided. What a timer waits for may come at any time after.
pub(super) const NOW: Millis = Millis(1_800_000_000_000);
/// A moment after every time that a record names.
const LATE: Millis = Millis(1_900_000_000_000);

/// A record, by its number in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RecordId(u16);

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pointer {
    pub(super) token: Token,
    pub(super) work: bool,
    pub(super) attempt: u32,
}

/// What a call is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Answered {
    Success,
    Limited,
    Retryable,
    /// Moves it to another region.
    Elsewhere,
    Final,
}

/// A decision, its record by number.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) swap: Option<RecordId>,
    pub(super) demands: Vec<Demand>,
    pub(super) then: Then,
}

/// All records that were met, and all decisions about them.
#[derive(Default)]
pub(super) struct Core {
    records: Vec<Record>,
    by_bytes: HashMap<Bytes, RecordId>,
    decided: HashMap<(RecordId, Pointer, Option<Answered>), Rc<Decided>>,
}

impl Core {
    pub(super) fn record(&self, id: RecordId) -> &Record {
        &self.records[usize::from(id.0)]
    }

    pub(super) fn number(&mut self, record: Record) -> RecordId {
        let next = RecordId(u16::try_from(self.records.len()).unwrap());
        let id = *self.by_bytes.entry(wire::encode(&record)).or_insert(next);
        if id == next {
            self.records.push(record);
        }
        id
    }

    /// By the table, or by an answer in hand.
    pub(super) fn decide(&mut self, id: RecordId, pointer: Pointer, answered: Option<Answered>) -> Rc<Decided> {
        if let Some(known) = self.decided.get(&(id, pointer, answered)) {
            return Rc::clone(known);
        }
        let record = self.record(id).clone();
        let kind = if pointer.work { Kind::Work } else { Kind::Due };
        let Pointer { token, attempt, .. } = pointer;
        let incoming = Incoming { incarnation: &record.incarnation, token, kind, attempt };
        let decision = match answered {
            None => decide(Known::Record(&record), incoming, NOW),
            Some(answered) => conclude(&record, incoming, &answered.answer(attempt), answered.verdict(), NOW),
        };
        let swap = decision.swap.map(|next| self.number(*next));
        let decided = Rc::new(Decided { swap, demands: decision.demands, then: decision.then });
        self.decided.insert((id, pointer, answered), Rc::clone(&decided));
        decided
    }

    pub(super) fn enter(&self, id: RecordId) -> Vec<Demand> {
        enter(self.record(id), NOW)
    }

    /// What the sweep looks for.
    pub(super) fn watched(&self, id: RecordId) -> Vec<Token> {
        watched(self.record(id), NOW)
    }

    /// What the sweep publishes, when times have not come and when they have.
    pub(super) fn missing(&self, id: RecordId, without: &[Token]) -> [Vec<Demand>; 2] {
        let without: HashSet<Token> = without.iter().copied().collect();
        [NOW, LATE].map(|now| missing(self.record(id), &without, now))
    }
}

impl Answered {
    pub(super) const ALL: [Self; 5] = [Self::Success, Self::Limited, Self::Retryable, Self::Elsewhere, Self::Final];

    fn verdict(self) -> Verdict {
        match self {
            Self::Success => Verdict::Success,
            Self::Limited => Verdict::Limited { until: NOW },
            Self::Retryable => Verdict::Again { at: NOW.after(Duration::from_secs(1)) },
            Self::Elsewhere => Verdict::Elsewhere(Box::new(elsewhere())),
            Self::Final => Verdict::Final,
        }
    }

    fn answer(self, attempt: u32) -> Answer {
        let status = match self {
            Self::Success => 200,
            Self::Limited => 429,
            Self::Retryable | Self::Elsewhere => 503,
            Self::Final => 400,
        };
        let response = Response { status, headers: Vec::new(), body: Bytes::new(), truncated: false };
        Answer { attempt, at: NOW, content: Content::Response(response), region: None }
    }
}

/// A queue in another region.
fn elsewhere() -> Elsewhere {
    let destination = Destination::of(&"http://0.example/".parse().unwrap()).unwrap();
    let place = Place { regions: vec!["ap".parse().unwrap()], policy: RegionPolicy::Fallback };
    let queue = QueueName::placed(&Tenant::default(), &destination, None, &place, Priority::Normal);
    Elsewhere { place, queue, shard: 0 }
}

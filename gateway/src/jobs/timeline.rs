//! What happened to a job, put together from the events that are held and from what its record says.
//!
//! Pure. Invariant: what the record says and no held event tells is told from the record; nothing is told twice.

use sluice_shared::domain::event::{About, Event, What, so_far};
use sluice_shared::domain::record::Record;

use super::place::Place;

/// One thing that happened. What comes from the record has no place: nobody can go on from there.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Its place in the stream of events.
    pub place: Option<Place>,
    /// What happened, and when.
    pub event: Event,
}

/// Which happening an event tells of: the same one told by an event and by the record has the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    kind: &'static str,
    about: About,
    attempt: u32,
}

impl Told {
    pub(super) fn name(&self) -> Name {
        Name::of(&self.event.what)
    }
}

impl Name {
    fn of(what: &What) -> Self {
        let attempt = match what {
            What::Sent { attempt, .. }
            | What::Answered { attempt, .. }
            | What::Delivered { attempt, .. }
            | What::Undelivered { attempt, .. } => *attempt,
            What::Accepted | What::Started { .. } | What::Overdue | What::Settled { .. } => 0,
        };
        Self { kind: what.kind(), about: what.about(), attempt }
    }
}

/// The events that are held, in their order, and where they belong by time those that only the record tells of.
pub(super) fn complete(record: &Record, held: Vec<Told>) -> Vec<Told> {
    let mut missing = so_far(record);
    missing.retain(|event| !held.iter().any(|told| told.name() == Name::of(&event.what)));
    let mut missing = missing.into_iter().map(|event| Told { place: None, event }).peekable();
    let mut all = Vec::new();
    for told in held {
        while let Some(earlier) = missing.next_if(|missing| missing.event.at <= told.event.at) {
            all.push(earlier);
        }
        all.push(told);
    }
    all.extend(missing);
    all
}

//! What happened to a job, put together from the events that are held and from what its record says.
//!
//! Pure. Invariant: what the record says and no held event tells is told from the record; nothing is told twice.

use sluice_shared::domain::delivery::WebhookState;
use sluice_shared::domain::event::{self, About, Event, What, so_far};
use sluice_shared::domain::record::Record;

use super::place::Place;

/// One thing that happened. What does not come from the stream of events has no place: nobody can go on from there.
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
    /// What a message tells, in a stream that was made then.
    pub(super) fn of_message(created: u64, sequence: u64, payload: &[u8]) -> Vec<Self> {
        let events = event::read(payload);
        let all = events.len();
        let place = |told: usize| Some(Place { created, sequence, part: (told < all).then_some(told) });
        (1..).zip(events).map(|(told, event)| Self { place: place(told), event }).collect()
    }

    /// What no event that is held tells of.
    pub(super) fn not_held(event: Event) -> Self {
        Self { place: None, event }
    }

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

/// The events that are held, in their order, and where they belong by time those that only the record tells of, and the
/// webhooks that took the outcome, which no event tells of.
pub(super) fn complete(record: &Record, webhooks: &[WebhookState], held: Vec<Told>) -> Vec<Told> {
    let missing = missing(record, &held);
    let all = merge(held, missing, |missing, told| missing.at <= told.at);
    merge(all, taken(webhooks), |taken, told| taken.at < told.at)
}

/// What only the record tells of.
pub(super) fn missing(record: &Record, held: &[Told]) -> Vec<Event> {
    let mut missing = so_far(record);
    missing.retain(|event| !held.iter().any(|told| told.name() == Name::of(&event.what)));
    missing
}

/// The webhooks that took the outcome, by time.
pub(super) fn taken(webhooks: &[WebhookState]) -> Vec<Event> {
    let taken = |(webhook, state): (usize, &WebhookState)| match *state {
        WebhookState::Delivered { at, attempt } => Some(Event { at, what: What::Delivered { webhook, attempt } }),
        WebhookState::Untried | WebhookState::Waiting { .. } | WebhookState::Dead { .. } => None,
    };
    let mut taken: Vec<Event> = webhooks.iter().enumerate().filter_map(taken).collect();
    taken.sort_by_key(|event| event.at);
    taken
}

fn merge(told: Vec<Told>, further: Vec<Event>, earlier: impl Fn(&Event, &Event) -> bool) -> Vec<Told> {
    let mut further = further.into_iter().peekable();
    let mut all = Vec::new();
    for told in told {
        while let Some(one) = further.next_if(|one| earlier(one, &told.event)) {
            all.push(Told::not_held(one));
        }
        all.push(told);
    }
    all.extend(further.map(Told::not_held));
    all
}

#[cfg(test)]
mod tests {
    use sluice_shared::clock::Millis;
    use sluice_shared::domain::id::BranchId;
    use sluice_shared::domain::outcome::Status;

    use super::*;

    fn event(at: u64, what: What) -> Event {
        Event { at: Millis(at), what }
    }

    fn settled(at: u64) -> Event {
        event(at, What::Settled { status: Status::Success, winner: Some(BranchId::OWN) })
    }

    #[test]
    fn each_of_what_a_message_tells_has_a_place_of_its_own() {
        let sent = event(3, What::Sent { branch: BranchId::OWN, attempt: 1, destination: "a.example".into() });
        let payload = event::write(&[sent, settled(4)]).unwrap_or_default();
        let places: Vec<_> = Told::of_message(1, 7, &payload).into_iter().map(|told| told.place).collect();
        let place = |part| Some(Place { created: 1, sequence: 7, part });
        assert_eq!(places, [place(Some(1)), place(None)]);
        assert!(Told::of_message(1, 7, b"?").is_empty());
    }

    #[test]
    fn webhooks_that_took_the_outcome_are_told_after_the_end_and_in_their_order() {
        let delivered = |at| WebhookState::Delivered { at: Millis(at), attempt: 1 };
        let taken = taken(&[delivered(9), WebhookState::Untried, delivered(4)]);
        let undelivered = event(6, What::Undelivered { webhook: 1, attempt: 1, again_at: None });
        let held = vec![Told::not_held(settled(4)), Told::not_held(undelivered)];
        let all = merge(held, taken, |taken, told| taken.at < told.at);
        let kinds: Vec<_> = all.iter().map(|told| (told.event.what.kind(), told.event.at.0)).collect();
        assert_eq!(kinds, [("settled", 4), ("delivered", 4), ("undelivered", 6), ("delivered", 9)]);
    }
}

//! The one word that says where a job is, decided from the record, its newest events and its gates.
//!
//! Pure. Invariant: an ended job shows its outcome and nothing else; a lost event may show `queued`, never an end.

use serde::Serialize;
use sluice_shared::clock::Millis;
use sluice_shared::domain::event::What;
use sluice_shared::domain::gate::{GateState, Nanos};
use sluice_shared::domain::id::BranchId;
use sluice_shared::domain::outcome;
use sluice_shared::domain::record::{BranchState, Record};

/// Where a job, or one branch of it, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its next attempt is due later.
    BackingOff,
    /// It waits for a worker.
    Queued,
    /// It waits for its gate.
    Gated,
    /// A request is on the wire.
    Running,
    /// It succeeded.
    Success,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// Where a job is: its outcome, else where its most advanced live branch is.
/// `newest` and `gates` answer for a branch; what is not known is `None` and no gates.
pub fn status<'a>(
    record: &Record,
    newest: impl Fn(BranchId) -> Option<&'a What>,
    gates: impl Fn(BranchId) -> Vec<&'a GateState>,
    now: Millis,
) -> Status {
    if let Some(outcome) = &record.outcome {
        return match outcome.status {
            outcome::Status::Success => Status::Success,
            outcome::Status::Failed => Status::Failed,
            outcome::Status::Cancelled => Status::Cancelled,
        };
    }
    let live = record.numbered().filter_map(|(number, branch)| match branch.state {
        BranchState::Live { attempt, due_at } => Some(of_attempt(attempt, due_at, newest(number), &gates(number), now)),
        BranchState::Unstarted | BranchState::Dead => None,
    });
    live.max().unwrap_or(Status::Queued)
}

/// Where a branch is that is live at this attempt.
fn of_attempt(at: u32, due_at: Millis, newest: Option<&What>, gates: &[&GateState], now: Millis) -> Status {
    let moment = Nanos::from(now);
    if due_at > now {
        Status::BackingOff
    } else if matches!(newest, Some(What::Sent { attempt, .. }) if *attempt == at) {
        Status::Running
    } else if gates.iter().any(|gate| gate.closed(moment).is_some() || gate.arrival > moment) {
        Status::Gated
    } else {
        Status::Queued
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: Millis = Millis(100_000);

    fn sent(attempt: u32) -> What {
        What::Sent { branch: BranchId::OWN, attempt, destination: "a.example".into() }
    }

    fn gate(arrival: Millis) -> Option<GateState> {
        let url = url::Url::parse("http://a.example/").ok()?;
        let destination = sluice_shared::domain::id::Destination::of(&url)?;
        Some(GateState { arrival: arrival.into(), ..GateState::new(destination, None) })
    }

    #[test]
    fn a_branch_whose_time_is_ahead_backs_off_whatever_its_events_say() {
        assert_eq!(of_attempt(1, NOW.after(Duration::from_secs(1)), Some(&sent(1)), &[], NOW), Status::BackingOff);
    }

    #[test]
    fn only_the_sending_of_this_attempt_is_running() {
        assert_eq!(of_attempt(2, NOW, Some(&sent(2)), &[], NOW), Status::Running);
        assert_eq!(of_attempt(2, NOW, Some(&sent(1)), &[], NOW), Status::Queued);
        assert_eq!(of_attempt(2, NOW, None, &[], NOW), Status::Queued);
    }

    #[test]
    fn a_slot_ahead_is_gated_and_a_slot_past_is_queued() {
        let (ahead, past) = (gate(NOW.after(Duration::from_secs(1))), gate(NOW));
        assert_eq!(of_attempt(1, NOW, None, &ahead.iter().collect::<Vec<_>>(), NOW), Status::Gated);
        assert_eq!(of_attempt(1, NOW, None, &past.iter().collect::<Vec<_>>(), NOW), Status::Queued);
    }
}

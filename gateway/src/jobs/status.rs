//! The one word that says where a job is, decided from the record, its newest events and its gates.
//!
//! Pure. Invariant: an ended job shows its outcome and nothing else; a lost event may show `queued`, never an end.

use schemars::JsonSchema;
use serde::Serialize;
use sluice_shared::clock::Millis;
use sluice_shared::domain::event::What;
use sluice_shared::domain::gate::{GateState, Nanos};
use sluice_shared::domain::outcome;
use sluice_shared::domain::record::{BranchState, Record};

use super::waiting::Waiting;

/// Where a job, or a live branch of it, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "JobStatus")]
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

/// What is known of a branch besides its record; nothing where it could not be read.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The newest event about it.
    pub newest: Option<What>,
    /// The gates that it draws from.
    pub gates: Vec<GateState>,
    /// Why it waits, if it does.
    pub waiting: Option<Waiting>,
}

impl Status {
    /// Where a job is: its outcome, else where its most advanced live branch is. `known` is in the order of the branches.
    #[must_use]
    pub fn of_job(record: &Record, known: &[Known], now: Millis) -> Self {
        if let Some(outcome) = &record.outcome {
            return outcome.status.into();
        }
        let nothing = Known::default();
        let live = record.numbered().filter_map(|(number, branch)| match branch.state {
            BranchState::Live { attempt, due_at } => {
                Some(Self::of_attempt(attempt, due_at, known.get(number.index()).unwrap_or(&nothing), now))
            }
            BranchState::Unstarted | BranchState::Dead | BranchState::Done => None,
        });
        live.max().unwrap_or(Self::Queued)
    }

    /// Where a branch is that is live at this attempt.
    #[must_use]
    pub fn of_attempt(at: u32, due_at: Millis, known: &Known, now: Millis) -> Self {
        if due_at > now {
            Self::BackingOff
        } else if matches!(known.newest, Some(What::Sent { attempt, .. }) if attempt == at) {
            Self::Running
        } else if known.opens_at(now).is_some() {
            Self::Gated
        } else {
            Self::Queued
        }
    }
}

impl From<outcome::Status> for Status {
    fn from(status: outcome::Status) -> Self {
        match status {
            outcome::Status::Success => Self::Success,
            outcome::Status::Failed => Self::Failed,
            outcome::Status::Cancelled => Self::Cancelled,
        }
    }
}

impl Known {
    /// When all of its gates are expected to let a call through, if that is ahead.
    #[must_use]
    pub fn opens_at(&self, now: Millis) -> Option<Millis> {
        let moment = Nanos::from(now);
        let ahead = |gate: &GateState| gate.closed(moment).into_iter().chain([gate.arrival]).max();
        self.gates.iter().filter_map(ahead).max().filter(|at| *at > moment).map(Nanos::to_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_shared::domain::id::BranchId;
    use std::time::Duration;

    const NOW: Millis = Millis(100_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn sent(attempt: u32) -> Known {
        let newest = What::Sent { branch: BranchId::OWN, attempt, destination: "a.example".into() };
        Known { newest: Some(newest), ..Known::default() }
    }

    fn gate(arrival: Millis) -> Known {
        let destination = url::Url::parse("http://a.example/").ok();
        let destination = destination.as_ref().and_then(sluice_shared::domain::id::Destination::of);
        let state = |destination| GateState { arrival: arrival.into(), ..GateState::new(destination, None) };
        Known { gates: destination.map(state).into_iter().collect(), ..Known::default() }
    }

    #[test]
    fn a_branch_whose_time_is_ahead_backs_off_whatever_its_events_say() {
        assert_eq!(Status::of_attempt(1, NOW.after(SECOND), &sent(1), NOW), Status::BackingOff);
    }

    #[test]
    fn only_the_sending_of_this_attempt_is_running() {
        assert_eq!(Status::of_attempt(2, NOW, &sent(2), NOW), Status::Running);
        assert_eq!(Status::of_attempt(2, NOW, &sent(1), NOW), Status::Queued);
        assert_eq!(Status::of_attempt(2, NOW, &Known::default(), NOW), Status::Queued);
    }

    #[test]
    fn a_slot_ahead_is_gated_and_a_slot_past_is_queued() {
        assert_eq!(Status::of_attempt(1, NOW, &gate(NOW.after(SECOND)), NOW), Status::Gated);
        assert_eq!(Status::of_attempt(1, NOW, &gate(NOW), NOW), Status::Queued);
        assert_eq!(gate(NOW.after(SECOND)).opens_at(NOW), Some(NOW.after(SECOND)));
    }
}

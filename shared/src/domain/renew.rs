//! A job in a new life: the same request under the same key, from its beginning. Pure.

use super::id::Incarnation;
use super::job::Contender;
use super::record::{Branch, BranchState, Record};
use crate::clock::Millis;

/// The record of a job that has ended, as it is when the job begins again now. What is left of the old life points to another
/// incarnation, and is dropped when it comes up.
#[must_use]
pub fn renewed(old: &Record, incarnation: Incarnation, now: Millis) -> Record {
    let later = |at: Option<Millis>| at.map(|at| now.after(at.since(old.starts_at)));
    // Those that took over from others in another region are the last, and their fallbacks go back to whom they had first.
    let begun = old.branches.iter().filter(|branch| branch.placed.moved.is_none());
    let branches = begun.map(|branch| {
        let root = branch.contender.parent.is_none();
        let state = if root { BranchState::Live { attempt: 1, due_at: now } } else { BranchState::Unstarted };
        let parent = branch.contender.parent.map(|parent| old.began_as(parent));
        let contender = Contender { parent, ..branch.contender.clone() };
        Branch { contender, state, started_at: root.then_some(now), answers: 0, last: None, ..branch.clone() }
    });
    Record {
        incarnation,
        accepted_at: now,
        starts_at: now,
        branches: branches.collect(),
        deadline_at: later(old.deadline_at),
        overdue_at: later(old.overdue_at),
        overdue: false,
        outcome: None,
        ..old.clone()
    }
}

//! What a pending record needs, given which of its chains and signals have no message. Pure.
//!
//! Signals come before chains: what a chain does must not outrun what was to happen at a time.

use std::collections::HashSet;

use sluice_shared::clock::Millis;
use sluice_shared::domain::decide::{SHORTEST_TIMER, signals};
use sluice_shared::domain::demand::{Demand, Expect, When};
use sluice_shared::domain::id::{BranchId, Token};
use sluice_shared::domain::job::Trigger;
use sluice_shared::domain::record::{Branch, BranchState, Record};

/// What must have a message while the record stands as it is: signals that have not fired, then live branches.
pub fn watched(record: &Record, now: Millis) -> Vec<Token> {
    needed(record, now).iter().filter_map(token_of).collect()
}

/// The messages of all that is missing, in the order in which they are to be published.
pub fn missing(record: &Record, without: &HashSet<Token>, now: Millis) -> Vec<Demand> {
    let lacks = |demand: &Demand| token_of(demand).is_some_and(|token| without.contains(&token));
    needed(record, now).into_iter().filter(lacks).collect()
}

fn token_of(demand: &Demand) -> Option<Token> {
    match demand {
        Demand::Message { token, .. } => Some(*token),
        Demand::Result { .. } | Demand::Announce | Demand::SubmitOnFailure => None,
    }
}

fn needed(record: &Record, now: Millis) -> Vec<Demand> {
    if record.outcome.is_some() {
        return Vec::new();
    }
    let mut demands = signals(record, now);
    demands.extend(record.numbered().filter_map(|(number, branch)| start(record, number, branch, now)));
    // The own request last, as at a submission: whoever has its message may count on those of other regions.
    let (own, others): (Vec<_>, Vec<_>) = record.numbered().partition(|(number, _)| *number == BranchId::OWN);
    let chains = others.into_iter().chain(own);
    demands.extend(chains.filter_map(|(number, branch)| chain(number, branch, now)));
    demands
}

/// The start timer of a fallback whose parent contends: at whatever attempt, for the timer was made at the first.
fn start(record: &Record, number: BranchId, branch: &Branch, now: Millis) -> Option<Demand> {
    let (BranchState::Unstarted, Some(Trigger::OnTimeout { after })) = (branch.state, &branch.contender.trigger) else {
        return None;
    };
    let parent = record.branch(branch.contender.parent?).filter(|parent| parent.is_live())?;
    let at = parent.started_at.unwrap_or(record.starts_at).after(*after);
    let when = When::Later(at.max(now.after(SHORTEST_TIMER)));
    Some(Demand::Message { token: Token::Start(number), when, attempt: 0, expect: Expect::Nothing })
}

fn chain(number: BranchId, branch: &Branch, now: Millis) -> Option<Demand> {
    let BranchState::Live { attempt, due_at } = branch.state else { return None };
    let when = if due_at > now { When::Later(due_at.max(now.after(SHORTEST_TIMER))) } else { When::Work };
    Some(Demand::Message { token: Token::Branch(number), when, attempt, expect: Expect::Nothing })
}

//! What may be stored in a chain, and what may leave it.

use sluice_shared::domain::id::{BranchId, JobId, Token};
use sluice_shared::domain::job::Trigger;
use sluice_shared::domain::record::{Branch, BranchState, Record};
use sluice_shared::topology::JobSubject;

use super::super::broker::{Broker, Chain, Load, Message};
use super::{Checks, Invariant};

impl Checks {
    /// A message was stored, in the place of another or not.
    pub(in super::super) fn stored(&mut self, broker: &Broker, message: &Message, evicted: Option<&Message>) {
        let Some((at, attempt)) = pointer(message) else { return };
        if at.token == Token::Branch(BranchId::OWN) {
            self.lives.entry((at.job.clone(), at.incarnation.clone())).or_default().committed = true;
        }
        let Some(record) = pending(broker, at) else { return };
        let Token::Branch(branch) = at.token else { return };
        if !record.branch(branch).is_some_and(|branch| branch.is_live()) {
            return;
        }
        if attempt == 1 {
            self.signals_are_there(broker, at, record, branch);
        }
        let others = broker.messages.iter().filter(|other| other.sequence != message.sequence).chain(evicted);
        let ahead = others.filter(|other| other.chain == message.chain);
        if let Some(ahead) = ahead
            .filter_map(|other| Some((other, pointer(other)?.1)))
            .find(|(other, of_other)| (*of_other, other.stage) > (attempt, message.stage))
        {
            let detail = || format!("{} is stored behind {}", message.name(), ahead.0.name());
            self.broken(Invariant::ChainGoesForward, detail);
        }
        if let Some(evicted) = evicted {
            self.has_messages(broker, evicted);
        }
    }

    /// A branch gets its first message: the start timers of its fallbacks are there, and those of the job if it is the own
    /// branch, as far as they have not come.
    fn signals_are_there(&mut self, broker: &Broker, at: &JobSubject, record: &Record, branch: BranchId) {
        let own = branch == BranchId::OWN;
        let by_time = |(_, fallback): &(BranchId, &Branch)| {
            fallback.state == BranchState::Unstarted
                && matches!(fallback.contender.trigger, Some(Trigger::OnTimeout { .. }))
        };
        let starts = record.fallbacks(branch).filter(by_time).map(|(number, _)| Token::Start(number));
        let deadline = record.deadline_at.filter(|_| own).map(|_| Token::Deadline);
        let overdue = record.overdue_at.filter(|_| own && !record.overdue).map(|_| Token::Overdue);
        let missing = starts.chain(deadline).chain(overdue).find(|token| {
            // Where a start has no name of its own, it is in the chain of what it starts.
            let nameless =
                matches!(token, Token::Start(number) if is_there(broker, &at.job, record, Token::Branch(*number)));
            !nameless && !is_there(broker, &at.job, record, *token)
        });
        let lossy = self.lives.get(&(at.job.clone(), at.incarnation.clone())).is_some_and(|life| life.lossy);
        if let Some(missing) = missing.filter(|_| !lossy) {
            self.broken(Invariant::SignalsComeFirst, || {
                format!("branch {branch} begins, and {missing} has no message")
            });
        }
    }

    /// A message has left its stream.
    pub(in super::super) fn removed(&mut self, broker: &Broker, message: &Message) {
        self.has_messages(broker, message);
        self.posts_are_done(message.sequence);
    }

    /// The broker has lost a message of a job.
    pub(in super::super) fn lost(&mut self, message: &Message) {
        if let Chain::Job(at) = &message.chain {
            self.lives.entry((at.job.clone(), at.incarnation.clone())).or_default().lossy = true;
        }
    }

    /// Every live branch has a message, or its parent or its start signal has one, whose handler will see to it.
    fn has_messages(&mut self, broker: &Broker, gone: &Message) {
        let Chain::Job(at) = &gone.chain else { return };
        let Some(record) = pending(broker, at) else { return };
        let life = self.lives.entry((at.job.clone(), at.incarnation.clone())).or_default();
        if life.lossy || !life.committed {
            return;
        }
        let has = |token| is_there(broker, &at.job, record, token);
        let bare = record.numbered().find(|(number, branch)| {
            let parent = branch.contender.parent;
            let by_others = has(Token::Start(*number)) || parent.is_some_and(|parent| has(Token::Branch(parent)));
            branch.is_live() && !has(Token::Branch(*number)) && !by_others
        });
        if let Some((number, branch)) = bare {
            let detail = || format!("branch {number} {:?} has no message, once {} is gone", branch.state, gone.name());
            self.broken(Invariant::LiveBranchHasAMessage, detail);
        }
    }
}

fn pointer(message: &Message) -> Option<(&JobSubject, u32)> {
    match (&message.chain, &message.load) {
        (Chain::Job(at), Load::Pointer(attempt)) => Some((at, *attempt)),
        (Chain::Job(_) | Chain::Result(_) | Chain::Webhook(..), _) => None,
    }
}

fn pending<'a>(broker: &'a Broker, at: &JobSubject) -> Option<&'a Record> {
    let record = &*broker.records.get(&at.job)?.record;
    (record.incarnation == at.incarnation && record.outcome.is_none()).then_some(record)
}

fn is_there(broker: &Broker, job: &JobId, record: &Record, token: Token) -> bool {
    broker.messages.iter().any(|message| match &message.chain {
        Chain::Job(at) => at.job == *job && at.incarnation == record.incarnation && at.token == token,
        Chain::Result(_) | Chain::Webhook(..) => false,
    })
}

/// The branches of a record, for people.
pub(super) fn states(record: &Record) -> Vec<BranchState> {
    record.branches.iter().map(|branch| branch.state).collect()
}

/// Whether a message may be lost without anybody noticing but the sweep.
pub(in super::super) fn may_be_lost(broker: &Broker, message: &Message) -> bool {
    let Chain::Job(at) = &message.chain else { return false };
    pending(broker, at).is_some() && at.token != Token::Cancel
}

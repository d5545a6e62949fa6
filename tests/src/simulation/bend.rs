//! How handlers act that break a rule. Where all rules are kept, nothing here changes anything.

use std::time::Duration;

use sluice_shared::domain::decide::{Incoming, Kind, Known};
use sluice_shared::domain::demand::{Decision, Demand, Then};
use sluice_shared::domain::id::{JobId, Token};
use sluice_shared::domain::record::{Branch, BranchState, Record};
use sluice_shared::effects::{Handled, JobMessage, Seen, Unfinished};
use sluice_shared::nats::records::Found;

use super::rules::Rule;
use super::world::Node;

impl Node {
    /// Under which name a message of a branch or a signal is published.
    pub(super) fn named(&self, token: Token) -> Token {
        if let (Token::Start(branch), false) = (token, self.world.rules.keep(Rule::SignalsApart)) {
            return Token::Branch(branch);
        }
        token
    }

    /// A message as handlers see it. Where a fallback's start has no name of its own, they see what it stands for.
    pub(super) fn incoming<'a>(&self, known: Known<'_>, message: &'a JobMessage) -> Incoming<'a> {
        let (rules, incoming) = (self.world.rules, message.incoming());
        let Token::Branch(branch) = incoming.token else { return Incoming { kind: Kind::Due, ..incoming } };
        let start = Incoming { token: Token::Start(branch), kind: Kind::Due, ..incoming };
        // An earlier life may have had more branches.
        let is_unstarted = |branch: &Branch| branch.state == BranchState::Unstarted;
        let unstarted = matches!(known, Known::Record(record) if record.branch(branch).is_some_and(is_unstarted));
        let from_timer = !rules.keep(Rule::TimersFireIntoDue) && unstarted;
        let in_chain = !rules.keep(Rule::SignalsApart) && message.attempt == 0;
        if from_timer || in_chain { start } else { incoming }
    }

    /// A decision as a handler takes it that breaks a rule.
    pub(super) fn bent(&self, message: &JobMessage, mut decision: Decision) -> Decision {
        let rules = self.world.rules;
        if !rules.keep(Rule::AnnounceAfterTheSwap) && decision.swap.is_some() {
            decision.demands.retain(|demand| *demand != Demand::Announce); // that was done before
        }
        if !rules.keep(Rule::ActFromTheRecord) && decision.swap.is_none() && message.kind == Kind::Work {
            decision.demands.clear();
        }
        let own = message.address.token;
        if !rules.keep(Rule::EnsureFallbacks) && decision.swap.is_none() {
            decision.demands.retain(|demand| !is_of_another(demand, own));
        }
        decision
    }

    /// Announces an end that is not written yet.
    pub(super) async fn announce_too_early(&self, job: &JobId, next: &Record) {
        if !self.world.rules.keep(Rule::AnnounceAfterTheSwap) && next.outcome.is_some() {
            self.announce(job);
            self.sleep(Duration::from_millis(10)).await;
        }
    }

    /// Work that is executed whatever the record says.
    pub(super) async fn unguarded(&self, message: &JobMessage) -> Result<Option<Handled>, Unfinished> {
        let (Kind::Work, Token::Branch(branch)) = (message.kind, message.address.token) else { return Ok(None) };
        let Found::Record(record, revision) = self.read(&message.address.job).await? else { return Ok(None) };
        let then = Then::Execute { branch, attempt: message.attempt };
        Ok(Some(Handled { then, seen: Some(Seen { record, revision }), settled: None }))
    }
}

fn is_of_another(demand: &Demand, own: Token) -> bool {
    match demand {
        Demand::Message { token, .. } => matches!(own, Token::Branch(_)) && *token != own,
        Demand::Result { .. } | Demand::Announce | Demand::SubmitOnFailure => false,
    }
}

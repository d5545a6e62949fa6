//! What a search is about.

use std::time::Duration;

use bytes::Bytes;
use sluice_shared::domain::id::{BranchId, Incarnation, Tenant};
use sluice_shared::domain::job::{
    Body, Contender, ExecutionMode, Job, Placement, Priority, Request, RetryPolicy, Trigger, Webhook,
};
use sluice_shared::domain::record::Record;

use super::super::submit::record;
use super::core::NOW;

/// The shape of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// Its own request alone.
    Alone,
    /// A fallback on an error.
    OnError,
    /// A fallback after some time.
    OnTimeout,
    /// Its own request in two regions; the first success wins.
    Race,
    /// Its own request in two regions; both must succeed.
    Fanout,
}

/// Where a message's record is read before it is acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// From the leader, as the product does.
    Leader,
    /// From a replica, which may be behind.
    Behind,
    /// From a replica; where that does not know of the branch, or of the message's attempt, from the leader.
    BehindThenLeader,
}

/// What a search is about, and what may go wrong in it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The shape of the job.
    pub tree: Tree,
    /// It has an `on_failure` that is submitted when it is overdue.
    pub overdue: bool,
    /// It has a deadline.
    pub deadline: bool,
    /// It begins later.
    pub later: bool,
    /// Attempts of each branch.
    pub attempts: u32,
    /// Answers of 429 to each branch.
    pub limited: bool,
    /// Answers that move a branch to another region, once.
    pub moves: bool,
    /// How many submit it.
    pub submitters: u8,
    /// How often it is cancelled.
    pub cancels: u8,
    /// Things that go wrong, at most: deaths, messages handed out again, answers lost, and the two below.
    pub faults: u8,
    /// Among them: timers that do not fire.
    pub swallowed: bool,
    /// Among them: messages that the broker loses.
    pub lost: bool,
    /// There is a sweep.
    pub sweep: bool,
    /// Where records are read.
    pub reads: Reads,
    /// A search that reaches more states is stopped.
    pub most_states: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            tree: Tree::Alone,
            overdue: false,
            deadline: false,
            later: false,
            attempts: 2,
            limited: true,
            moves: false,
            submitters: 1,
            cancels: 0,
            faults: 1,
            swallowed: false,
            lost: false,
            sweep: false,
            reads: Reads::Leader,
            most_states: 400_000,
        }
    }
}

impl Plan {
    /// The record as it is created.
    pub(super) fn record(&self) -> Record {
        let own = contender(0, None, None);
        let fallback = |trigger| contender(1, Some(BranchId::OWN), Some(trigger));
        let branches = match self.tree {
            Tree::Alone | Tree::Race | Tree::Fanout => vec![own],
            Tree::OnError => vec![own, fallback(Trigger::OnError { codes: Vec::new() })],
            Tree::OnTimeout => vec![own, fallback(Trigger::OnTimeout { after: Duration::from_secs(3) })],
        };
        let everywhere = |execution_mode| Placement {
            regions: ["eu", "us"].map(|region| region.parse().unwrap()).to_vec(),
            execution_mode,
            ..Placement::default()
        };
        let placement = match self.tree {
            Tree::Alone | Tree::OnError | Tree::OnTimeout => Placement::default(),
            Tree::Race => everywhere(ExecutionMode::Race),
            Tree::Fanout => everywhere(ExecutionMode::Fanout),
        };
        let on_failure = self.overdue.then(|| Box::new(job(vec![contender(2, None, None)])));
        let job = Job {
            on_failure,
            on_failure_timeout: self.overdue.then(|| Duration::from_secs(9)),
            deadline: self.deadline.then(|| Duration::from_secs(60)),
            retry_at: self.later.then(|| NOW.after(Duration::from_secs(5))),
            placement,
            ..job(branches)
        };
        record(&Tenant::default(), "k", &job, Incarnation::from_random(1), NOW)
    }
}

fn job(branches: Vec<Contender>) -> Job {
    let webhook = Webhook { url: "http://hook.example/".into(), regions: Vec::new(), has_quorum_vote: true };
    Job {
        branches,
        idempotent_key: None,
        metadata: None,
        webhooks: vec![webhook],
        webhook_quorum: 1,
        on_success: None,
        on_failure: None,
        on_failure_timeout: None,
        deadline: None,
        retry_at: None,
        placement: Placement::default(),
    }
}

fn contender(number: u16, parent: Option<BranchId>, trigger: Option<Trigger>) -> Contender {
    let url = format!("http://{number}.example/");
    let request = Request {
        method: "POST".into(),
        url,
        headers: Vec::new(),
        body: Body::Inline(Bytes::from_static(b"?")),
        sealed: None,
    };
    Contender {
        request,
        parent,
        trigger,
        retry: RetryPolicy::default(),
        timeout: None,
        account: None,
        priority: Priority::Normal,
    }
}

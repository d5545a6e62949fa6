//! What a worker would do with a job, done by hand through the shared library.

use std::time::Duration;

use bytes::Bytes;
use sluice_shared::clock::{self, Millis};
use sluice_shared::domain::decide::{Incoming, Kind, Verdict, conclude};
use sluice_shared::domain::event::{Event, What};
use sluice_shared::domain::id::{BranchId, JobId, Tenant, Token};
use sluice_shared::domain::outcome::{Answer, Content, Response};
use sluice_shared::domain::record::{BranchState, Record};
use sluice_shared::effects::Untold;
use sluice_shared::nats::bucket::Written;
use sluice_shared::nats::records::Found;

use crate::rig::Rig;

impl Rig {
    pub(crate) async fn record(&self, job: &JobId) -> (Box<Record>, u64) {
        let found = self.effects.records().read(job).await.unwrap();
        let Found::Record(record, revision) = found else { panic!("no record: {found:?}") };
        (record, revision)
    }

    /// Tells that the present attempt of a branch is on the wire.
    pub(crate) async fn send(&self, job: &JobId, branch: u16) {
        let (record, _) = self.record(job).await;
        let attempt = attempt_of(&record, branch);
        let what = What::Sent { branch: BranchId(branch), attempt, destination: "a.example".into() };
        self.effects.tell(&Tenant::default(), job, &record.incarnation, clock::now(), what).await;
        self.nats().client().flush().await.unwrap();
    }

    /// Concludes the present attempt of a branch.
    pub(crate) async fn conclude(&self, job: &JobId, branch: u16, status: u16, verdict: Verdict) {
        self.conclude_telling(job, branch, status, verdict, &Untold::default()).await;
    }

    /// Settles a job by an answer that came so soon that its call is told of together with it.
    pub(crate) async fn succeed_as_soon_as_sent(&self, job: &JobId) {
        let untold = Untold::default();
        let what = What::Sent { branch: BranchId::OWN, attempt: 1, destination: "a.example".into() };
        untold.keep(Event { at: clock::now(), what });
        self.conclude_telling(job, 0, 200, Verdict::Success, &untold).await;
    }

    async fn conclude_telling(&self, job: &JobId, branch: u16, status: u16, verdict: Verdict, untold: &Untold) {
        let (record, revision) = self.record(job).await;
        let (next, now) = (concluded(&record, branch, status, verdict), clock::now());
        let written = self.effects.swap(job, &record, &next, revision, now, untold).await.unwrap();
        assert!(matches!(written, Written::At(_)), "{written:?}");
        self.nats().client().flush().await.unwrap();
    }

    /// Settles a job without a word to anybody.
    pub(crate) async fn succeed_in_silence(&self, job: &JobId) {
        let (record, revision) = self.record(job).await;
        let next = concluded(&record, 0, 200, Verdict::Success);
        let written = self.effects.records().swap(job, &next, revision, Duration::from_secs(3600)).await.unwrap();
        assert!(matches!(written, Written::At(_)), "{written:?}");
    }

    pub(crate) async fn succeed(&self, job: &JobId) {
        self.conclude(job, 0, 200, Verdict::Success).await;
    }
}

pub(crate) fn again_in(pause: Duration) -> Verdict {
    Verdict::Again { at: clock::now().after(pause) }
}

pub(crate) fn now() -> Millis {
    clock::now()
}

fn concluded(record: &Record, branch: u16, status: u16, verdict: Verdict) -> Record {
    let (attempt, token) = (attempt_of(record, branch), Token::Branch(BranchId(branch)));
    let message = Incoming { incarnation: &record.incarnation, token, kind: Kind::Work, attempt };
    let headers = vec![("content-type".into(), "text/plain".into())];
    let response = Response { status, headers, body: Bytes::from_static(b"the answer"), truncated: false };
    let answer = Answer { attempt, at: clock::now(), content: Content::Response(response), region: None };
    *conclude(record, message, &answer, verdict, clock::now()).swap.unwrap()
}

fn attempt_of(record: &Record, branch: u16) -> u32 {
    match record.branches[usize::from(branch)].state {
        BranchState::Live { attempt, .. } => attempt,
        BranchState::Unstarted | BranchState::Dead | BranchState::Done => panic!("branch {branch} does not contend"),
    }
}

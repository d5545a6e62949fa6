//! Messages keep their form: what version 1 wrote is read as what it was, and version 1 is still written like that.
//!
//! The bytes are in `shared/golden`, as hexadecimal text. A change that makes one of these tests fail would make a fleet of
//! two versions lose jobs: a new field needs a default, anything else a new version. For a message that is new,
//! `GOLDEN=write cargo test -p sluice-shared golden` writes the file that is missing; it changes none that is there.

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Millis;
use crate::domain::access::{Ceiling, Key, Meter, OpenJob, Quotas, Scope, Scopes, Secret};
use crate::domain::delivery::{Deliveries, Delivery, Quorum, WebhookState};
use crate::domain::gate;
use crate::domain::gate::{Announced, Backoff, Circuit, Closing, GateState, Interval, Learned, Lease, Nanos};
use crate::domain::id::{BranchId, Destination, GateName, Incarnation, KeyId, QueueName, Tenant, Token};
use crate::domain::job::{
    Body, Contender, ExecutionMode, Job, JsonText, Placement, Priority, RegionPolicy, Request, RetryPolicy, Trigger,
    Webhook,
};
use crate::domain::named_secret::SecretValue;
use crate::domain::outcome::{Answer, Content, ErrorKind, Outcome, Reason, Response, Status};
use crate::domain::record::{Branch, BranchState, Fingerprint, Moved, Placed, Record};
use crate::domain::region::Place;
use crate::domain::result::JobResult;
use crate::domain::webhook_secrets::{Scheme, WebhookSecret, WebhookSecrets};
use crate::nats::guarded::Pointer;
use crate::queues::{QueueEntry, Said};
use crate::regions::RegionEntry;
use crate::seal::{Kept, SealKey, Sealed};
use crate::secrets::KeptEntry;
use crate::topology::Settings;
use crate::wire;

fn keeps_its_form<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{name}.hex"));
    let written = HEXLOWER.encode(&wire::encode(value));
    if !file.exists() && std::env::var_os("GOLDEN").is_some_and(|wish| wish == "write") {
        std::fs::write(&file, lines(&written)).unwrap();
    }
    let golden: String = std::fs::read_to_string(&file).unwrap().split_whitespace().collect();
    let read: T = wire::decode(&HEXLOWER.decode(golden.as_bytes()).unwrap()).unwrap();
    assert_eq!(&read, value, "{name}: what was written before is read as something else");
    assert_eq!(written, golden, "{name}: it is written in another form than before");
}

fn lines(hex: &str) -> String {
    hex.as_bytes().chunks(120).map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect()
}

fn destination() -> Destination {
    Destination::of(&url::Url::parse("https://api.example.com:8443/").unwrap()).unwrap()
}

fn contender(parent: Option<BranchId>, trigger: Option<Trigger>, body: Body) -> Contender {
    Contender {
        request: Request {
            method: "POST".into(),
            url: "https://api.example.com:8443/v1".into(),
            headers: vec![("x-a".into(), "1".into())],
            body,
            sealed: None,
        },
        parent,
        trigger,
        retry: RetryPolicy {
            max_retries: Some(2),
            retry_codes: Some(vec![500]),
            max_reroutes: Some(1),
            reroute_codes: Some(vec![502]),
        },
        timeout: Some(Duration::from_millis(1_500)),
        account: Some("acme".into()),
        priority: Priority::Normal,
    }
}

fn contenders() -> Vec<Contender> {
    let own = BranchId::OWN;
    vec![
        contender(None, None, Body::Inline(Bytes::from_static(b"\x00body"))),
        contender(Some(own), Some(Trigger::OnError { codes: vec![429, 500] }), Body::Stored { len: 9_000 }),
        contender(Some(own), Some(Trigger::OnTimeout { after: Duration::from_secs(3) }), Body::Empty),
    ]
}

fn webhooks() -> Vec<Webhook> {
    vec![
        Webhook { url: "https://app.example/hook".into(), regions: vec!["eu".into()], has_quorum_vote: true },
        Webhook { url: "nats:app.outcomes".into(), regions: Vec::new(), has_quorum_vote: false },
    ]
}

fn job(follow_ups: bool) -> Job {
    Job {
        branches: contenders(),
        idempotent_key: Some("key".into()),
        metadata: Some(JsonText(r#"{"a": 1}"#.into())),
        webhooks: webhooks(),
        webhook_quorum: 1,
        on_success: follow_ups.then(|| Box::new(job(false))),
        on_failure: follow_ups.then(|| Box::new(job(false))),
        on_failure_timeout: Some(Duration::from_secs(60)),
        deadline: Some(Duration::from_secs(120)),
        retry_at: Some(Millis(7)),
        placement: Placement {
            regions: vec!["eu".parse().unwrap()],
            region_policy: RegionPolicy::Strict,
            execution_mode: ExecutionMode::Fanout,
        },
    }
}

fn response() -> Answer {
    let headers = vec![("x-b".into(), "2".into())];
    let body = Bytes::from_static(b"\xffno text");
    Answer {
        attempt: 3,
        at: Millis(11),
        content: Content::Response(Response { status: 500, headers, body, truncated: true }),
        region: None,
    }
}

fn no_response() -> Answer {
    let content = Content::Error { kind: ErrorKind::Interrupted, message: "broke off".into() };
    Answer { attempt: 1, at: Millis(12), content, region: None }
}

fn branch(contender: Contender, state: BranchState, last: Option<Answer>) -> Branch {
    let queue = QueueName::of(&Tenant::default(), &destination(), contender.account.as_deref());
    Branch {
        contender,
        queue,
        shard: 3,
        state,
        started_at: Some(Millis(2)),
        answers: 4,
        last,
        placed: Placed::default(),
    }
}

fn record(outcome: Option<Outcome>) -> Record {
    let mut contenders = contenders().into_iter();
    let mut next = |state, last| branch(contenders.next().unwrap(), state, last);
    Record {
        tenant: Tenant::default(),
        key: "key".into(),
        incarnation: Incarnation::from_random(7),
        fingerprint: Fingerprint { version: 1, hash: [9; 32] },
        accepted_at: Millis(1),
        starts_at: Millis(2),
        branches: vec![
            next(BranchState::Live { attempt: 4, due_at: Millis(5) }, Some(response())),
            next(BranchState::Dead, Some(no_response())),
            next(BranchState::Unstarted, None),
        ],
        deadline_at: Some(Millis(120_002)),
        overdue_at: Some(Millis(60_002)),
        overdue: true,
        metadata: Some(JsonText(r#"{"a": 1}"#.into())),
        webhooks: webhooks(),
        webhook_quorum: 1,
        on_success: Some(Box::new(job(false))),
        on_failure: Some(Box::new(job(true))),
        placement: Placement { execution_mode: ExecutionMode::Race, ..Placement::default() },
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        outcome,
    }
}

fn ended(status: Status, reason: Option<Reason>, winner: Token) -> Record {
    record(Some(Outcome { status, reason, winner, at: Millis(99), answer: Some(response()) }))
}

/// A job that has not ended.
pub(crate) fn pending_record() -> Record {
    record(None)
}

/// A job that ended with a body of so many bytes.
pub(crate) fn settled_record(body: usize) -> Record {
    let mut record = ended(Status::Success, None, Token::Branch(BranchId::OWN));
    let answer = record.outcome.as_mut().and_then(|outcome| outcome.answer.as_mut()).unwrap();
    if let Content::Response(response) = &mut answer.content {
        (response.body, response.truncated) = (vec![7; body].into(), false);
    }
    record
}

fn result() -> JobResult {
    let record = ended(Status::Failed, Some(Reason::Exhausted), Token::Branch(BranchId(1)));
    JobResult::of(&"job_a".parse().unwrap(), &record).unwrap()
}

#[test]
fn golden_records() {
    keeps_its_form("record_pending", &record(None));
    keeps_its_form("record_success", &ended(Status::Success, None, Token::Branch(BranchId::OWN)));
    keeps_its_form("record_deadline", &ended(Status::Failed, Some(Reason::Deadline), Token::Deadline));
    keeps_its_form("record_cancelled", &ended(Status::Cancelled, Some(Reason::Cancelled), Token::Cancel));
    keeps_its_form(
        "record_refused",
        &ended(Status::Failed, Some(Reason::Refused("no".into())), Token::Start(BranchId(2))),
    );
}

#[test]
fn golden_poison() {
    let why = || "panicked at a.rs:1".to_owned();
    keeps_its_form("record_poisoned", &ended(Status::Failed, Some(Reason::Poisoned(why())), Token::Deadline));
    let mut record = record(None);
    let content = Content::Error { kind: ErrorKind::Poisoned, message: why() };
    record.branches[0].last = Some(Answer { attempt: 1, at: Millis(12), content, region: None });
    keeps_its_form("record_poisoned_branch", &record);
}

#[test]
fn golden_pointer() {
    keeps_its_form("pointer", &Pointer { attempt: 3 });
}

#[test]
fn golden_results_and_deliveries() {
    keeps_its_form("result", &result());
    keeps_its_form("delivery", &Delivery { result: result(), webhook: 1, attempt: 2, postponed: 3 });
    let webhooks = vec![
        WebhookState::Untried,
        WebhookState::Delivered { at: Millis(5), attempt: 1 },
        WebhookState::Waiting { attempt: 2, next_at: Millis(6), last_error: Some("answered 500".into()) },
        WebhookState::Dead { reason: "answered 410".into(), at: Millis(7), attempt: 3 },
    ];
    keeps_its_form("deliveries", &Deliveries { webhooks, quorum: Quorum { needed: 2, reached: 1 } });
}

#[test]
fn golden_queues_and_gates() {
    let gates = vec![GateName::of(&destination(), Some("acme"))];
    keeps_its_form(
        "queue",
        &QueueEntry {
            tenant: Tenant::default(),
            destination: destination(),
            account: Some("acme".into()),
            shard: 3,
            gates,
            max_ack_pending: 4096,
            keep_until: Millis(8),
            closing_since: Some(Millis(9)),
            paused_since: None,
            place: Place::default(),
            priority: Priority::Normal,
            said: None,
        },
    );
    let learned = Learned {
        interval: Interval::of_rate(2.0),
        concurrency: Some(4),
        source: "x-ezthrottle-rps".into(),
        learned_at: Nanos(10),
        expires_at: Some(Nanos(11)),
    };
    keeps_its_form(
        "gate",
        &GateState {
            destination: destination(),
            account: None,
            operator: None,
            arrival: Nanos(12),
            closing: Some(Closing { until: Nanos(13), consecutive: 2 }),
            circuit: None,
            learned: Some(learned),
            announced: Vec::new(),
            backoff: None,
            leases: [("worker".to_owned(), Lease { count: 5, until: Nanos(14) })].into(),
        },
    );
}

#[test]
fn golden_learned_limits() {
    let announced = Announced {
        source: "ratelimit".into(),
        name: Some("default".into()),
        left: true,
        calls: 50,
        window: 30_000_000_000,
        sent_at: Nanos(15),
        learned_at: Nanos(16),
        expires_at: Nanos(17),
    };
    let backoff = Backoff { interval: Interval::of_nanos(18), at: Nanos(19), expires_at: Nanos(20) };
    keeps_its_form(
        "gate_learned",
        &GateState { announced: vec![announced], backoff: Some(backoff), ..GateState::new(destination(), None) },
    );
}

#[test]
fn golden_an_open_circuit() {
    let circuit = Some(Circuit { opened_at: Nanos(21), until: Nanos(22), times: 2, status: Some(503) });
    keeps_its_form("gate_circuit", &GateState { circuit, ..GateState::new(destination(), None) });
}

#[test]
fn golden_regions() {
    let place = || Place { regions: vec!["eu".parse().unwrap(), "us".parse().unwrap()], policy: RegionPolicy::Strict };
    let mut record = record(None);
    record.placement = job(false).placement;
    record.branches[1].state = BranchState::Done;
    record.branches[1].last = Some(Answer { region: Some("us".parse().unwrap()), ..response() });
    let moved = Some(Moved { from: BranchId(1), reroutes: 2, retries: 3 });
    record.branches[2].placed = Placed { place: place(), request_of: Some(BranchId(0)), moved };
    keeps_its_form("record_regions", &record);
    keeps_its_form("region", &RegionEntry { until: Millis(5) });
    let entry = QueueEntry {
        tenant: Tenant::default(),
        destination: destination(),
        account: None,
        shard: 3,
        gates: Vec::new(),
        max_ack_pending: 4096,
        keep_until: Millis(8),
        closing_since: None,
        paused_since: None,
        place: place(),
        priority: Priority::Normal,
        said: None,
    };
    keeps_its_form("queue_placed", &entry);
}

#[test]
fn golden_priorities() {
    keeps_its_form("contender_high", &Contender { priority: Priority::High, ..contender(None, None, Body::Empty) });
    let entry = QueueEntry {
        tenant: Tenant::default(),
        destination: destination(),
        account: None,
        shard: 3,
        gates: Vec::new(),
        max_ack_pending: 4096,
        keep_until: Millis(8),
        closing_since: None,
        paused_since: None,
        place: Place::default(),
        priority: Priority::Low,
        said: Some(Said { by_account: true, at: Millis(9) }),
    };
    keeps_its_form("queue_low", &entry);
}

#[test]
fn golden_settings() {
    let (shards, record_buckets, lanes, replicas) = (16, 4, 8, 3);
    let settings =
        Settings { prefix: "sluice".into(), shards, record_buckets, lanes, replicas, consumers_in_memory: true };
    keeps_its_form("settings", &settings);
}

#[test]
fn golden_what_operators_set() {
    let queue = QueueEntry {
        tenant: Tenant::default(),
        destination: destination(),
        account: None,
        shard: 3,
        gates: vec![GateName::of(&destination(), None)],
        max_ack_pending: 4096,
        keep_until: Millis(8),
        closing_since: None,
        paused_since: Some(Millis(10)),
        place: Place::default(),
        priority: Priority::Normal,
        said: None,
    };
    keeps_its_form("queue_paused", &queue);
    let (interval, set_at) = (Interval::of_rate(2.0), Nanos(15));
    let operator = Some(gate::Operator { interval, burst: Some(3), concurrency: Some(4), set_at });
    let gate = GateState { operator, ..GateState::new(destination(), None) };
    keeps_its_form("gate_operated", &gate);
}

#[test]
fn golden_secrets() {
    let sealed = || Sealed::golden(SealKey::of_bytes([7; 32]).id().clone(), Bytes::from_static(b"nonce and text"));
    let mut record = record(None);
    record.branches[0].contender.request.sealed = Some(sealed());
    keeps_its_form("record_sealed", &record);
    keeps_its_form("secret_kept", &KeptEntry { set_at: Millis(5), kept: Kept::Sealed(sealed()) });
    keeps_its_form("secret_plain", &KeptEntry { set_at: Millis(5), kept: Kept::Plain(Bytes::from_static(b"text")) });
    let secret = |text| WebhookSecret::parse(text).unwrap();
    let secrets = WebhookSecrets {
        primary: secret("0123456789abcdef"),
        secondary: Some(secret("fedcba9876543210")),
        schemes: Scheme::ALL.into(),
    };
    keeps_its_form("webhook_secrets", &secrets);
    keeps_its_form("named_secret", &SecretValue::parse("value").unwrap());
}

#[test]
fn a_key() {
    let quotas =
        Quotas { jobs_per_second: Some(5), jobs_per_day: Some(100), open_jobs: Some(7), body_bytes: Some(65_536) };
    let key = Key {
        tenant: Some(Tenant::default()),
        scopes: Scopes::from(Scope::ALL),
        label: "one".into(),
        created_at: Millis(1),
        created_by: Some(KeyId::from_random([1; 10])),
        expires_at: Some(Millis(2)),
        quotas,
        ceilings: vec![Ceiling { key: KeyId::from_random([1; 10]), quotas }],
        hash: Secret::from_random([2; 32]).hash(),
    };
    keeps_its_form("key", &key);
    let bare =
        Key { tenant: None, created_by: None, expires_at: None, quotas: Quotas::default(), ceilings: vec![], ..key };
    keeps_its_form("key_of_operator", &bare);
}

#[test]
fn what_is_counted_of_a_key() {
    keeps_its_form("meter", &Meter { arrival: Nanos(3), day: 20_000, used: 4 });
    keeps_its_form("open_job", &OpenJob { at: Millis(5) });
}

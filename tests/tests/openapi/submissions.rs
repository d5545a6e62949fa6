//! What the document says of a submission is what the reader takes: both are asked about the same ones.

use std::io::Write as _;

use serde_json::{Value, json};
use sluice_shared::clock::Millis;
use sluice_shared::domain::id::Tenant;
use sluice_shared::domain::submission::{Limits, read};

use super::conforms::{named, why_not};

/// What a field may be; absent where it is `None`.
type Choices = Vec<Option<Value>>;

fn choices(values: &[Value]) -> Choices {
    std::iter::once(None).chain(values.iter().cloned().map(Some)).collect()
}

/// Each object with each choice of each of these fields.
fn every(fields: &[(&str, Choices)]) -> Vec<Value> {
    let with = |objects: Vec<Value>, (name, choices): &(&str, Choices)| {
        let each = |object: &Value| {
            let with = |choice: &Option<Value>| {
                let mut object = object.clone();
                if let Some(value) = choice {
                    object[*name] = value.clone();
                }
                object
            };
            choices.iter().map(with).collect::<Vec<_>>()
        };
        objects.iter().flat_map(each).collect()
    };
    fields.iter().fold(vec![json!({})], with)
}

fn to(mut object: Value) -> Value {
    object["url"] = json!("https://a.example/");
    object
}

fn is_taken(submission: &Value) -> bool {
    let tenant = Tenant::default();
    let limits = Limits::new(1 << 20, Millis(1_767_225_600_000), "sluice", &tenant);
    read(submission.to_string().as_bytes(), &limits).is_ok()
}

/// Both say the same of each, and there are some of both kinds.
fn same_of(submissions: Vec<Value>) {
    let cases: Vec<_> = submissions.into_iter().map(|one| (named("JobSubmission"), one)).collect();
    let mut taken = 0;
    for (said, (_, submission)) in why_not(&cases).into_iter().zip(&cases) {
        let is_taken = is_taken(submission);
        assert_eq!(
            said.is_none(),
            is_taken,
            "the schema says {said:?} of {submission}, the reader takes it: {is_taken}"
        );
        taken += usize::from(is_taken);
    }
    assert!(taken > 0 && taken < cases.len(), "{taken} of {} are taken", cases.len());
    let _ = writeln!(
        std::io::stderr(),
        "the schema and the reader agree on {} submissions, {taken} are taken",
        cases.len()
    );
}

#[test]
fn regions_their_policy_and_the_mode_in_every_combination() {
    let names: Vec<String> = (0..33).map(|number| format!("r{number}")).collect();
    let regions = [
        json!(null),
        json!([]),
        json!(["eu"]),
        json!(["eu", "us"]),
        json!(["eu", "eu"]),
        json!(["e u"]),
        json!([""]),
        json!(["e".repeat(64)]),
        json!(["e".repeat(65)]),
        json!([7]),
        json!("eu"),
        json!(names[..32]),
        json!(names),
    ];
    let policies = [json!(null), json!("fallback"), json!("strict"), json!("Strict"), json!(1)];
    let modes = [json!(null), json!("race"), json!("fanout"), json!("both"), json!([])];
    let fallback = to(json!({}));
    let jobs = every(&[
        ("regions", choices(&regions)),
        ("region_policy", choices(&policies)),
        ("execution_mode", choices(&modes)),
        ("fallback_job", choices(&[json!(null), fallback.clone()])),
        ("fallbacks", choices(&[json!(null), json!([]), json!([fallback])])),
    ]);
    let jobs: Vec<Value> = jobs.into_iter().map(to).collect();
    let followed = jobs.iter().step_by(5).map(|job| to(json!({"on_success": job})));
    // What is misplaced may be `null`, which the schema does not mention.
    let has_null = |job: &Value| job.as_object().unwrap().values().any(Value::is_null);
    let inside = jobs.iter().filter(|job| !has_null(job)).map(|job| to(json!({"fallback_job": job})));
    same_of(jobs.iter().cloned().chain(followed).chain(inside).collect());
}

#[test]
fn reroutes_and_retries_in_every_combination() {
    let times = |most: u64| {
        [json!(null), json!(0), json!(most), json!(most + 1), json!(-1), json!(1.0), json!(1.5), json!("3")]
    };
    let many: Vec<u16> = (0..501).map(|_| 500).collect();
    let codes = [
        json!(null),
        json!([]),
        json!([99]),
        json!([100, 599]),
        json!([600]),
        json!([502.0]),
        json!(["500"]),
        json!(500),
        json!(many[..500]),
        json!(many),
    ];
    let moves = every(&[("max_reroutes", choices(&times(16))), ("reroute_codes", choices(&codes))]);
    let retries = every(&[("max_retries", choices(&times(100))), ("retry_codes", choices(&codes))]);
    let spelled = every(&[
        ("max_reroutes", choices(&[json!(null), json!(1)])),
        ("maxReroutes", choices(&[json!(null), json!(2), json!(17)])),
        ("reroute_codes", choices(&[json!(null), json!([500])])),
        ("rerouteCodes", choices(&[json!(null), json!([500]), json!([1])])),
    ]);
    let all = moves.into_iter().chain(retries).chain(spelled);
    same_of(all.map(|policy| to(json!({"retry_policy": policy}))).collect());
}

#[test]
fn requests_and_triggers() {
    let token = |length: usize| json!("a".repeat(length));
    let methods = ["GET", "post", "connect", "TRACE", "A B", "", "!~", "é"].map(Value::from);
    let named =
        ["a", "A-b", "Host", "content-LENGTH", "te", "Upgrade", "", "a b", "é", "a:"].map(|name| json!({name: "b"}));
    let valued = [
        json!(""),
        json!("a\tb"),
        json!("a\nb"),
        json!("\u{7f}"),
        json!("é"),
        json!(1),
        json!(null),
        json!([]),
        json!(["a", "b"]),
        json!(["a", 1]),
    ];
    let valued = valued.map(|value| json!({"a": value}));
    let headers = [json!(null), json!({}), json!([])].into_iter().chain(named).chain(valued);
    let requests = every(&[
        (
            "method",
            choices(&methods).into_iter().chain([Some(json!(null)), Some(token(32)), Some(token(33))]).collect(),
        ),
        ("headers", choices(&headers.collect::<Vec<_>>())),
        (
            "account",
            choices(&[json!(null), json!(""), json!(" a"), json!("a b"), json!("a\u{85}"), token(256), token(257)]),
        ),
    ]);
    let triggers = every(&[
        ("type", choices(&[json!(null), json!("on_error"), json!("on_timeout"), json!("never")])),
        ("codes", choices(&[json!(null), json!([]), json!([500]), json!([1])])),
        ("timeout_ms", choices(&[json!(null), json!(0), json!(1)])),
    ]);
    let fallback = |trigger: Value| json!({"fallback_job": to(json!({"trigger": trigger}))});
    let fallbacks = triggers.into_iter().chain([json!(null)]).map(fallback);
    same_of(requests.into_iter().chain(fallbacks).map(to).collect());
}

/// Jobs whose outcome goes to a subject of NATS: with each visible character alone, behind another, and as a word.
fn subjects() -> impl Iterator<Item = Value> {
    let each =
        (' '..='\u{7f}').flat_map(|one| [format!("{one}"), format!("a{one}"), format!("{one}.a"), format!("a.{one}")]);
    let others =
        ["", "a..b", ".a", "a.", "_INBOX.a", "_INBOXES", "_R_.a", "_GR_", "_Ra", "a._INBOX", "ä"].map(str::to_owned);
    let subjects = each.chain(others).chain([255, 256, 257].map(|length| "a".repeat(length)));
    subjects.map(|subject| json!({"webhooks": [{"url": format!("nats:{subject}")}]}))
}

#[test]
fn times_webhooks_and_what_belongs_together() {
    let hook = json!({"url": "https://a.example/"});
    let silent = json!({"url": "nats:a.b", "hasQuorumVote": false, "regions": ["somewhere else"]});
    let jobs = every(&[
        (
            "webhooks",
            choices(&[json!(null), json!([]), json!([hook]), json!([silent, hook]), json!([{"url": "nats:a b"}])]),
        ),
        ("webhook_quorum", choices(&[json!(null), json!(0), json!(1), json!(17), json!("1")])),
        ("on_failure", choices(&[json!(null), to(json!({})), json!({})])),
        (
            "on_failure_timeout_ms",
            choices(&[json!(null), json!(0), json!(1), json!(2_592_000_000_u64), json!(2_592_000_001_u64)]),
        ),
        ("deadline_ms", choices(&[json!(249), json!(250.0)])),
    ]);
    let bodies = every(&[
        ("body", choices(&[json!(null), json!(""), json!("YQ=="), json!("YR=="), json!("a"), json!({}), json!(1)])),
        ("body_encoding", choices(&[json!(null), json!("base64"), json!("hex")])),
        ("retry_at", choices(&[json!(null), json!(0), json!("soon")])),
    ]);
    let jobs = jobs.into_iter().chain(bodies).chain(subjects());
    same_of(jobs.map(to).collect());
}

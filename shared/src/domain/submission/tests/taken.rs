//! What is taken, and how it is laid out.

use std::time::Duration;

use super::{taken, with};
use crate::clock::Millis;
use crate::domain::id::BranchId;
use crate::domain::job::{Body, Job, Priority, RetryPolicy, Trigger};

fn sent(fields: &str) -> Vec<u8> {
    body(&taken(&with(fields))).to_vec()
}

fn body(job: &Job) -> &[u8] {
    match &job.branches[0].request.body {
        Body::Empty | Body::Stored { .. } => b"",
        Body::Inline(bytes) => bytes,
    }
}

fn headers(fields: &str) -> Vec<(String, String)> {
    taken(&with(fields)).branches.remove(0).request.headers
}

fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn a_url_is_enough() {
    let job = taken(r#"{"url": "HTTPS://A.example:443/x y?q=1#part"}"#);
    let own = &job.branches[0];
    assert_eq!((own.request.method.as_str(), own.request.url.as_str()), ("GET", "https://a.example/x%20y?q=1"));
    assert_eq!((&own.request.body, own.request.headers.len()), (&Body::Empty, 0));
    assert_eq!((own.parent, &own.trigger, own.timeout, &own.account), (None, &None, None, &None));
    assert_eq!(own.retry, RetryPolicy::default());
    assert_eq!((job.webhook_quorum, job.deadline, job.retry_at, job.on_failure), (1, None, None, None));
}

#[test]
fn every_field_reaches_the_job() {
    let job = taken(
        r#"{"url": "https://a.example/v1", "method": "post", "headers": {"X-A": " 1 ", "accept": ["a", "b"]}, "body": "hi",
        "metadata": {"step" : 7}, "webhooks": [{"url": "https://w.example/", "regions": ["eu"], "has_quorum_vote": false},
        {"url": "nats:out.x"}], "webhook_quorum": 1, "regions": ["iad"], "region_policy": "fallback",
        "execution_mode": "race", "retry_policy": {"max_retries": 0, "max_reroutes": 2, "retry_codes": [500],
        "reroute_codes": [503]}, "on_success": {"url": "https://s.example/"}, "on_failure": {"url": "https://f.example/"},
        "on_failure_timeout_ms": 60000, "idempotent_key": "k 1", "retry_at": 2593000000, "timeout_ms": 1500.0,
        "deadline_ms": 250, "account": "acct-1", "priority": "low"}"#,
    );
    let own = &job.branches[0];
    assert_eq!(own.request.method, "POST");
    assert_eq!(own.request.headers, [header("x-a", "1"), header("accept", "a"), header("accept", "b")]);
    assert_eq!(body(&job), b"hi");
    assert_eq!((own.timeout, own.account.as_deref()), (Some(Duration::from_millis(1500)), Some("acct-1")));
    assert_eq!(own.priority, Priority::Low);
    let codes = |code| Some(vec![code]);
    assert_eq!(
        own.retry,
        RetryPolicy { max_retries: Some(0), max_reroutes: Some(2), retry_codes: codes(500), reroute_codes: codes(503) }
    );
    assert_eq!(&*job.metadata.unwrap().0, r#"{"step" : 7}"#);
    assert_eq!(job.webhooks[0].regions, ["eu"]);
    assert_eq!([job.webhooks[0].has_quorum_vote, job.webhooks[1].has_quorum_vote], [false, true]);
    assert_eq!(job.placement.regions, ["iad".parse().unwrap()]);
    assert_eq!(job.on_success.unwrap().branches[0].request.url, "https://s.example/");
    assert_eq!(job.on_failure.unwrap().branches[0].request.url, "https://f.example/");
    assert_eq!(job.on_failure_timeout, Some(Duration::from_secs(60)));
    assert_eq!(job.deadline, Some(Duration::from_millis(250)));
    assert_eq!((job.idempotent_key.as_deref(), job.retry_at), (Some("k 1"), Some(Millis(2_593_000_000))));
}

#[test]
fn a_priority_is_that_of_fallbacks_and_follow_ups_too_unless_they_say_otherwise() {
    let job = taken(
        r#"{"url": "https://a.example/", "priority": "high",
        "fallbacks": [{"url": "https://b.example/", "fallback_job": {"url": "https://c.example/"}},
            {"url": "https://d.example/", "priority": "low", "fallback_job": {"url": "https://e.example/"}}],
        "on_success": {"url": "https://s.example/", "on_failure": {"url": "https://t.example/"}},
        "on_failure": {"url": "https://f.example/", "priority": "normal"}}"#,
    );
    let of = |job: &Job| job.branches.iter().map(|branch| branch.priority).collect::<Vec<_>>();
    let (high, low) = (Priority::High, Priority::Low);
    assert_eq!(of(&job), [high, high, high, low, low]);
    let then = job.on_success.unwrap();
    assert_eq!((of(&then), of(then.on_failure.as_ref().unwrap())), (vec![high], vec![high]));
    assert_eq!(of(&job.on_failure.unwrap()), [Priority::Normal]);
}

#[test]
fn the_spellings_of_the_go_client_mean_the_same() {
    let snake = taken(&with(
        r#""webhooks": [{"url": "https://w.example", "has_quorum_vote": false}], "webhook_quorum": 0,
        "retry_policy": {"max_retries": 1, "max_reroutes": 2, "retry_codes": [500], "reroute_codes": [503]}"#,
    ));
    let camel = taken(&with(
        r#""webhooks": [{"url": "https://w.example", "hasQuorumVote": false}], "webhook_quorum": 0,
        "retry_policy": {"maxRetries": 1, "maxReroutes": 2, "retryCodes": [500], "rerouteCodes": [503]}"#,
    ));
    assert_eq!(snake, camel);
}

#[test]
fn null_is_as_good_as_absent() {
    let nothing = with(
        r#""method": null, "headers": null, "body": null, "metadata": null, "webhooks": null, "webhook_quorum": null,
        "retry_policy": {"max_retries": null, "maxRetries": null}, "fallback_job": null, "fallbacks": null,
        "idempotent_key": null, "retry_at": null, "on_success": null, "trigger": null, "deadline_ms": null"#,
    );
    assert_eq!(taken(&nothing), taken(r#"{"url": "https://a.example/"}"#));
}

#[test]
fn a_body_is_sent_byte_for_byte() {
    assert_eq!(sent(r#""body": "a\n\u00e4\u0000 \"q\"""#), "a\nä\0 \"q\"".as_bytes());
    for json in [r#"{ "b" : 1.50 , "a": [ ], "b":2, "s": "\u00e4" }"#, "[1 ,2]", "1e2", "true", "\t{ }"] {
        let written = json.trim_start();
        assert_eq!(sent(&format!(r#""body": {json} "#)), written.as_bytes());
    }
    assert_eq!(sent(r#""body": "/wA=", "body_encoding": "base64""#), [0xff, 0]);
    assert_eq!(taken(&with(r#""body": """#)).branches[0].request.body, Body::Empty);
}

#[test]
fn a_json_value_brings_its_content_type_unless_the_caller_set_one() {
    assert_eq!(headers(r#""body": {"a": 1}"#), [header("content-type", "application/json")]);
    assert_eq!(
        headers(r#""body": {"a": 1}, "headers": {"Content-Type": "application/x"}"#),
        [header("content-type", "application/x")]
    );
    assert_eq!(headers(r#""body": "text""#), []);
}

#[test]
fn the_race_of_the_article_is_a_chain_of_three() {
    let job = taken(
        r#"{"url": "https://openrouter.ai/api", "method": "POST", "fallback_job": {
            "url": "https://api.openai.com/v1/chat/completions", "method": "POST",
            "trigger": {"type": "on_error", "codes": [429, 500]}, "fallback_job": {
                "url": "https://api.anthropic.com/v1/messages", "method": "POST",
                "trigger": {"type": "on_timeout", "timeout_ms": 3000}}}}"#,
    );
    let places: Vec<_> = job.branches.iter().map(|branch| (branch.parent, branch.trigger.clone())).collect();
    assert_eq!(
        places,
        [
            (None, None),
            (Some(BranchId(0)), Some(Trigger::OnError { codes: vec![429, 500] })),
            (Some(BranchId(1)), Some(Trigger::OnTimeout { after: Duration::from_secs(3) })),
        ]
    );
}

#[test]
fn fallbacks_are_laid_out_depth_first_the_single_one_before_the_list() {
    let job = taken(
        r#"{"url": "http://0.example/", "fallbacks": [{"url": "http://3.example/", "fallbacks":
        [{"url": "http://4.example/"}, {"url": "http://5.example/"}]}, {"url": "http://6.example/"}],
        "fallback_job": {"url": "http://1.example/", "fallback_job": {"url": "http://2.example/"}}}"#,
    );
    let parents: Vec<_> = job.branches.iter().map(|branch| branch.parent.map(|parent| parent.0)).collect();
    assert_eq!(parents, [None, Some(0), Some(1), Some(0), Some(3), Some(3), Some(0)]);
    for (number, branch) in job.branches.iter().enumerate() {
        assert_eq!(branch.request.url, format!("http://{number}.example/"));
        assert_eq!(branch.trigger, (number > 0).then_some(Trigger::OnError { codes: vec![] }));
    }
}

#[test]
fn without_a_word_of_a_quorum_it_is_one_where_a_webhook_has_a_vote() {
    for (webhooks, quorum) in [
        ("[]", 1),
        (r#"[{"url": "https://w.example"}]"#, 1),
        (r#"[{"url": "https://w.example", "has_quorum_vote": false}]"#, 0),
    ] {
        assert_eq!(taken(&with(&format!(r#""webhooks": {webhooks}"#))).webhook_quorum, quorum, "{webhooks}");
    }
    assert_eq!(taken(&with(r#""webhook_quorum": 1"#)).webhook_quorum, 1);
}

#[test]
fn a_moment_in_the_past_is_as_good_as_now() {
    assert_eq!(taken(&with(r#""retry_at": 0"#)).retry_at, Some(Millis(0)));
}

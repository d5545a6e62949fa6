//! What is refused.

use super::super::{Limits, read, salvage_webhooks};
use super::{faults, limits, reading, taken, with};
use crate::clock::Millis;
use crate::domain::id::Tenant;

/// Fields beside the URL, and the one fault they make.
const ONE_FAULT: &[(&str, &str)] = &[
    // Names
    (r#""colour": 1"#, "colour unknown_field"),
    (r#""retry_policy": {"retries": 1}"#, "retry_policy.retries unknown_field"),
    (r#""a.b": 1"#, r#"["a.b"] unknown_field"#),
    (r#""method": "GET", "method": "GET""#, "method duplicate_field"),
    (r#""retry_policy": {"max_retries": 1, "maxRetries": 1}"#, "retry_policy.maxRetries duplicate_field"),
    (r#""trigger": {"type": "on_error"}"#, "trigger misplaced"),
    // Request
    (r#""method": 5"#, "method wrong_type"),
    (r#""method": "CONNECT""#, "method invalid_value"),
    (r#""method": "trace""#, "method invalid_value"),
    (r#""method": "GE T""#, "method invalid_value"),
    (r#""method": """#, "method invalid_value"),
    (r#""headers": []"#, "headers wrong_type"),
    (r#""headers": {"x": 5}"#, "headers.x wrong_type"),
    (r#""headers": {"x": true}"#, "headers.x wrong_type"),
    (r#""headers": {"x": null}"#, "headers.x wrong_type"),
    (r#""headers": {"x": ["a", 5]}"#, "headers.x[1] wrong_type"),
    (r#""headers": {"X": "a", "x": "b"}"#, "headers.x duplicate_field"),
    (r#""headers": {"x": "a\r\nb: c"}"#, "headers.x invalid_header"),
    (r#""headers": {"x": "a\u0000"}"#, "headers.x invalid_header"),
    (r#""headers": {"x": "a\u007f"}"#, "headers.x invalid_header"),
    (r#""headers": {"a b": "c"}"#, r#"headers["a…"] invalid_header"#),
    (r#""headers": {"": "c"}"#, r#"headers["…"] invalid_header"#),
    (r#""headers": {"Host": "x"}"#, "headers.host reserved_header"),
    (r#""headers": {"Content-Length": "1"}"#, "headers.content-length reserved_header"),
    (r#""headers": {"Transfer-Encoding": "chunked"}"#, "headers.transfer-encoding reserved_header"),
    (r#""headers": {"Connection": "close"}"#, "headers.connection reserved_header"),
    (r#""headers": {"a": "1", "b": "2", "c": "3", "d": ["4", "5"]}"#, "headers too_many"),
    (r#""body_encoding": "gzip""#, "body_encoding invalid_value"),
    (r#""body_encoding": "base64", "body": "a b""#, "body invalid_value"),
    (r#""body_encoding": "base64", "body": {"a": 1}"#, "body wrong_type"),
    (r#""body": "\ud800""#, "body invalid_value"),
    // Policy
    (r#""retry_policy": []"#, "retry_policy wrong_type"),
    (r#""retry_policy": {"max_retries": 101}"#, "retry_policy.max_retries out_of_range"),
    (r#""retry_policy": {"max_retries": -1}"#, "retry_policy.max_retries out_of_range"),
    (r#""retry_policy": {"max_reroutes": 1.5}"#, "retry_policy.max_reroutes out_of_range"),
    (r#""retry_policy": {"retry_codes": [99]}"#, "retry_policy.retry_codes[0] out_of_range"),
    (r#""retry_policy": {"rerouteCodes": [500, 600]}"#, "retry_policy.rerouteCodes[1] out_of_range"),
    (r#""retry_policy": {"retry_codes": 429}"#, "retry_policy.retry_codes wrong_type"),
    (r#""timeout_ms": 0"#, "timeout_ms out_of_range"),
    (r#""timeout_ms": "5s""#, "timeout_ms wrong_type"),
    (r#""timeout_ms": 1e3"#, "timeout_ms out_of_range"),
    (r#""account": """#, "account out_of_range"),
    (r#""account": " a""#, "account invalid_value"),
    (r#""priority": "urgent""#, "priority invalid_value"),
    (r#""priority": 1"#, "priority wrong_type"),
    (r#""fallback_job": {"url": "http://b.example", "priority": "High"}"#, "fallback_job.priority invalid_value"),
    // Fallbacks
    (r#""fallback_job": {}"#, "fallback_job.url missing"),
    (r#""fallback_job": []"#, "fallback_job wrong_type"),
    (r#""fallbacks": {}"#, "fallbacks wrong_type"),
    (r#""fallbacks": [null]"#, "fallbacks[0] wrong_type"),
    (
        r#""fallback_job": {"url": "http://b.example", "trigger": {"type": "on_error", "codes": [429, 42]}}"#,
        "fallback_job.trigger.codes[1] out_of_range",
    ),
    (
        r#""fallbacks": [{"url": "http://b.example", "trigger": {"type": "on_timeout"}}]"#,
        "fallbacks[0].trigger.timeout_ms missing",
    ),
    (
        r#""fallbacks": [{"url": "http://b.example", "trigger": {"type": "on_timeout", "timeout_ms": 0}}]"#,
        "fallbacks[0].trigger.timeout_ms out_of_range",
    ),
    (
        r#""fallbacks": [{"url": "http://b.example", "trigger": {"type": "on_timeout", "timeout_ms": 1, "codes": []}}]"#,
        "fallbacks[0].trigger.codes misplaced",
    ),
    (
        r#""fallbacks": [{"url": "http://b.example", "trigger": {"type": "on_error", "timeout_ms": 1}}]"#,
        "fallbacks[0].trigger.timeout_ms misplaced",
    ),
    (r#""fallbacks": [{"url": "http://b.example", "trigger": {"codes": [429]}}]"#, "fallbacks[0].trigger.type missing"),
    (
        r#""fallbacks": [{"url": "http://b.example", "trigger": {"type": "on_rain"}}]"#,
        "fallbacks[0].trigger.type invalid_value",
    ),
    (r#""fallback_job": {"url": "http://b.example", "idempotent_key": "k"}"#, "fallback_job.idempotent_key job_only"),
    // Webhooks
    (r#""webhooks": ["https://w.example/"]"#, "webhooks[0] wrong_type"),
    (r#""webhooks": [{}]"#, "webhooks[0].url missing"),
    (r#""webhooks": [{"url": "w.example"}]"#, "webhooks[0].url invalid_url"),
    (r#""webhooks": [{"url": "https://u:p@w.example"}]"#, "webhooks[0].url invalid_url"),
    (r#""webhooks": [{"url": "https://w.example", "regions": "eu"}]"#, "webhooks[0].regions wrong_type"),
    (r#""webhooks": [{"url": "https://w.example", "hasQuorumVote": 1}]"#, "webhooks[0].hasQuorumVote wrong_type"),
    (r#""webhooks": [{"url": "https://w.example", "secret": "s"}]"#, "webhooks[0].secret unknown_field"),
    (r#""webhook_quorum": 2"#, "webhook_quorum invalid_value"),
    (r#""webhooks": [{"url": "https://w.example"}], "webhook_quorum": 2"#, "webhook_quorum invalid_value"),
    (
        r#""webhooks": [{"url": "https://w.example", "has_quorum_vote": false}], "webhook_quorum": 1"#,
        "webhook_quorum invalid_value",
    ),
    // Job
    (r#""metadata": "text""#, "metadata wrong_type"),
    (r#""metadata": {"n": 1e999}"#, "metadata invalid_value"),
    (r#""metadata": {"s": "\ud800"}"#, "metadata invalid_value"),
    (r#""regions": ["eu", 5]"#, "regions[1] wrong_type"),
    (r#""regions": ["e u"]"#, "regions[0] invalid_value"),
    (r#""region_policy": "strict""#, "region_policy misplaced"),
    (r#""region_policy": "near""#, "region_policy invalid_value"),
    (r#""execution_mode": "once""#, "execution_mode invalid_value"),
    (
        r#""execution_mode": "fanout", "fallback_job": {"url": "https://b.example", "trigger": {"type": "on_error"}}"#,
        "execution_mode misplaced",
    ),
    (r#""retry_policy": {"max_reroutes": 17}"#, "retry_policy.max_reroutes out_of_range"),
    (r#""execution_mode": "sequence""#, "execution_mode invalid_value"),
    (r#""idempotent_key": """#, "idempotent_key out_of_range"),
    (r#""idempotent_key": "a\nb""#, "idempotent_key invalid_value"),
    (r#""idempotent_key": 5"#, "idempotent_key wrong_type"),
    (r#""deadline_ms": 249"#, "deadline_ms out_of_range"),
    (r#""on_failure_timeout_ms": 1000"#, "on_failure_timeout_ms misplaced"),
    (r#""retry_at": 2593000001"#, "retry_at out_of_range"),
    (r#""retry_at": -1"#, "retry_at out_of_range"),
    (r#""on_success": "https://x.example""#, "on_success wrong_type"),
    (r#""on_success": {"url": "http://x.example", "idempotent_key": "k"}"#, "on_success.idempotent_key misplaced"),
    (
        r#""on_failure": {"url": "http://x.example", "on_success": {"url": "http://y.example", "trigger": {}}}"#,
        "on_failure.on_success.trigger misplaced",
    ),
];

#[test]
fn each_fault_is_named_by_its_path_and_code() {
    for (fields, fault) in ONE_FAULT {
        assert_eq!(faults(&with(fields)), [*fault], "{fields}");
    }
}

#[test]
fn a_url_that_cannot_be_called_is_refused_and_never_repeated() {
    for url in [
        "",
        "api.example.com",
        "/v1/jobs",
        "http:api.example.com",
        "ftp://a.example/",
        "http://",
        "https://user:secret@a.example/",
        "https://secret@a.example/",
        " https://a.example/",
        "https://a.example/\\n",
        "https://a.exam\\tple/",
        "https://a b.example/",
        "https://a.example:99999/",
    ] {
        let refused = reading(&format!(r#"{{"url": "{url}"}}"#)).unwrap_err();
        assert_eq!(refused.as_slice()[0].path, "url");
        assert_eq!(refused.as_slice()[0].code.as_str(), "invalid_url", "{url}");
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }
}

#[test]
fn subjects_of_the_broker_and_our_own_are_no_webhooks_but_the_tenants_outcomes_are() {
    for subject in [
        "",
        "a..b",
        ".a",
        "a.",
        "a.*",
        "a.>",
        "a*b",
        "a b",
        "a\\tb",
        "ä",
        "$JS.API.x",
        "_INBOX.x",
        "_INBOX_own.x",
        "_R_.x.y",
        "sluice",
        "sluice.jobs.1",
        "sluice.outcomes",
        "sluice.outcomes.default",
        "sluice.outcomes.default.",
        "sluice.outcomes.other.x",
        "sluice.outcomes.default2.x",
    ] {
        let job = with(&format!(r#""webhooks": [{{"url": "nats:{subject}"}}]"#));
        assert_eq!(faults(&job), ["webhooks[0].url invalid_subject"], "{subject}");
    }
    for subject in ["a", "orders.done", "sluices.x", "sluice.outcomes.default.x", "sluice.outcomes.default.x.y"] {
        let job = taken(&with(&format!(r#""webhooks": [{{"url": "nats:{subject}"}}]"#)));
        assert_eq!(job.webhooks[0].url, format!("nats:{subject}"));
    }
}

#[test]
fn what_is_no_json_has_one_fault_that_says_where() {
    for (json, place) in [
        (&b""[..], "line 1 column 0"),
        (b"{\n  \"url\": oops}", "line 2 column 10"),
        (b"{\"url\": \"x\"} trailing", "line 1 column 14"),
        (b"{\"url\": \"x\"", "line 1 column 11"),
        (b"{\n\"url\": \"\xff\"}", "line 2 column 9"),
    ] {
        let refused = read(json, &limits(&Tenant::default())).unwrap_err();
        assert!(refused.is_not_json() && refused.as_slice().len() == 1, "{refused}");
        assert!(refused.to_string().contains(place), "{refused} is not at {place}");
    }
    assert_eq!(faults("[]"), [" wrong_type"]);
    assert_eq!(faults("null"), [" wrong_type"]);
    assert_eq!(faults("{}"), ["url missing"]);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let json = r#"{
        "url": "https://user:pw@a.example/", "method": "TRACE", "Body": 1, "timeout_ms": 0, "trigger": {},
        "headers": {"host": "h", "x": 1},
        "webhooks": [{"url": "nats:$SYS.x"}, {"uri": "https://w.example"}], "webhook_quorum": 3,
        "fallback_job": {
            "method": "CONNECT", "webhooks": [],
            "trigger": {"type": "on_error", "codes": [429, "500"]},
            "fallback_job": {"url": 5, "metadata": {}}
        },
        "fallbacks": [{"url": "ftp://b.example"}],
        "retry_policy": {"maxRetries": 1000, "jitter": true},
        "region_policy": "strict", "execution_mode": "fanout",
        "on_failure": {"url": "https://f.example", "deadline_ms": 1, "idempotent_key": "k"},
        "deadline_ms": "soon"
    }"#;
    assert_eq!(
        faults(json),
        [
            "Body unknown_field",
            "deadline_ms wrong_type",
            "execution_mode misplaced",
            "fallback_job.fallback_job.metadata job_only",
            "fallback_job.fallback_job.url wrong_type",
            "fallback_job.method invalid_value",
            "fallback_job.trigger.codes[1] wrong_type",
            "fallback_job.url missing",
            "fallback_job.webhooks job_only",
            "fallbacks[0].url invalid_url",
            "headers.host reserved_header",
            "headers.x wrong_type",
            "method invalid_value",
            "on_failure.deadline_ms out_of_range",
            "on_failure.idempotent_key misplaced",
            "region_policy misplaced",
            "retry_policy.jitter unknown_field",
            "retry_policy.maxRetries out_of_range",
            "timeout_ms out_of_range",
            "trigger misplaced",
            "url invalid_url",
            "webhook_quorum invalid_value",
            "webhooks[0].url invalid_subject",
            "webhooks[1].uri unknown_field",
            "webhooks[1].url missing",
        ]
    );
}

#[test]
fn faults_are_a_list_of_path_code_and_message() {
    let refused = reading(r#"{"url": "https://a.example", "idempotency_key": "k"}"#).unwrap_err();
    assert_eq!(
        serde_json::to_string(&refused).unwrap(),
        r#"[{"path":"idempotency_key","code":"unknown_field","message":"is unknown here; did you mean `idempotent_key`?"}]"#
    );
    assert_eq!(refused.to_string(), "`idempotency_key` is unknown here; did you mean `idempotent_key`?");
}

#[test]
fn no_fault_repeats_what_was_sent() {
    let json = with(
        r#""headers": {"authorization": "Bearer sesame\n", "Authorization: Bearer sesame": "", "x": ["sesame\u0000"]},
        "body": "sesame \ud800", "metadata": "sesame", "account": "sesame ", "idempotent_key": " sesame", "method": "se same",
        "webhooks": [{"url": "https://sesame@w.example"}, {"url": "nats:sesame.*"}, {"url": "sesame"}],
        "on_failure": {"url": "https://w.example", "body_encoding": "base64", "body": "sesame!", "retry_at": "sesame"}"#,
    );
    let refused = reading(&json).unwrap_err();
    assert_eq!(refused.as_slice().len(), 13, "{refused}");
    assert!(!serde_json::to_string(&refused).unwrap().contains("sesame"), "{refused}");
}

#[test]
fn a_list_of_faults_ends_somewhere() {
    let strangers: Vec<String> = (0..5000).map(|n| format!(r#""stranger{n}": 1"#)).collect();
    let refused = reading(&with(&strangers.join(","))).unwrap_err();
    assert_eq!(refused.as_slice().len(), 101);
    assert_eq!(refused.as_slice()[100].code.as_str(), "more_faults");
}

fn chain(length: usize, field: &str) -> String {
    (0..length).fold(r#"{"url": "https://a.example"}"#.to_owned(), |inner, _| {
        format!(r#"{{"url": "https://a.example", "{field}": {inner}}}"#)
    })
}

#[test]
fn races_and_follow_ups_are_only_so_deep_and_so_wide() {
    assert_eq!(taken(&chain(8, "fallback_job")).branches.len(), 9);
    assert_eq!(faults(&chain(9, "fallback_job")), [format!("{}fallback_job too_deep", "fallback_job.".repeat(8))]);
    taken(&chain(5, "on_success"));
    assert_eq!(faults(&chain(6, "on_success")), [format!("{}on_success too_deep", "on_success.".repeat(5))]);

    let wide = |count: usize| with(&format!(r#""fallbacks": [{}]"#, vec![chain(0, ""); count].join(",")));
    assert_eq!(taken(&wide(31)).branches.len(), 32);
    assert_eq!(faults(&wide(32)), ["fallbacks[31] too_many"]);
    assert_eq!(faults(&wide(40)), ["fallbacks too_many", "fallbacks[31] too_many"]);

    let hooks =
        |count: usize| with(&format!(r#""webhooks": [{}]"#, vec![r#"{"url": "https://w.example"}"#; count].join(",")));
    assert_eq!(taken(&hooks(16)).webhooks.len(), 16);
    assert_eq!(faults(&hooks(17)), ["webhooks too_many"]);
}

#[test]
fn sizes_are_held_for_each_body_and_for_all_together() {
    let body = |bytes: usize| format!(r#""body": "{}""#, "x".repeat(bytes));
    assert_eq!(taken(&with(&body(1000))).branches[0].request.body.len(), 1000);
    assert_eq!(faults(&with(&body(1001))), ["body too_large"]);
    assert!(reading(&with(&body(1001))).unwrap_err().is_too_large());
    let spread = |bytes: usize| {
        with(&format!(
            r#"{}, "fallback_job": {{"url": "https://b.example", {}}}, "on_success": {{"url": "https://c.example", {}}}"#,
            body(500),
            body(300),
            body(bytes)
        ))
    };
    taken(&spread(200));
    assert_eq!(faults(&spread(201)), [" too_large"]);

    let metadata = |bytes: usize| with(&format!(r#""metadata": {{"a":"{}"}}"#, "x".repeat(bytes - 8)));
    taken(&metadata(100));
    assert_eq!(faults(&metadata(101)), ["metadata too_large"]);
    let header = |bytes: usize| with(&format!(r#""headers": {{"x": "{}"}}"#, "x".repeat(bytes - 1)));
    taken(&header(200));
    assert_eq!(faults(&header(201)), ["headers too_large"]);
    let url = |bytes: usize| format!(r#"{{"url": "https://a.example/{}"}}"#, "x".repeat(bytes - 18));
    taken(&url(8192));
    assert_eq!(faults(&url(8193)), ["url too_large"]);
}

#[test]
fn metadata_that_no_reader_takes_is_refused_however_deep() {
    let deep = format!(r#""metadata": {{"a": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let tenant = Tenant::default();
    let roomy = Limits::new(8 << 20, Millis(0), "sluice", &tenant);
    let refused = read(with(&deep).as_bytes(), &Limits { max_metadata: 1 << 20, ..roomy }).unwrap_err();
    assert_eq!(refused.as_slice()[0].code.as_str(), "invalid_value");
}

#[test]
fn what_of_a_refused_submission_is_valid_is_salvaged() {
    let json = r#"{"url": 5, "nonsense": true, "idempotent_key": "k", "metadata": {"workflow": 7},
        "webhooks": [{"url": "https://w.example/a"}, {"url": "ftp://w.example"}, {"url": "nats:out.x"}, 5, {"url": "nats:sluice.jobs.x"}]}"#;
    let tenant = Tenant::default();
    let salvage = salvage_webhooks(json.as_bytes(), &limits(&tenant));
    let urls: Vec<&str> = salvage.webhooks.iter().map(|webhook| webhook.url.as_str()).collect();
    assert_eq!(urls, ["https://w.example/a", "nats:out.x"]);
    assert_eq!(&*salvage.metadata.unwrap().0, r#"{"workflow": 7}"#);
    assert_eq!(salvage.key.as_deref(), Some("k"));
    for nothing in [&b"{\"webhooks\": "[..], b"[]", b"", b"\xff"] {
        assert_eq!(salvage_webhooks(nothing, &limits(&tenant)), super::super::Salvage::default());
    }
}

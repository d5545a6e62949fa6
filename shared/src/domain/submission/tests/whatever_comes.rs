//! Whatever bytes come: no panic, and what is taken can be relied on.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::{JOB_ONLY, Limits, read, salvage_webhooks};
use super::limits;
use crate::clock::Millis;
use crate::domain::fingerprint;
use crate::domain::id::Tenant;
use crate::domain::job::{Body, Job};

/// JSON that has the names of a job in many wrong and right places.
fn job_like() -> impl Strategy<Value = Value> {
    let words = prop_oneof![
        Just("https://a.example/x"),
        Just("nats:a.b"),
        Just("on_error"),
        Just("on_timeout"),
        Just("POST"),
        Just("race"),
        Just(""),
        Just("\u{7f}")
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u64..700).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    let mut names: Vec<&str> = vec![
        "url",
        "method",
        "headers",
        "body",
        "body_encoding",
        "retry_policy",
        "max_retries",
        "maxRetries",
        "retry_codes",
        "timeout_ms",
        "account",
        "priority",
        "fallback_job",
        "fallbacks",
        "trigger",
        "type",
        "codes",
        "has_quorum_vote",
        "x",
    ];
    names.extend(JOB_ONLY);
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(names.clone()), inner), 0..8).prop_map(|fields| {
                let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
                Value::from(fields.collect::<Map<_, _>>())
            }),
        ]
    })
}

/// A valid job: its method, body, headers, fallback statuses and timeout.
type Given = (String, String, Vec<(String, String)>, Vec<u16>, u64);

fn given() -> impl Strategy<Value = Given> {
    let header =
        ("[a-z][a-z0-9-]{0,8}", "[!-~]([ -~]{0,10}[!-~])?").prop_map(|(name, value)| (format!("x-{name}"), value));
    (
        "GET|POST|PUT|QUERY",
        any::<String>(),
        prop::collection::btree_map("x-[a-z0-9-]{1,8}", "[!-~]", 0..4).prop_map(|map| map.into_iter().collect()),
        prop::collection::vec(100_u16..600, 0..5),
        1_u64..100_000,
    )
        .prop_flat_map(move |(method, body, headers, codes, timeout)| {
            (
                Just(method),
                Just(body),
                prop_oneof![Just(headers), header.clone().prop_map(|one| vec![one])],
                Just(codes),
                Just(timeout),
            )
        })
}

fn written((method, body, headers, codes, timeout): &Given) -> Value {
    let headers: Map<_, _> = headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({"url": "https://a.example/", "method": method, "body": body, "headers": headers, "timeout_ms": timeout,
        "fallbacks": [{"url": "https://b.example/", "trigger": {"type": "on_error", "codes": codes}},
            {"url": "https://c.example/", "trigger": {"type": "on_timeout", "timeout_ms": timeout}}]})
}

fn is_sound(job: &Job) -> bool {
    let mut branches = job.branches.iter().enumerate();
    let own = branches.next().is_some_and(|(_, own)| own.parent.is_none() && own.trigger.is_none());
    own && branches.all(|(number, fallback)| {
        fallback.trigger.is_some() && fallback.parent.is_some_and(|parent| parent.index() < number)
    }) && job.branches.iter().all(|branch| url::Url::parse(&branch.request.url).is_ok_and(|url| url.has_host()))
}

proptest! {
    #[test]
    fn bytes_of_any_kind_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let tenant = Tenant::default();
        let read = read(&bytes, &limits(&tenant));
        prop_assert!(read.map_or_else(|faults| !faults.as_slice().is_empty(), |job| is_sound(&job)));
        prop_assert!(salvage_webhooks(&bytes, &limits(&tenant)).webhooks.len() <= 16);
    }

    #[test]
    fn what_looks_like_a_job_is_sound_or_has_faults(mut value in job_like(), give_url in any::<bool>()) {
        if let (true, Some(fields)) = (give_url, value.as_object_mut()) {
            fields.insert("url".to_owned(), json!("https://a.example/"));
        }
        let tenant = Tenant::default();
        let json = value.to_string();
        let read = read(json.as_bytes(), &limits(&tenant));
        prop_assert!(read.map_or_else(|faults| !faults.as_slice().is_empty(), |job| is_sound(&job)));
        prop_assert!(salvage_webhooks(json.as_bytes(), &limits(&tenant)).webhooks.len() <= 16);
    }

    #[test]
    fn a_job_cut_off_anywhere_is_no_json(given in given(), at in any::<prop::sample::Index>()) {
        let json = written(&given).to_string();
        let tenant = Tenant::default();
        let refused = read(&json.as_bytes()[..at.index(json.len())], &limits(&tenant)).unwrap_err();
        prop_assert!(refused.is_not_json());
    }

    #[test]
    fn a_valid_job_reads_back_as_what_was_written(given in given()) {
        let tenant = Tenant::default();
        let roomy = Limits::new(8 << 20, Millis(0), "sluice", &tenant);
        let job = read(written(&given).to_string().as_bytes(), &roomy).unwrap();
        let (method, body, headers, ..) = given;
        let own = &job.branches[0].request;
        prop_assert_eq!(&own.method, &method);
        prop_assert_eq!(&own.headers, &headers);
        let sent = match &own.body {
            Body::Empty => Vec::new(),
            Body::Inline(bytes) => bytes.to_vec(),
            Body::Stored { .. } => unreachable!("reading stores nothing"),
        };
        prop_assert_eq!(sent, body.into_bytes());
        prop_assert!(is_sound(&job) && job.branches.len() == 3);

        let kept: Job = rmp_serde::from_slice(&rmp_serde::to_vec_named(&job).unwrap()).unwrap();
        prop_assert_eq!(fingerprint::of(&kept), fingerprint::of(&job));
        prop_assert_eq!(kept, job);
    }
}

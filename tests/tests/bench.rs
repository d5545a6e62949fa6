//! `sluice bench` as its users meet it: what it counts is right and has its form, and nothing is left of it. How fast anything
//! is, is no matter of a test.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::process::Command;

use serde_json::Value;

/// What a benchmark prints; it has to end well and to leave nothing behind.
fn bench(arguments: &[&str]) -> Value {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-under-test"));
    // A server that must not be touched, at an address where none is.
    command.env("TMPDIR", temporary.path()).env("SLUICE_NATS_URL", "nats://127.0.0.1:1").env_remove("RUST_LOG");
    let output = command.arg("bench").args(arguments).arg("--json").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    assert!(std::fs::read_dir(temporary.path()).unwrap().next().is_none(), "{arguments:?} left something behind");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["machine"]["cpus"].as_u64() > Some(0) && document["nats_server"].is_string(), "{document:#}");
    document
}

fn is_positive(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number > 0.0)
}

#[test]
fn throughput_counts_every_job_once_on_both_ways_in_and_has_a_floor() {
    let document = bench(&["throughput", "--jobs", "60", "--queues", "3", "--open", "20", "--consumers", "memory"]);
    let runs = document["runs"].as_array().unwrap();
    let ways: Vec<&str> = runs.iter().map(|run| run["via"].as_str().unwrap()).collect();
    assert_eq!(ways, ["nats", "http"]);
    for run in runs {
        assert_eq!((run["lost"].as_u64(), run["doubled"].as_u64()), (Some(0), Some(0)), "{run:#}");
        assert!(["jobs_per_s", "floor_jobs_per_s", "ratio"].iter().all(|field| is_positive(&run[*field])), "{run:#}");
        let stored = &run["stored_per_job"];
        assert_eq!((stored["jobs"].as_f64(), stored["records"].as_f64()), (Some(1.0), Some(2.0)), "{run:#}");
        let roles: Vec<&String> = run["cpu_us_per_job"].as_object().unwrap().keys().collect();
        assert_eq!(roles, ["delivery", "gateway", "nats", "worker"]);
    }
    assert_eq!(document["floor"].as_array().unwrap().len(), 3, "before, between and after the runs");
}

#[test]
fn latency_tells_the_way_to_the_destination_and_to_the_webhook() {
    let document = bench(&["latency", "--jobs", "20", "--via", "http"]);
    let counts = ["jobs", "lost", "doubled"].map(|field| document[field].as_u64());
    assert_eq!((counts, document["via"].as_str()), ([Some(20), Some(0), Some(0)], Some("http")));
    for share in ["p50", "p99"] {
        let of = |what: &str| document[what][share].as_f64().unwrap();
        assert!(of("direct_ms") > 0.0 && of("submit_to_destination_ms") > 0.0, "{document:#}");
        assert!(of("submit_to_webhook_ms") > of("submit_to_destination_ms"), "{document:#}");
    }
}

#[test]
fn tenants_tells_what_one_feels_of_another_that_floods() {
    for door in ["nats", "durable"] {
        tenants_by(door);
    }
}

fn tenants_by(door: &str) {
    let size = ["tenants", "--jobs", "20", "--rate", "20", "--flood", "100", "--queues", "5"];
    let document = bench(&[&size[..], &["--via", door]].concat());
    assert_eq!((document["jobs"].as_u64(), document["doubled"].as_u64()), (Some(20), Some(0)));
    assert!(is_positive(&document["flood_per_s"]), "{document:#}");
    for way in ["submit_to_destination", "submit_to_webhook"] {
        for share in ["p50", "p99"] {
            let of = |what: &str| &document[way][what][share];
            assert!(["alone_ms", "beside_ms", "ratio"].iter().all(|what| is_positive(of(what))), "{document:#}");
        }
    }
}

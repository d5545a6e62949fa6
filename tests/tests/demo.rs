//! `sluice demo` as its users meet it: what it says is what should have happened, and nothing is left of it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// The demo, with a directory for what it keeps while it runs.
fn demo(temporary: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-under-test"));
    command.arg("demo").args(arguments).env("TMPDIR", temporary.path());
    // A server that must not be touched, at an address where none is.
    command.env("SLUICE_NATS_URL", "nats://127.0.0.1:1").env_remove("RUST_LOG");
    command
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn the_demo_shows_what_should_happen_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let output = demo(&temporary, &["--json"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!(output.status.code(), Some(0), "{said}\n{seen:#}");
    assert_eq!((&seen["ok"], seen["failed"].as_array().map(Vec::len)), (&Value::Bool(true), Some(0)));
    assert!(is_empty(temporary.path()));
    race(&seen["race"]);
    storm(&seen["storm"]);
}

fn race(race: &Value) {
    assert_eq!(race["winner"], "anthropic");
    assert_eq!(race["webhook"]["winner"], "anthropic");
    let lines = race["timeline"].as_array().unwrap();
    let at = |who: &str, what: &str| {
        let line = lines.iter().find(|line| line["who"] == who && line["what"].as_str().unwrap().contains(what));
        number(&line.unwrap_or_else(|| panic!("{who} {what} is missing: {race:#}"))["at_ms"])
    };
    let order = [
        at("openrouter", "sent"),
        at("openrouter", "429"),
        at("openai", "sent, because openrouter answered 429"),
        at("openrouter", "sent again"),
        at("anthropic", "sent, because openai was silent"),
        at("anthropic", "200, wins"),
        at("openai", "cancelled, connection closed"),
        at("openrouter", "cancelled, not called again"),
    ];
    assert!(order.is_sorted(), "{race:#}");
    assert!(at("webhook", "received: success from anthropic") >= at("anthropic", "200, wins"));
    let times: Vec<u64> = lines.iter().map(|line| number(&line["at_ms"])).collect();
    assert!(times.is_sorted(), "{race:#}");
}

fn storm(storm: &Value) {
    let (sluice, plain) = (&storm["sluice"], &storm["plain_clients"]);
    let jobs = number(&storm["jobs"]);
    assert_eq!((jobs, number(&storm["allowed_per_s"])), (200, 20));
    assert_eq!(number(&sluice["succeeded"]), jobs);
    assert_eq!(number(&sluice["webhooks"]), jobs);
    assert_eq!(number(&sluice["calls"]), jobs + number(&sluice["answered_429"]));
    assert_eq!(number(&plain["calls"]), number(&plain["succeeded"]) + number(&plain["answered_429"]));
    assert_eq!(number(&plain["succeeded"]) + number(&plain["gave_up"]), jobs);
    assert!(number(&plain["calls"]) <= jobs * number(&plain["tries_each"]));
    // The gate sends at the rate that is allowed: only calls that arrive closer together than they were sent are refused.
    assert!(number(&sluice["answered_429"]) <= jobs / 20, "{storm:#}");
    // Of the first wave alone all but what a second allows.
    assert!(number(&plain["answered_429"]) >= jobs / 2, "{storm:#}");
    // What was allowed in any second bounds how soon all can have succeeded.
    assert!(sluice["seconds"].as_f64().unwrap() > 0.9 * sluice["ideal_seconds"].as_f64().unwrap(), "{storm:#}");
}

#[test]
fn a_demo_that_is_interrupted_ends_with_1_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut child = demo(&temporary, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until_the_race_runs(&mut child);
    let broker = broker_in(temporary.path());
    assert!(kill(broker, None).is_ok(), "the broker does not run");
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("stopped before its end"), "{said}");
    assert!(kill(broker, None).is_err(), "the broker runs on");
    assert!(is_empty(temporary.path()));
}

/// Reads what it says until two providers were called, one of which takes long.
fn until_the_race_runs(child: &mut Child) {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let called = lines.map_while(Result::ok).any(|line| line.contains("ms  openai"));
    assert!(called, "it ended before");
}

/// The process id of the nats-server, which it keeps in its lock.
fn broker_in(temporary: &Path) -> Pid {
    let dir = std::fs::read_dir(temporary).unwrap().next().unwrap().unwrap().path();
    Pid::from_raw(std::fs::read_to_string(dir.join("lock")).unwrap().trim().parse().unwrap())
}

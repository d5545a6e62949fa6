//! Everything at work, and on the other side nothing but nats-py: a job goes in by NATS, its outcome comes out by NATS.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::time::Duration;

use sluice::scripted::{Destination, Script};
use sluice_tests::configuration::Configuration;
use sluice_tests::python;
use sluice_tests::up::Up;
use tokio::process::Command;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(120);

/// What the example printed.
async fn outcome(up: &Up, url: &str, key: &str) -> String {
    let python = tokio::task::spawn_blocking(python::with_nats).await.unwrap();
    let mut script = Command::new(python);
    script
        .arg(python::script("outcome_by_nats.py"))
        .args([url, key])
        .env("NATS_URL", up.process.announced()["nats"].as_str().unwrap())
        .kill_on_drop(true);
    let output = timeout(DEADLINE, script.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_job_published_by_nats_py_brings_its_outcome_to_a_subject_of_nats_py() {
    let (mut up, api) = (Up::start(&Configuration::default()).await, Destination::start().await.unwrap());
    api.on("/v1/chat", [Script::answer(200).body("hello")]);
    assert_eq!(outcome(&up, &api.at("/v1/chat"), "order-7").await, "success for order 7\n200 hello\n");
    assert_eq!(api.count(), 1);
    assert!(up.process.stop().await.success());
}

#[tokio::test]
async fn a_job_that_is_refused_brings_its_faults_to_the_same_subject() {
    let mut up = Up::start(&Configuration::default()).await;
    let said = outcome(&up, "ftp://api.example.com/", "order-8").await;
    assert!(said.starts_with("failed for order 7\nrefused `url` "), "{said}");
    assert!(up.process.stop().await.success());
}

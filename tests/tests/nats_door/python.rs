//! The same by nats-py: the scripts that the documentation shows, run by a real Python.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use sluice_shared::domain::id::Tenant;
use sluice_shared::domain::payload::WebhookBody;
use sluice_tests::python;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::rig::{DEADLINE, Rig, options, tenant};

const DOCUMENTATION: &str = include_str!("../../../gateway/NATS.md");

async fn interpreter() -> PathBuf {
    tokio::task::spawn_blocking(python::with_nats).await.unwrap()
}

fn start(rig: &Rig, python: &Path, script: &str, arguments: &[&str]) -> Child {
    let mut command = Command::new(python);
    command.arg(python::script(script)).args(arguments).env("NATS_URL", rig.broker.url());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

/// What a script printed; it must end well.
async fn printed(script: Child) -> String {
    let output = timeout(DEADLINE, script.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_job_is_stored_and_stored_again_as_the_same_one() {
    let (python, rig) = (interpreter().await, Rig::start().await);
    let arguments = ["http://a.example/", "order-7"];
    assert_eq!(printed(start(&rig, &python, "submit.py", &arguments)).await, "stored in SLUICE_SUBMIT\n");
    assert_eq!(printed(start(&rig, &python, "submit.py", &arguments)).await, "stored in SLUICE_SUBMIT\n");
    let _gateway = rig.gateway(options()).await;
    rig.until_record(&tenant("acme"), "order-7").await;
}

#[tokio::test]
async fn a_job_is_submitted_asked_about_and_cancelled_and_a_bad_one_is_refused_with_its_faults() {
    let (python, (rig, _gateway)) = (interpreter().await, Rig::with_gateway().await);
    let expected = "submitted: queued\nagain: the same job\nattempts so far: 0\ncancelled: cancelled\n\
                    outcome: cancelled\nrefused: 422 invalid_job\n";
    let said = printed(start(&rig, &python, "ask.py", &["http://a.example/"])).await;
    assert!(said.starts_with(expected) && said.contains("  url must be given"), "{said}");
}

#[tokio::test]
async fn a_refused_job_reaches_the_subject_that_its_outcome_was_to_go_to() {
    let (python, (rig, _gateway)) = (interpreter().await, Rig::with_gateway().await);
    let script = start(&rig, &python, "outcome_by_nats.py", &["ftp://a.example/", "bad"]);
    rig.until_dead_letter("default").await;
    let result = rig.result("default").await.unwrap();
    assert_eq!(result.webhooks[0].url, "nats:my.outcomes");
    // In the place of the delivery service, which no part of this suite runs.
    let body = serde_json::to_string(&WebhookBody::new(&result, 0, 1)).unwrap();
    assert!(rig.ask("my.outcomes", &body).await.is_some(), "the script does not answer");
    let said = printed(script).await;
    assert!(said.starts_with("failed for order 7\nrefused `url` "), "{said}");
    assert!(rig.record(&Tenant::default(), "bad").await.is_none());
}

#[test]
fn the_documentation_shows_the_scripts_that_these_tests_run() {
    let mut shown: Vec<&str> =
        DOCUMENTATION.split("```python\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let mut scripts = ["submit.py", "ask.py", "outcome_by_nats.py"]
        .map(|name| std::fs::read_to_string(python::script(name)).unwrap());
    shown.sort_unstable();
    scripts.sort_unstable();
    assert_eq!(shown, scripts);
}

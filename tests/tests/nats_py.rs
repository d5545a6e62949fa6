//! Everything at work, and on the other side nothing but nats-py: a job goes in by NATS, its outcome comes out by NATS.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sluice::scripted::{Destination, Script};
use sluice_tests::{program, python};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(120);

/// `sluice up` with a directory of its own.
struct Up {
    process: Child,
    nats: String,
    _dir: TempDir,
}

impl Up {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(program());
        command.args(["up", "--json", "--listen", "127.0.0.1:0", "--data"]).arg(dir.path());
        command.env_remove("SLUICE_NATS_URL").stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().expect("`sluice up` says where it is");
        let said: Value = serde_json::from_str(&line).unwrap();
        Self { process, nats: said["nats"].as_str().unwrap().to_owned(), _dir: dir }
    }

    async fn stop(mut self) {
        let pid = Pid::from_raw(self.process.id().unwrap().try_into().unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        let ended = timeout(DEADLINE, self.process.wait()).await.unwrap().unwrap();
        assert!(ended.success(), "{ended}");
    }
}

/// What the example printed.
async fn outcome(up: &Up, url: &str, key: &str) -> String {
    let python = tokio::task::spawn_blocking(python::with_nats).await.unwrap();
    let mut script = Command::new(python);
    script.arg(python::script("outcome_by_nats.py")).args([url, key]).env("NATS_URL", &up.nats).kill_on_drop(true);
    let output = timeout(DEADLINE, script.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_job_published_by_nats_py_brings_its_outcome_to_a_subject_of_nats_py() {
    let (up, api) = (Up::start().await, Destination::start().await.unwrap());
    api.on("/v1/chat", [Script::answer(200).body("hello")]);
    assert_eq!(outcome(&up, &api.at("/v1/chat"), "order-7").await, "success for order 7\n200 hello\n");
    assert_eq!(api.count(), 1);
    up.stop().await;
}

#[tokio::test]
async fn a_job_that_is_refused_brings_its_faults_to_the_same_subject() {
    let up = Up::start().await;
    let said = outcome(&up, "ftp://api.example.com/", "order-8").await;
    assert!(said.starts_with("failed for order 7\nrefused `url` "), "{said}");
    up.stop().await;
}

//! Roles that may not make the topology start where it is there, and say what to do where it is not.

use std::path::Path;

use sluice_tests::configuration::Configuration;
use sluice_tests::guarded::GuardedServer;
use sluice_tests::program;
use tokio::process::Command;

use crate::rig::server;

async fn run(server: &GuardedServer, file: &Path, who: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(program());
    command.args(arguments).args(["--nats", server.url(), "--config"]).arg(file).kill_on_drop(true);
    command.env("SLUICE_NATS__NKEY_SEED_FILE", server.seed(who));
    let output = command.output().await.unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test]
async fn a_role_without_its_topology_says_who_makes_it() {
    let (server, file) = server(&[], &Configuration::default()).await;
    let (code, said) = run(&server, &file, "worker", &["worker", "--metrics", "127.0.0.1:0"]).await;
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("KV_sluice_queues is not there") && said.contains("sluice topology"), "{said}");

    for _ in 0..2 {
        let (code, said) = run(&server, &file, "operator", &["topology"]).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("everything under `sluice` is there"), "{said}");
    }
    // A role's key is not the operator's, and finds everything there.
    let (code, said) = run(&server, &file, "gateway", &["topology"]).await;
    assert_ne!(code, Some(0), "{said}");
}

#[tokio::test]
async fn a_stranger_is_not_let_in() {
    let (server, file) = server(&["acme"], &Configuration::default()).await;
    let mut command = Command::new(program());
    command.args(["worker", "--metrics", "127.0.0.1:0", "--nats", server.url(), "--config"]).arg(&file);
    let output = command.kill_on_drop(true).output().await.unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let (code, said) = run(&server, &file, "acme", &["topology"]).await;
    assert_eq!(code, Some(3), "{said}");
}

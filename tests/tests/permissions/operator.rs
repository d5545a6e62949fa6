//! Roles that may not make the topology start where it is there, and say what to do where it is not.

use std::path::Path;

use sluice::broker::{Environment, Found, find};
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

#[tokio::test]
async fn the_configuration_of_the_cluster_is_one_that_a_server_takes() {
    let Ok(Found::Server { path, .. }) = find(&Environment::of_process()).await else { panic!("no nats-server") };
    let mut command = Command::new(path);
    command.args(["-t", "-c", concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/config/nats-cluster.conf")]);
    for (name, value) in [
        ("NAME", "a"),
        ("LISTEN", "127.0.0.1:4222"),
        ("MONITOR", "127.0.0.1:8222"),
        ("STORE", "/tmp"),
        ("STORE_KEY", "k0123456789abcdef"),
        ("CLUSTER_LISTEN", "127.0.0.1:6222"),
        ("ROUTES", "[nats://127.0.0.1:6222]"),
        ("GATEWAY_PASSWORD", "a"),
        ("WORKER_PASSWORD", "b"),
        ("DELIVERY_PASSWORD", "c"),
        ("OPERATOR_PASSWORD", "d"),
        ("SYSTEM_PASSWORD", "e"),
    ] {
        command.env(format!("NATS_{name}"), value);
    }
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

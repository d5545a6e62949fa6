//! What the `sluice` command says and how it ends when it cannot do what it was asked for.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::process::{Command, Output};

fn sluice(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-under-test"));
    command.args(arguments).env_remove("SLUICE_NATS_URL").output().unwrap()
}

fn ends(arguments: &[&str], code: i32, saying: &str) {
    let output = sluice(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(said.contains(saying), "{arguments:?}: {said}");
}

#[test]
fn help_is_an_answer_and_shows_an_example() {
    for subcommand in ["up", "demo", "gateway", "worker", "delivery"] {
        let output = sluice(&[subcommand, "--help"]);
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("Example:\n"), "{subcommand}");
    }
}

#[test]
fn up_refuses_to_listen_to_others() {
    ends(&["up", "--listen", "0.0.0.0:8080"], 2, "use 127.0.0.1:8080");
    ends(&["up", "--metrics", "[::]:9090"], 2, "not a loopback address");
}

#[test]
fn wrong_usage_and_wrong_configuration_end_with_2() {
    ends(&["worker", "--metrics", "9090"], 2, "an address looks like");
    ends(&["worker", "--config", "/no/such/file"], 2, "/no/such/file");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sluice.toml");
    std::fs::write(&file, "[worker]\nslotss = 3\n").unwrap();
    ends(&["worker", "--config", file.to_str().unwrap()], 2, "slotss");
}

#[test]
fn a_nats_that_does_not_answer_ends_with_3() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("nats://someone:hunter2@{free}");
    let output = sluice(&["worker", "--metrics", "127.0.0.1:0", "--nats", &url]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(&free.to_string()) && !said.contains("hunter2"), "{said}");
}

#[test]
fn an_address_that_is_taken_is_named_before_anything_is_started() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (dir, address) = (tempfile::tempdir().unwrap(), taken.local_addr().unwrap().to_string());
    let data = dir.path().join("data");
    ends(&["up", "--listen", &address, "--data", data.to_str().unwrap()], 1, &address);
    assert!(!data.exists());
}

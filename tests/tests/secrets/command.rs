//! `sluice secrets`, as somebody types it.

use std::process::Stdio;

use serde_json::json;
use sluice_tests::configuration::Configuration;
use sluice_tests::program;
use sluice_tests::scene::Scene;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Its exit code, and all that it says.
async fn sluice(gateway: &str, arguments: &[&str], input: &str) -> (i32, String) {
    let mut command = Command::new(program());
    command.args(["secrets"]).args(arguments).args(["--gateway", gateway]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut running = command.spawn().unwrap();
    running.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = running.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn secrets_are_set_from_standard_input_listed_by_name_and_deleted() {
    let scene = Scene::start().await;
    let gateway = scene.system.gateways[0].http();
    let (code, said) = sluice(gateway, &["list"], "").await;
    assert!(code == 0 && said.starts_with("There are no secrets"), "{said}");

    let (code, said) = sluice(gateway, &["set", "openai"], "canary-of-openai\n").await;
    assert!(code == 0 && said.contains("{{secret:openai}}") && !said.contains("canary"), "{said}");
    assert_eq!(sluice(gateway, &["list"], "").await, (0, "openai\n".to_owned()));
    let (code, said) = sluice(gateway, &["list", "--json"], "").await;
    assert!(code == 0 && said.contains(r#""name":"openai""#) && !said.contains("canary"), "{said}");
    scene.run("/", json!({"headers": {"x-key": "{{secret:openai}}"}})).await;
    assert_eq!(scene.destination.calls("/")[0].header("x-key"), Some("canary-of-openai"));

    let (code, said) = sluice(gateway, &["delete", "openai"], "").await;
    assert!(code == 0, "{said}");
    assert!(sluice(gateway, &["list"], "").await.1.starts_with("There are no secrets"));
}

#[tokio::test]
async fn what_cannot_be_done_says_why_and_nothing_of_a_value() {
    let scene = Scene::with(Configuration::default().without("secrets.key")).await;
    let gateway = scene.system.gateways[0].http();
    let (code, said) = sluice(gateway, &["set", "a"], "canary").await;
    assert!(code == 1 && said.contains("secrets.key") && !said.contains("canary"), "{said}");
    let (code, said) = sluice(gateway, &["set", "a"], "canary\ncanary").await;
    assert!(code == 1 && said.contains("printable") && !said.contains("canary"), "{said}");
    let (code, said) = sluice(gateway, &["set", "a.b"], "canary").await;
    assert!(code == 2 && said.contains("1 to 64 letters"), "{said}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, said) = sluice(&format!("http://{free}"), &["list"], "").await;
    assert!(code == 1 && said.contains("--gateway URL"), "{said}");
}

//! `sluice keys`, and where an open gateway may listen.

use std::process::{Command, Output};

use http::Method;
use serde_json::Value;
use sluice_shared::topology::Settings;
use sluice_tests::broker::{TestBroker, small};
use sluice_tests::client::Client;
use sluice_tests::process::Process;
use sluice_tests::{eventually, program};

use crate::rig::Rig;

fn sluice(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).env_remove("SLUICE_NATS_URL").output().unwrap()
}

/// What it says, where it ends with this code.
fn ends(arguments: &[&str], code: i32) -> String {
    let output = sluice(arguments);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{err}");
    format!("{out}{err}")
}

/// A file with what the deployment chose, which is not the default.
fn configured() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sluice.toml");
    std::fs::write(&file, sluice_tests::configuration::Configuration::default().toml()).unwrap();
    let file = file.to_str().unwrap().to_owned();
    (dir, file)
}

#[tokio::test]
async fn keys_are_made_listed_and_revoked_without_a_gateway() {
    let rig = Rig::start(1, 0).await;
    let (_dir, file) = configured();
    let url = rig.scene.system.broker.url().to_owned();
    let place = ["--nats", url.as_str(), "--config", file.as_str()];
    let run = |arguments: &[&str], code| ends(&[&["keys"], arguments, &place].concat(), code);
    assert!(run(&["list"], 0).contains("sluice keys create --admin"));
    let said = run(&["create", "--admin", "--label", "first"], 0);
    let key = said.lines().next().unwrap();
    assert!(
        key.starts_with("sluice_") && said.contains("of the operator") && said.contains("submit,read,operate,admin"),
        "{said}"
    );
    let operator = rig.at(0, key);
    let status = async |client: &Client, path: &str| client.send(Method::GET, path, &[], None).await.status;
    eventually("a key that is taken", async || (status(&operator, "/v1/keys").await == 200).then_some(())).await;

    let more = ["--scope", "submit,read", "--tenant", "acme", "--expires-in", "1h", "--jobs-per-second", "5"];
    let made = run(
        &[&["create", "--json", "--jobs-per-day", "9", "--open-jobs", "3", "--body-bytes", "1 KiB"], &more[..]]
            .concat(),
        0,
    );
    let made: Value = serde_json::from_str(&made).unwrap();
    let (id, secret) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap().rsplit('_').next().unwrap());
    assert_eq!((made["tenant"].as_str(), made["scopes"].to_string().as_str()), (Some("acme"), r#"["submit","read"]"#));
    let quotas = serde_json::json!({"jobs_per_second": 5, "jobs_per_day": 9, "open_jobs": 3, "body_bytes": 1024});
    assert_eq!(made["quotas"], quotas);
    let listed: Value = serde_json::from_str(&run(&["list", "--json"], 0)).unwrap();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 2);
    let of_acme = run(&["list", "--tenant", "acme"], 0);
    assert!(of_acme.contains(id) && !of_acme.contains("first") && !of_acme.contains(secret), "{of_acme}");
    assert!(!listed.to_string().contains(secret));

    let user = rig.at(0, made["key"].as_str().unwrap());
    eventually("a key that is taken", async || (status(&user, "/v1/queues").await == 200).then_some(())).await;
    assert!(run(&["revoke", id], 0).contains("revoked"));
    eventually("a key that is revoked", async || (status(&user, "/v1/queues").await == 401).then_some(())).await;
    assert!(run(&["revoke", id], 1).contains("no such key"));
    assert!(run(&["create"], 2).contains("--scope"));
    assert!(run(&["create", "--scope", "root"], 2).contains("`submit`, `read`, `operate` and `admin`"));
    assert!(run(&["create", "--scope", "read", "--jobs-per-day", "0"], 2).contains("jobs_per_day"));
}

/// Everything on one machine, for others too: `up` with keys, the first of them made in the NATS that it says it runs on.
#[tokio::test]
async fn up_listens_to_others_where_it_asks_for_keys() {
    let files = tempfile::tempdir().unwrap();
    let data = files.path().join("data").into_os_string();
    let mut arguments: Vec<std::ffi::OsString> =
        ["up", "--json", "--listen", "0.0.0.0:0", "--auth", "keys", "--data"].map(Into::into).into();
    arguments.push(data);
    let mut up = Process::start("up", arguments, files.path().join("up.log")).await;
    let (base, nats) = (up.http().replace("0.0.0.0", "127.0.0.1"), up.announced()["nats"].as_str().unwrap().to_owned());
    assert_eq!(up.announced()["auth"], "keys");
    let status = async |client: &Client| client.send(Method::GET, "/v1/queues", &[], None).await.status;
    assert_eq!(status(&Client::new(&base)).await, 401);
    let made: Value =
        serde_json::from_str(&ends(&["keys", "create", "--admin", "--json", "--nats", &nats], 0)).unwrap();
    let client = Client::with_key(&base, made["key"].as_str().unwrap());
    eventually("a key that is taken", async || (status(&client).await == 200).then_some(())).await;
    assert!(up.stop().await.success());
}

#[tokio::test]
async fn without_a_deployment_there_are_no_keys() {
    let broker = TestBroker::with(Settings { prefix: "other".into(), ..small() }).await;
    let said = ends(&["keys", "create", "--admin", "--nats", broker.url()], 3);
    assert!(said.contains("no Sluice with the prefix `sluice`"), "{said}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    ends(&["keys", "list", "--nats", &format!("nats://{free}")], 3);
}

#[test]
fn whoever_lets_everybody_in_listens_on_loopback_only() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sluice.toml");
    std::fs::write(&file, "[gateway]\nauth = \"open\"\n").unwrap();
    let file = file.to_str().unwrap();
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8080"] {
        let said = ends(&["gateway", "--listen", listen, "--config", file], 2);
        assert!(said.contains("not a loopback address") && said.contains("sluice keys create --admin"), "{said}");
        let said = ends(&["up", "--listen", listen], 2);
        assert!(said.contains("not a loopback address") && said.contains("--auth keys"), "{said}");
    }
    std::fs::write(file, "[gateway]\nauth = \"open\"\nlisten = \"0.0.0.0:8080\"\n").unwrap();
    assert!(ends(&["gateway", "--config", file], 2).contains("not a loopback address"));
}

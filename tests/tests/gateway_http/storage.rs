//! The watermark: a broker that is nearly full takes no new jobs.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::stream::Config;
use bytes::Bytes;
use http::StatusCode;
use serde_json::json;
use sluice::broker::{Environment, Found, find};
use sluice_gateway::jobs::{Jobs, Room, Storage};
use sluice_shared::effects::{Caps, Effects};
use sluice_shared::nats::publish::PublishError;
use sluice_shared::nats::{ConnectOptions, Nats};
use sluice_shared::queues::Queues;
use sluice_shared::topology::{Options, Topology};
use sluice_tests::broker::small;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::rig::{Gateway, job, until};

/// What the broker may store, in bytes.
const ROOM: usize = 8 << 20;
/// How often the gateway looks.
const EVERY: Duration = Duration::from_millis(50);

/// A broker with little room.
struct Small {
    nats: Nats,
    _server: Child,
    _dir: TempDir,
}

/// One account with a limit of its own.
fn limited_account() -> String {
    format!(
        "jetstream {{}}\nno_auth_user: s\naccounts {{ S {{ users: [{{user: s, password: s}}]
        jetstream {{ max_mem: 512MB, max_file: {ROOM} }} }} }}"
    )
}

/// A limit that only the server knows.
fn limited_server() -> String {
    format!("jetstream {{ max_file_store: {ROOM} }}")
}

impl Small {
    async fn start(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let Found::Server { path, .. } = find(&Environment::of_process()).await.unwrap() else {
            panic!("a server of the test's own is needed: unset SLUICE_NATS_URL")
        };
        let file = dir.path().join("nats.conf");
        let common = format!("listen: \"127.0.0.1:-1\"\nports_file_dir: {:?}\n", dir.path());
        std::fs::write(&file, common + config).unwrap();
        let mut server = Command::new(path);
        server.arg("-c").arg(&file).arg("-sd").arg(dir.path()).stderr(Stdio::null()).kill_on_drop(true);
        let server = server.spawn().unwrap();
        let url = until("a nats-server", async || url_of(dir.path())).await;
        let connect = ConnectOptions { url, name: "test".into(), ..ConnectOptions::default() };
        let nats = Nats::connect(connect, Topology::new(small())).await.unwrap();
        let options = Options { dead_letter_age: Duration::from_secs(3600), ack_wait: Duration::from_secs(15) };
        nats.topology().create(&nats, options).await.unwrap();
        Self { nats, _server: server, _dir: dir }
    }

    /// A gateway that refuses jobs when half of the room is used.
    async fn gateway(&self) -> Gateway {
        let queues = Queues::start(&self.nats).await;
        let caps = Caps::new(self.nats.max_payload(), 1 << 16);
        let effects = Effects::new(&self.nats, &queues, caps, Duration::from_secs(3600));
        let nats = self.nats.clone();
        let jobs = |stop: &_| {
            Jobs::new(effects).within(Storage::watch(&nats, Room::above(0.5), EVERY, CancellationToken::clone(stop)))
        };
        Gateway::start("", jobs).await
    }

    /// Stores so many bytes, or as many as there is room for.
    async fn fill(&self, bytes: usize) {
        let stream = Config { name: "FILL".into(), subjects: vec!["fill".into()], ..Config::default() };
        self.nats.jetstream().create_stream(stream).await.unwrap();
        for _ in 0..bytes.div_ceil(1 << 16) {
            let block = Bytes::from_static(&[7; 1 << 16]);
            match self.nats.publish("fill".into(), HeaderMap::new(), block).await {
                Ok(_) => {}
                Err(PublishError::NoRoom(_)) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn empty(&self) {
        self.nats.jetstream().delete_stream("FILL").await.unwrap();
    }
}

fn url_of(dir: &Path) -> Option<String> {
    let ports =
        std::fs::read_dir(dir).ok()?.flatten().find(|file| file.path().extension().is_some_and(|e| e == "ports"))?;
    let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(ports.path()).ok()?).ok()?;
    Some(ports["nats"][0].as_str()?.to_owned())
}

#[tokio::test]
async fn above_the_watermark_new_jobs_are_refused_and_known_ones_answered_until_there_is_room() {
    let broker = Small::start(&limited_account()).await;
    let gateway = broker.gateway().await;
    let known = job(json!({"idempotent_key": "known"}));
    gateway.submit(known.clone()).await;
    broker.fill(ROOM * 6 / 10).await;
    let refused = until("a refusal", async || {
        Some(gateway.post("/v1/jobs", &job(json!({}))).await).filter(|answer| !answer.status.is_success())
    })
    .await;
    refused.problem(503, "storage_full");
    assert!(refused.header("retry-after").is_some());
    let batch = gateway.post("/v1/jobs/batch", &json!([job(json!({})), known])).await.json();
    assert_eq!((&batch["items"][0]["status"], &batch["items"][1]["status"]), (&json!(503), &json!(200)));
    let other = job(json!({"idempotent_key": "known", "body": "other"}));
    gateway.post("/v1/jobs", &other).await.problem(409, "conflict");
    broker.empty().await;
    until("room", async || {
        (gateway.post("/v1/jobs", &job(json!({}))).await.status == StatusCode::ACCEPTED).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_broker_that_has_no_room_says_so_where_nobody_knows_its_limit() {
    let broker = Small::start(&limited_server()).await;
    let gateway = broker.gateway().await;
    gateway.submit(job(json!({}))).await;
    broker.fill(2 * ROOM).await;
    let refused = gateway.post("/v1/jobs", &job(json!({"body": "x".repeat(1 << 16)}))).await;
    refused.problem(503, "storage_full");
    assert!(refused.header("retry-after").is_some());
}

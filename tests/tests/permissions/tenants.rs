//! Two tenants: each reaches its own jobs, and the server refuses it everything else.

use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::connection::State;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use sluice::scripted::Script;
use sluice_shared::domain::id::JobId;
use sluice_tests::eventually;

use crate::rig::{Guarded, Tenant, job};

/// What one tenant could want to publish to.
const FOREIGN: [&str; 39] = [
    "sluice.submit.globex",
    "sluice.submit.acme.more",
    "sluice.submit",
    "sluice.submitted.0.submit.globex",
    "sluice.api.submit.globex",
    "sluice.api.get.globex",
    "sluice.api.wait.globex",
    "sluice.api.cancel.globex",
    "sluice.api.get",
    "sluice.api.cancel",
    "sluice.outcomes.globex.done",
    "sluice.outcomes.acme.done",
    "sluice.jobs.0.queue.job.life.0",
    "sluice.later.0.queue.job.life.0",
    "sluice.due.0.queue.job.life.cancel",
    "sluice.results.0.acme.job",
    "sluice.deliveries.later.0.acme.job.life.0",
    "sluice.deliveries.due.0.acme.job.life.0",
    "sluice.dead.webhook.globex.job",
    "sluice.events.globex.job.life.job.settled",
    "sluice.settled.job",
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.INFO.SLUICE_JOBS_0",
    "$JS.API.STREAM.CREATE.MINE",
    "$JS.API.STREAM.DELETE.SLUICE_JOBS_0",
    "$JS.API.STREAM.MSG.GET.KV_sluice_records_0",
    "$JS.API.DIRECT.GET.KV_sluice_bodies",
    "$JS.API.CONSUMER.MSG.NEXT.SLUICE_SUBMIT.intake-0",
    "$JS.API.CONSUMER.CREATE.SLUICE_RESULTS",
    "$JS.ACK.SLUICE_SUBMIT.intake-0.1.1.1.1.0",
    "$KV.sluice_records_0.job",
    "$KV.sluice_gates.gate",
    "$KV.sluice_queues._topology",
    "$SRV.PING",
    "$SYS.REQ.SERVER.PING",
    "_INBOX.sluice.gateway.x",
    "_R_.a.b",
    "any.other",
];

/// What one tenant could want to listen to.
const OVERHEARD: [&str; 18] = [
    ">",
    "*.>",
    "sluice.>",
    "sluice.submit.>",
    "sluice.submit.acme",
    "sluice.api.>",
    "sluice.outcomes.>",
    "sluice.outcomes.globex.>",
    "sluice.outcomes.*.done",
    "sluice.jobs.>",
    "sluice.results.>",
    "sluice.events.>",
    "sluice.settled.*",
    "$JS.>",
    "$KV.>",
    "$SRV.>",
    "$SYS.>",
    "_R_.>",
];

#[tokio::test]
async fn what_is_not_its_own_is_refused_by_the_server_to_publish_to_and_to_hear() {
    let guarded = Guarded::start(&["acme", "globex"]).await;
    let acme = guarded.tenant("acme").await;
    for subject in FOREIGN {
        assert!(!acme.may_publish(subject, None, "{}").await, "{subject}");
    }
    for subject in OVERHEARD {
        assert!(!acme.may_subscribe(subject).await, "{subject}");
    }
    for own in ["sluice.submit.acme", "sluice.api.get.acme"] {
        assert!(acme.may_publish(own, None, "{}").await, "{own}");
    }
    assert!(acme.may_subscribe("sluice.outcomes.acme.>").await);
}

async fn queued(tenant: &Tenant, job: &Value) -> String {
    let receipt = tenant.ask("submit", job).await.unwrap();
    receipt["job_id"].as_str().unwrap_or_else(|| panic!("{receipt:#}")).to_owned()
}

#[tokio::test]
async fn a_job_is_of_the_tenant_whose_subject_it_came_on_whatever_it_says() {
    let guarded = Guarded::start(&["acme", "globex"]).await;
    let (acme, globex) = (guarded.tenant("acme").await, guarded.tenant("globex").await);
    guarded.scene.destination.on("/hang", Script::hang());
    // The same key, the other's name wherever a job has room for one, over core NATS and over JetStream.
    let said = json!({"idempotent_key": "same", "account": "globex", "metadata": {"tenant": "globex"}});
    let of_acme = job(&guarded, "/hang", "", said.clone());
    let id = queued(&acme, &of_acme).await;
    assert_eq!(id, JobId::derive(&"acme".parse().unwrap(), "same").to_string());
    let stored = async_nats::jetstream::new(acme.nats.clone());
    let mut durable = of_acme.clone();
    durable["idempotent_key"] = json!("durable");
    stored.publish("sluice.submit.acme", durable.to_string().into()).await.unwrap().await.unwrap();
    let kept = acme.ask("wait", &json!({"idempotent_key": "durable", "timeout": "1s"})).await;
    let of_globex =
        acme.ask("get", &json!({"job_id": JobId::derive(&"globex".parse().unwrap(), "durable").as_str()})).await;
    assert_eq!(of_globex.unwrap()["code"], "no_such_job", "{kept:#?}");

    // The other sees, waits for and cancels none of it, by key or by id; and a key of its own is a job of its own.
    for verb in ["get", "wait", "cancel"] {
        for named in [json!({"job_id": id}), json!({"idempotent_key": "same"}), json!({"idempotent_key": "durable"})] {
            assert_eq!(globex.ask(verb, &named).await.unwrap()["code"], "no_such_job", "{verb} {named}");
        }
    }
    assert_ne!(queued(&globex, &of_acme).await, id);

    // What names a tenant of itself, or another's subjects, is no job.
    let mut named = of_acme.clone();
    named["tenant"] = json!("globex");
    assert_eq!(acme.ask("submit", &named).await.unwrap()["code"], "invalid_job");
    let stolen = job(&guarded, "/", "sluice.outcomes.globex.done", json!({}));
    assert_eq!(acme.ask("submit", &stolen).await.unwrap()["code"], "invalid_job");
    assert_eq!(acme.ask("cancel", &json!({"job_id": id})).await.unwrap()["status"], "cancelled");
    assert_ne!(globex.ask("get", &json!({"idempotent_key": "same"})).await.unwrap()["status"], "cancelled");
    guarded.nothing_was_refused();
}

#[tokio::test]
async fn a_reply_that_names_a_foreign_subject_reaches_nothing() {
    let guarded = Guarded::start(&["acme", "globex"]).await;
    let (acme, globex) = (guarded.tenant("acme").await, guarded.tenant("globex").await);
    guarded.scene.destination.on("/hang", Script::hang());
    let id = queued(&globex, &job(&guarded, "/hang", "", json!({"idempotent_key": "theirs"}))).await;
    let mut heard = globex.nats.subscribe("sluice.outcomes.globex.>").await.unwrap();
    globex.nats.flush().await.unwrap();
    let record = format!("$KV.sluice_records_0.{id}");
    let foreign =
        [record.as_str(), "sluice.submit.globex", "sluice.outcomes.globex.done", "$JS.API.STREAM.DELETE.SLUICE_JOBS_0"];
    // The broker acknowledges what it stores, and a gateway answers, to whatever is named as the reply.
    for reply in foreign {
        for own in ["sluice.submit.acme", "sluice.api.get.acme"] {
            assert!(acme.may_publish(own, Some(reply), "{}").await, "{own} with the reply {reply}");
        }
    }
    let told = guarded.scene.system.broker.dead_letters("submission", foreign.len()).await;
    assert!(told.iter().all(|letter| letter.subject.starts_with("sluice.dead.submission.acme.")), "{told:#?}");
    assert_eq!(acme.ask("get", &json!({"job_id": id})).await.unwrap()["code"], "no_such_job");
    assert_eq!(globex.ask("cancel", &json!({"job_id": id})).await.unwrap()["status"], "cancelled");
    let nothing = tokio::time::timeout(Duration::from_millis(200), heard.next()).await;
    assert!(nothing.is_err(), "{nothing:#?}");
    guarded.nothing_was_refused();
}

#[tokio::test]
async fn inboxes_are_of_one_tenant_alone() {
    let guarded = Guarded::start(&["acme", "globex"]).await;
    let (acme, globex) = (guarded.tenant("acme").await, guarded.tenant("globex").await);
    let mut heard = acme.nats.subscribe("_INBOX.>").await.unwrap();
    acme.nats.flush().await.unwrap();
    let theirs = job(&guarded, "/", "sluice.outcomes.globex.done", json!({"idempotent_key": "theirs"}));
    queued(&globex, &theirs).await;
    globex.ask("wait", &json!({"idempotent_key": "theirs"})).await.unwrap();
    let nothing = tokio::time::timeout(Duration::from_millis(200), heard.next()).await;
    assert!(nothing.is_err(), "{nothing:#?}");
}

#[tokio::test]
async fn tenants_come_and_go_while_everything_runs() {
    let guarded = Guarded::start(&["acme", "globex"]).await;
    let (server, file) = (&guarded.server, guarded.configuration.as_path());
    let (acme, globex) = (guarded.tenant("acme").await, guarded.tenant("globex").await);
    let of_globex = std::fs::read_to_string(server.seed("globex")).unwrap();
    let hang = json!({"idempotent_key": "before"});
    guarded.scene.destination.on("/hang", Script::hang());
    queued(&acme, &job(&guarded, "/hang", "", hang)).await;
    server.change(file, &["--tenant", "late", "--remove", "globex"]).await;

    let late = guarded.tenant("late").await;
    queued(&late, &job(&guarded, "/", "", json!({"idempotent_key": "first"}))).await;
    assert_eq!(late.ask("wait", &json!({"idempotent_key": "first"})).await.unwrap()["status"], "success");
    let asked = acme.ask("get", &json!({"idempotent_key": "before"})).await.unwrap();
    assert_eq!(asked["status"], "running", "{asked:#}");
    // Who is let out is disconnected, and does not come in again.
    eventually("an end", async || (globex.nats.connection_state() != State::Connected).then_some(())).await;
    assert!(ConnectOptions::with_nkey(of_globex.trim().to_owned()).connect(server.url()).await.is_err());
}

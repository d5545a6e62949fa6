//! TLS: the server proves who it is, and clients prove who they are, as configured.

use std::path::PathBuf;

use serde_json::json;
use sluice_shared::nats::{ConnectOptions, Nats};
use sluice_shared::topology::{Party, Topology};
use sluice_tests::broker::{TestBroker, small};
use sluice_tests::configuration::Configuration;
use sluice_tests::guarded::GuardedServer;
use sluice_tests::scene::Scene;
use sluice_tests::system::Setup;
use tempfile::TempDir;

use crate::certificates::Authority;

/// A server that asks for certificates, and what a client needs.
struct Secured {
    server: GuardedServer,
    ca: PathBuf,
    client: (PathBuf, PathBuf),
    stranger: (PathBuf, PathBuf),
    strange_ca: PathBuf,
    _files: TempDir,
}

impl Secured {
    async fn start(more: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let files = tempfile::tempdir().unwrap();
        let (ours, strange) = (Authority::new(files.path(), "ca"), Authority::new(files.path(), "strange-ca"));
        let (certificate, key) = ours.vouch("server");
        let tls = format!(
            "tls {{\n  cert_file: {certificate:?}\n  key_file: {key:?}\n  ca_file: {:?}\n  verify: true\n  {more}\n}}",
            ours.file
        );
        let server = GuardedServer::with_roles(&tls).await;
        let (client, stranger) = (ours.vouch("client"), strange.vouch("stranger"));
        Self { server, ca: ours.file, client, stranger, strange_ca: strange.file, _files: files }
    }

    fn options(&self) -> ConnectOptions {
        ConnectOptions {
            url: self.server.url().to_owned(),
            name: "test".to_owned(),
            party: Some(Party::Operator),
            nkey_seed_file: Some(self.server.seed("operator")),
            tls_ca: Some(self.ca.clone()),
            tls_client: Some(self.client.clone()),
            tls_required: true,
            ..ConnectOptions::default()
        }
    }
}

async fn connects(options: ConnectOptions) -> bool {
    Nats::connect(options, Topology::new(small())).await.is_ok()
}

#[tokio::test]
async fn everything_runs_over_tls_with_certificates_on_both_sides() {
    let secured = Secured::start("").await;
    let broker = TestBroker::as_user(secured.options(), small()).await;
    let (certificate, key) = &secured.client;
    let configuration = Configuration::default()
        .set("nats.tls_ca", secured.ca.to_str().unwrap())
        .set("nats.tls_cert", certificate.to_str().unwrap())
        .set("nats.tls_key", key.to_str().unwrap())
        .set("nats.tls_required", true);
    let seeds = Some(secured.server.dir().to_owned());
    let scene = Scene::on(broker, Setup { configuration, seeds, ..Setup::default() }).await;
    assert_eq!(scene.run("/", json!({})).await["status"], "success");
    assert_eq!(secured.server.violations(), [""; 0]);
}

#[tokio::test]
async fn a_client_that_cannot_prove_who_it_is_and_a_server_that_cannot_are_refused() {
    let secured = Secured::start("").await;
    let good = secured.options();
    assert!(connects(good.clone()).await);
    assert!(!connects(ConnectOptions { tls_client: None, ..good.clone() }).await, "no certificate");
    assert!(
        !connects(ConnectOptions { tls_client: Some(secured.stranger.clone()), ..good.clone() }).await,
        "a stranger"
    );
    assert!(!connects(ConnectOptions { tls_ca: Some(secured.strange_ca.clone()), ..good.clone() }).await, "another CA");
    assert!(!connects(ConnectOptions { tls_ca: None, ..good }).await, "the system's authorities alone");
}

#[tokio::test]
async fn a_server_that_begins_with_tls_is_met_with_tls() {
    let secured = Secured::start("handshake_first: true").await;
    let first = ConnectOptions { tls_first: true, ..secured.options() };
    assert!(connects(first).await);
    assert!(!connects(secured.options()).await, "a client that waits for the server's word");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let server = GuardedServer::with_roles("").await;
    let (url, nkey_seed_file) = (server.url().to_owned(), Some(server.seed("operator")));
    let options = ConnectOptions { url, nkey_seed_file, party: Some(Party::Operator), ..ConnectOptions::default() };
    assert!(connects(options.clone()).await);
    assert!(!connects(ConnectOptions { tls_required: true, ..options }).await);
}

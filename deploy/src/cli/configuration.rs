//! From the configuration to what the command needs of it: addresses, the way to NATS, the deployment's choices.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use sluice_shared::config::{Auth, Config, ConsumerStorage};
use sluice_shared::nats::ConnectOptions;
use sluice_shared::topology::{Options, Settings};

use super::failure::Failure;
use crate::roles::Role;

/// The configuration of this process.
pub(crate) fn load(file: Option<&Path>) -> Result<Arc<Config>, Failure> {
    Config::load(file).map(Arc::new).map_err(|error| Failure::Usage(error.into()))
}

/// The same for what runs on one machine: that machine's own addresses may be called.
pub(crate) fn load_for_one_machine(file: Option<&Path>) -> Result<Arc<Config>, Failure> {
    Config::load(file).map(|config| Arc::new(config.with_loopback_targets())).map_err(|e| Failure::Usage(e.into()))
}

/// Where a role listens when the command line does not say.
pub(crate) fn listen_address(config: &Config, role: Role) -> SocketAddr {
    match role {
        Role::Gateway => config.gateway.listen,
        Role::Worker | Role::Admin => config.worker.metrics,
        Role::Delivery => config.delivery.metrics,
    }
}

/// A gateway that lets everybody in listens to this machine only.
pub(crate) fn open_on_loopback_only(auth: Auth, listen: SocketAddr) -> Result<(), Failure> {
    if auth == Auth::Keys || listen.ip().is_loopback() {
        return Ok(());
    }
    Err(Failure::Usage(anyhow!(
        "{listen} is not a loopback address, and a gateway that lets everybody in listens on loopback only: ask for API keys \
         (gateway.auth = \"keys\", `sluice up --auth keys`; the first one: sluice keys create --admin), or use 127.0.0.1:{port}",
        port = listen.port()
    )))
}

/// How to reach NATS at this URL, with the credentials of the configuration.
pub(crate) fn connect_options(config: &Config, url: &str, name: &str) -> ConnectOptions {
    let nats = &config.nats;
    ConnectOptions {
        url: url.to_owned(),
        name: name.to_owned(),
        credentials_file: nats.credentials_file.clone(),
        nkey_seed_file: nats.nkey_seed_file.clone(),
        user: nats.user.clone().zip(nats.password.clone()),
        token: nats.token.clone(),
        tls_ca: nats.tls_ca.clone(),
        tls_client: nats.tls_cert.clone().zip(nats.tls_key.clone()),
        tls_required: nats.tls_required,
        tls_first: nats.tls_first,
        party: None,
    }
}

/// What the deployment chose once.
pub(crate) fn topology(config: &Config) -> Settings {
    let topology = &config.topology;
    Settings {
        prefix: topology.prefix.clone(),
        shards: topology.shards,
        record_buckets: topology.record_buckets,
        lanes: topology.lanes,
        replicas: topology.replicas,
        consumers_in_memory: topology.consumer_storage == ConsumerStorage::Memory,
    }
}

/// What streams and consumers are made with.
pub(crate) fn assets(config: &Config) -> Options {
    Options { dead_letter_age: config.delivery.dead_letter_age, ack_wait: config.worker.ack_wait }
}

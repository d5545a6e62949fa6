//! From the configuration to what the command needs of it: addresses, the way to NATS, the deployment's choices.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use sluice_shared::config::{Config, ConsumerStorage};
use sluice_shared::nats::ConnectOptions;
use sluice_shared::topology::{Options, Settings};

use super::failure::Failure;
use crate::roles::Role;

/// The configuration of this process.
pub(crate) fn load(file: Option<&Path>) -> Result<Arc<Config>, Failure> {
    Config::load(file).map(Arc::new).map_err(|error| Failure::Usage(error.into()))
}

/// Where a role listens when the command line does not say.
pub(crate) fn listen_address(config: &Config, role: Role) -> SocketAddr {
    match role {
        Role::Gateway => config.gateway.listen,
        Role::Worker | Role::Admin => config.worker.metrics,
        Role::Delivery => config.delivery.metrics,
    }
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
        replicas: topology.replicas,
        consumers_in_memory: topology.consumer_storage == ConsumerStorage::Memory,
    }
}

/// What streams and consumers are made with.
pub(crate) fn assets(config: &Config) -> Options {
    Options { dead_letter_age: config.delivery.dead_letter_age, ack_wait: config.worker.ack_wait }
}

//! Connecting: credentials, TLS, reconnects with jitter, and a count of connections that others can watch. What the broker
//! says on its own is heard here too: among it, what this user may not do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Event, ServerError};
use tokio::sync::watch;

use super::anchor::Anchors;
use super::denied::Denied;
use super::{Connection, Nats, REQUEST_TIMEOUT, broker_error};
use crate::topology::{Party, Topology};

/// How to reach the broker. Secrets are not shown by `Debug`.
#[derive(Clone, Default)]
pub struct ConnectOptions {
    /// One URL, or several separated by commas.
    pub url: String,
    /// What this connection is called in the broker's own lists.
    pub name: String,
    /// Which part of Sluice this is, where it is one alone: it has inboxes of its own, and makes what is its own.
    pub party: Option<Party>,
    /// A `.creds` file.
    pub credentials_file: Option<PathBuf>,
    /// A file that holds an nkey seed.
    pub nkey_seed_file: Option<PathBuf>,
    /// User and password.
    pub user: Option<(String, String)>,
    /// A token.
    pub token: Option<String>,
    /// Certificate authorities to trust.
    pub tls_ca: Option<PathBuf>,
    /// Certificate and key of this client.
    pub tls_client: Option<(PathBuf, PathBuf)>,
    /// Refuse a connection without TLS.
    pub tls_required: bool,
    /// Begin with TLS, before the broker has said anything: for those that are set to `handshake_first`.
    pub tls_first: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A file with credentials could not be read.
    #[error("{file}: {why}")]
    Credentials {
        /// Which file.
        file: String,
        /// Why not.
        why: String,
    },
    /// The broker was not reached, or did not let us in.
    #[error("NATS at {url} cannot be reached: {why}")]
    Unreachable {
        /// Where it should be, without credentials.
        url: String,
        /// Why not.
        why: String,
    },
}

impl Nats {
    /// Connects. Later interruptions are mended in the background, with growing and jittered pauses.
    ///
    /// # Errors
    /// Where credentials cannot be read, or the first connection fails.
    pub async fn connect(options: ConnectOptions, topology: Topology) -> Result<Self, ConnectError> {
        let shown = without_credentials(&options.url);
        let addresses = addresses(&options.url, &shown)?;
        let (count, connections) = watch::channel(0_u64);
        let denied = Arc::new(Denied::default());
        let told = Arc::clone(&denied);
        let party = options.party;
        let mut connecting = client_options(options, connections.clone()).await?;
        if let Some(party) = party {
            connecting = connecting.custom_inbox_prefix(topology.inbox(party));
        }
        let connecting = connecting
            .event_callback(move |event| {
                let (count, told) = (count.clone(), Arc::clone(&told));
                async move { on_event(&count, &told, &event) }
            })
            .connect(addresses)
            .await;
        let client = connecting.map_err(|error| ConnectError::Unreachable { url: shown, why: broker_error(&error) })?;
        let mut jetstream = async_nats::jetstream::new(client.clone());
        jetstream.set_timeout(Duration::from_secs(5));
        Ok(Self(Arc::new(Connection {
            client,
            jetstream,
            topology,
            connections,
            denied,
            party,
            anchors: Anchors::default(),
        })))
    }
}

fn on_event(count: &watch::Sender<u64>, denied: &Denied, event: &Event) {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the library's list of events grows")]
    match event {
        Event::Connected => count.send_modify(|n| *n += 1),
        Event::Disconnected => tracing::warn!("disconnected from NATS, reconnecting"),
        Event::ServerError(ServerError::Other(said)) => denied.hear(said),
        Event::LameDuckMode => tracing::info!("the NATS server is shutting down, moving to another"),
        other => tracing::debug!(event = %other, "NATS"),
    }
}

fn addresses(url: &str, shown: &str) -> Result<Vec<async_nats::ServerAddr>, ConnectError> {
    let parse = |one: &str| {
        one.trim().parse::<async_nats::ServerAddr>().map_err(|e| ConnectError::Unreachable {
            url: shown.to_owned(),
            why: format!("not a NATS URL ({e}): it should look like nats://host:4222"),
        })
    };
    url.split(',').map(parse).collect()
}

fn without_credentials(url: &str) -> String {
    let hide = |one: &str| match (one.find("://"), one.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}{}", &one[..scheme + 3], &one[at + 1..]),
        _ => one.to_owned(),
    };
    url.split(',').map(hide).collect::<Vec<_>>().join(",")
}

async fn client_options(
    options: ConnectOptions,
    connections: watch::Receiver<u64>,
) -> Result<async_nats::ConnectOptions, ConnectError> {
    let mut to = async_nats::ConnectOptions::new()
        .name(options.name)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .connection_timeout(Duration::from_secs(5))
        .ping_interval(Duration::from_secs(10))
        .subscription_capacity(65_536)
        .reconnect_delay_callback(move |attempts| match *connections.borrow() {
            0 => Duration::ZERO, // the library asks before the first connection too
            _ => pause_before_reconnect(attempts),
        })
        .require_tls(options.tls_required);
    if let Some(file) = options.credentials_file {
        let unreadable =
            |e: std::io::Error| ConnectError::Credentials { file: file.display().to_string(), why: e.to_string() };
        to = to.credentials_file(&file).await.map_err(unreadable)?;
    }
    if let Some(file) = options.nkey_seed_file {
        let seed = tokio::fs::read_to_string(&file)
            .await
            .map_err(|e| ConnectError::Credentials { file: file.display().to_string(), why: e.to_string() })?;
        to = to.nkey(seed.trim().to_owned());
    }
    if let Some((user, password)) = options.user {
        to = to.user_and_password(user, password);
    }
    if let Some(token) = options.token {
        to = to.token(token);
    }
    if let Some(ca) = options.tls_ca {
        to = to.add_root_certificates(ca);
    }
    if let Some((certificate, key)) = options.tls_client {
        to = to.add_client_certificate(certificate, key);
    }
    Ok(if options.tls_first { to.tls_first() } else { to })
}

/// Up to 100 ms at once, up to 2 s later: a fleet must not come back in one instant.
fn pause_before_reconnect(attempts: usize) -> Duration {
    let ceiling = 100_u64 << attempts.min(5);
    Duration::from_millis(rand::random_range(10..=ceiling.min(2_000)))
}

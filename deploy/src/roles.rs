//! The roles as tasks of this process: what they stand on, how each is started, and what happens when one ends.
//!
//! The entry points themselves are in `entry`. Invariant: a role that ends before it was
//! told to ends the process.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use sluice_gateway::jobs::{Free, Room};
use sluice_shared::config::Config;
use sluice_shared::effects::{Caps, Effects};
use sluice_shared::gate_settings::GateSettings;
use sluice_shared::nats::{ConnectError, ConnectOptions, Nats};
use sluice_shared::queues::Queues;
use sluice_shared::seal::Sealing;
use sluice_shared::telemetry::{self, Metrics};
use sluice_shared::topology::{CreateError, Topology};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::broker::{self, Broker};
use crate::cli::{Failure, configuration};
use crate::entry::{self, AtWork};

/// What roles may take to hand back what they hold, beyond the longest grace that is configured for what is on the wire.
const HAND_BACK: Duration = Duration::from_secs(10);
/// How long a role that starts waits for a cluster that has no leader.
const ELECTS_WITHIN: Duration = Duration::from_secs(30);
/// A broker that ends sooner than this after its start is not started again.
const BROKER_LASTS: Duration = Duration::from_secs(10);

/// A part of Sluice that runs as a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Gateway,
    Worker,
    Delivery,
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gateway => "gateway",
            Self::Worker => "worker",
            Self::Delivery => "delivery",
            Self::Admin => "metrics",
        })
    }
}

/// What every role stands on: a connection, with the topology made, and the configuration.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) nats: Nats,
    pub(crate) config: Arc<Config>,
    pub(crate) metrics: Metrics,
    pub(crate) shutdown: CancellationToken,
    /// What the broker may store and where, where it is our own.
    pub(crate) store: Option<(PathBuf, Option<u64>)>,
    /// What seals the secrets of callers.
    pub(crate) sealing: Sealing,
}

impl Ground {
    /// Connects, makes the topology where it is not there, learns the time, and says what was found.
    pub(crate) async fn connect(
        options: ConnectOptions,
        config: Arc<Config>,
        shutdown: CancellationToken,
    ) -> Result<Self, Failure> {
        let topology = Topology::new(configuration::topology(&config));
        let name = options.name.clone();
        let nats = Nats::connect(options, topology.clone()).await.map_err(|error| match error {
            ConnectError::Credentials { .. } => Failure::Usage(error.into()),
            ConnectError::Unreachable { .. } => Failure::Broker(error.into()),
        })?;
        create(&topology, &nats, &config).await.map_err(of_topology)?;
        nats.keep_time().await;
        telemetry::log_start(name.trim_start_matches("sluice "), env!("CARGO_PKG_VERSION"), &nats);
        Ok(Self { nats, config, metrics: Metrics::new(), shutdown, store: None, sealing: Sealing::default() })
    }

    /// The same on a broker of our own.
    pub(crate) fn on(self, broker: &Broker) -> Self {
        Self { store: broker.store().map(|(dir, limit)| (dir.to_owned(), limit)), ..self }
    }

    /// The same, with callers' secrets sealed by this.
    pub(crate) fn sealed_by(self, sealing: Sealing) -> Self {
        Self { sealing, ..self }
    }

    /// What is known of the room for jobs.
    pub(crate) fn room(&self) -> Room {
        let gateway = &self.config.gateway;
        let configured = gateway.storage_limit.map(|bytes| bytes.0);
        let (dir, own) = self.store.clone().map_or((None, None), |(dir, own)| (Some(dir), own));
        let free = dir.map(|dir| -> Free { Arc::new(move || broker::free(&dir)) });
        Room { watermark: gateway.storage_watermark, limit: configured.or(own), free }
    }

    /// What it takes to act on jobs, with a watched copy of the queues.
    pub(crate) async fn effects(&self) -> Effects {
        let queues = Queues::start(&self.nats).await;
        let response = usize::try_from(self.config.worker.response_limit.0).unwrap_or(usize::MAX);
        let caps = Caps::new(self.nats.max_payload(), response);
        let effects = Effects::new(&self.nats, &queues, caps, self.config.records.settled_ttl);
        let gates = GateSettings::from(self.config.gate.clone());
        let effects = effects.counted_by(&self.metrics).sealed_by(self.sealing.clone()).gated_by(gates);
        effects.within((&self.config.quotas).into())
    }
}

/// Makes the topology, again while the broker cannot answer.
async fn create(topology: &Topology, nats: &Nats, config: &Config) -> Result<(), CreateError> {
    let begin = Instant::now();
    loop {
        match topology.create(nats, configuration::assets(config)).await {
            Err(error) if error.may_pass() && begin.elapsed() < ELECTS_WITHIN => {
                tracing::warn!(%error, "NATS cannot make what is needed at the moment, trying again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            made => return made,
        }
    }
}

fn of_topology(error: CreateError) -> Failure {
    match error {
        CreateError::Contradiction { .. } => Failure::Usage(error.into()),
        CreateError::ServerTooOld { .. }
        | CreateError::Refused { .. }
        | CreateError::NotAllowed { .. }
        | CreateError::NotNow { .. }
        | CreateError::Bucket(_) => Failure::Broker(error.into()),
    }
}

/// The roles that run.
pub(crate) struct Roles {
    ground: Ground,
    tasks: JoinSet<(Role, anyhow::Result<()>)>,
}

impl Roles {
    pub(crate) fn on(ground: Ground) -> Self {
        Self { ground, tasks: JoinSet::new() }
    }

    /// The HTTP interface on this listener, and the NATS service: both are found when this returns. Until a signal comes.
    pub(crate) async fn gateway(&mut self, listener: TcpListener) -> anyhow::Result<()> {
        let starting = Box::pin(entry::gateway(self.ground.clone(), listener));
        if let Some(gateway) = self.ground.shutdown.run_until_cancelled(starting).await {
            self.start(Role::Gateway, gateway?);
        }
        Ok(())
    }

    pub(crate) fn worker(&mut self) -> anyhow::Result<()> {
        self.start(Role::Worker, entry::worker(self.ground.clone())?);
        Ok(())
    }

    pub(crate) fn delivery(&mut self) -> anyhow::Result<()> {
        self.start(Role::Delivery, entry::delivery(self.ground.clone())?);
        Ok(())
    }

    /// `/metrics`, `/healthz` and `/readyz` of the roles that serve nothing else.
    pub(crate) fn admin(&mut self, listener: TcpListener) {
        let Ground { nats, metrics, shutdown, .. } = self.ground.clone();
        let serving = sluice_gateway::http::serve_admin(listener, nats, metrics, shutdown);
        self.start(Role::Admin, Box::pin(async { serving.await.map_err(Into::into) }));
    }

    fn start(&mut self, role: Role, running: AtWork) {
        self.tasks.spawn(async move { (role, running.await) });
    }

    /// Runs until a signal comes, a role ends, or the broker is lost for good; then lets all roles finish.
    pub(crate) async fn until_stopped(mut self, broker: Option<&mut Broker>) -> Result<(), Failure> {
        let shutdown = self.ground.shutdown.clone();
        let ended = tokio::select! {
            // First, or a role that has just obeyed would look like one that ended by itself.
            biased;
            () = shutdown.cancelled() => Ok(()),
            Some(ended) = self.tasks.join_next() => Err(Failure::Failed(too_early(ended))),
            lost = keep(broker) => Err(lost),
        };
        shutdown.cancel();
        let Config { gateway, worker, delivery, .. } = &*self.ground.config;
        let drain = gateway.grace.max(worker.grace).max(delivery.grace) + HAND_BACK;
        let finished = timeout(drain, async { while self.tasks.join_next().await.is_some() {} }).await;
        if finished.is_err() {
            tracing::warn!(
                "not everything ended within {drain:?}; what was in hand is done again after the next start"
            );
        }
        ended
    }
}

fn too_early(ended: Result<(Role, anyhow::Result<()>), tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok((role, Ok(()))) => anyhow!("the {role} ended by itself"),
        Ok((role, Err(error))) => error.context(format!("the {role} failed")),
        Err(error) => anyhow!("a role broke off: {error}"),
    }
}

/// Starts a broker of ours again when it ends by itself; comes back only when that is no use.
async fn keep(broker: Option<&mut Broker>) -> Failure {
    let Some(broker) = broker else { return std::future::pending().await };
    loop {
        let since = Instant::now();
        let how = broker.ended().await;
        if since.elapsed() < BROKER_LASTS {
            return Failure::Broker(anyhow!("the nats-server ended ({how}) soon after its start"));
        }
        tracing::warn!(%how, "the nats-server ended; starting it again");
        if let Err(error) = broker.restart().await {
            return error.into();
        }
    }
}

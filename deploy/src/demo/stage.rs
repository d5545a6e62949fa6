//! Where the demo plays: a broker of its own in a temporary directory and all roles in this process, on loopback.
//!
//! Invariant: whatever happens on it, at the end the broker is stopped and the directory is gone. It never touches
//! a NATS that runs already.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use sluice_shared::config::{Auth, Config, Gateway};
use sluice_shared::nats::ConnectOptions;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::client::Api;
use crate::broker::{Broker, BrokerError, BrokerOptions};
use crate::cli::Failure;
use crate::cli::stop::unless_stopped;
use crate::roles::{Ground, Roles};

/// How long a server that was just ended may still write into its directory.
const SETTLED_WITHIN: Duration = Duration::from_secs(3);

/// Plays on a stage that is built up before and taken down after. `None` where it was told to stop before the end.
pub(super) async fn on_stage<T>(
    config: Config,
    stop: &CancellationToken,
    play: impl AsyncFnOnce(Api) -> anyhow::Result<T>,
) -> Result<Option<T>, Failure> {
    let dir = tempfile::Builder::new().prefix("sluice-demo-").tempdir().context("there is no temporary directory")?;
    let played = match unless_stopped(stop, Box::pin(Broker::start(own(dir.path())))).await {
        Some(Ok(mut broker)) => {
            let played = on_broker(&mut broker, config, stop, play).await;
            // What it holds is thrown away.
            broker.kill().await;
            played
        }
        Some(Err(error)) => Err(no_broker(error)),
        None => Ok(None),
    };
    remove(dir).await?;
    played
}

/// A server of the demo's own, whatever the environment says about one that runs already.
fn own(dir: &Path) -> BrokerOptions {
    let mut options = BrokerOptions::new(dir);
    options.environment.nats_url = None;
    options
}

fn no_broker(error: BrokerError) -> Failure {
    Failure::Broker(anyhow!(error).context("the demo starts a nats-server of its own and uses no SLUICE_NATS_URL"))
}

async fn on_broker<T>(
    broker: &mut Broker,
    config: Config,
    stop: &CancellationToken,
    play: impl AsyncFnOnce(Api) -> anyhow::Result<T>,
) -> Result<Option<T>, Failure> {
    let options = ConnectOptions { url: broker.url().into(), name: "sluice demo".into(), ..ConnectOptions::default() };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("there is no free port")?;
    let base = format!("http://{}", listener.local_addr().context("the listener has no address")?);
    let config = Config { gateway: Gateway { auth: Auth::Open, ..config.gateway.clone() }, ..config };
    let connecting = Ground::connect(options, Arc::new(config), stop.child_token());
    let Some(ground) = unless_stopped(stop, Box::pin(connecting)).await else { return Ok(None) };
    let ground = ground?;
    let end = ground.shutdown.clone();
    let mut roles = Roles::on(ground);
    roles.gateway(listener).await?;
    roles.worker()?;
    roles.delivery()?;
    let mut running = Box::pin(roles.until_stopped(Some(broker)));
    tokio::select! {
        // Whoever plays sees a system that is told to stop, or that failed, as one that does not answer: that is no news.
        biased;
        // By now nobody plays any more, so that the gateway has no client to wait for.
        () = stop.cancelled() => running.await.map(|()| None),
        ended = &mut running => ended.map(|()| None),
        played = play(Api::new(base)) => {
            end.cancel();
            running.await?;
            Ok(Some(played?))
        }
    }
}

/// Removes the directory, also while a server that was told to end is still at it.
async fn remove(dir: TempDir) -> anyhow::Result<()> {
    let (path, since) = (dir.keep(), Instant::now());
    loop {
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(_) if since.elapsed() < SETTLED_WITHIN => sleep(Duration::from_millis(50)).await,
            other => return other.with_context(|| format!("{} cannot be removed", path.display())),
        }
    }
}

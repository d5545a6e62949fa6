//! The nats-servers of a fleet: one, or a cluster on this machine.
//!
//! Invariant: each keeps its directory, its ports and its name over a kill and a restart.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use async_nats::jetstream;
use async_nats::jetstream::stream;
use futures_util::future::try_join_all;
use tokio::time::sleep;

use crate::broker::{Broker, BrokerError, BrokerOptions, Member, ServerVersion};

/// How long a cluster may take to elect a leader that makes a stream. Long, because the machine may be busy.
const ELECTS_WITHIN: Duration = Duration::from_secs(60);

/// The servers, by their numbers.
pub struct Servers(Vec<Broker>);

impl Servers {
    /// Starts so many on directories under this one, and waits until they work together. `program` runs their guards.
    ///
    /// # Errors
    /// Where there is no nats-server, or they do not find together.
    pub async fn start(count: usize, dir: &Path, program: &Path) -> Result<Self, ServersError> {
        let members = members(count)?;
        let start = |(number, member)| Broker::start(options(dir.join(format!("nats-{number}")), program, member));
        let this = Self(try_join_all(members.into_iter().enumerate().map(start)).await?);
        this.work_together().await?;
        Ok(this)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Where clients connect: every server, separated by commas.
    #[must_use]
    pub fn url(&self) -> String {
        self.0.iter().map(Broker::url).collect::<Vec<_>>().join(",")
    }

    /// Where clients connect, each server by itself.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Broker::url)
    }

    /// Their version.
    #[must_use]
    pub fn version(&self) -> Option<ServerVersion> {
        self.0.first().and_then(Broker::version)
    }

    /// Their process ids, of those that run.
    pub fn pids(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().filter_map(Broker::pid)
    }

    /// Ends one at once, as a crash would.
    ///
    /// # Errors
    /// Where there are not so many.
    pub async fn kill(&mut self, number: usize) -> anyhow::Result<()> {
        self.0.get_mut(number).with_context(|| format!("there is no nats-server {number}"))?.kill().await;
        Ok(())
    }

    /// Starts one again on its store.
    ///
    /// # Errors
    /// Where it does not start, or there are not so many.
    pub async fn start_again(&mut self, number: usize) -> anyhow::Result<()> {
        Ok(self.0.get_mut(number).with_context(|| format!("there is no nats-server {number}"))?.restart().await?)
    }

    /// Ends all of them.
    pub async fn stop(mut self) {
        for server in &mut self.0 {
            server.stop().await;
        }
    }

    /// Waits until they have made a stream on all of them, and removed it: then they have a leader, and know each other.
    async fn work_together(&self) -> anyhow::Result<()> {
        if self.count() == 1 {
            return Ok(());
        }
        let addresses = self.urls().map(str::parse).collect::<Result<Vec<async_nats::ServerAddr>, _>>()?;
        let client = async_nats::connect(addresses).await.context("the nats-servers cannot be reached")?;
        let jetstream = jetstream::new(client);
        let probe = || stream::Config { name: "probe".into(), num_replicas: self.count(), ..stream::Config::default() };
        let begin = Instant::now();
        while let Err(error) = jetstream.create_stream(probe()).await {
            if begin.elapsed() > ELECTS_WITHIN {
                bail!("the nats-servers do not work together: {error}");
            }
            sleep(Duration::from_millis(200)).await;
        }
        jetstream.delete_stream("probe").await.context("a stream cannot be removed")?;
        Ok(())
    }
}

fn options(dir: PathBuf, program: &Path, member: Option<Member>) -> BrokerOptions {
    let mut options = BrokerOptions::new(dir);
    options.environment.nats_url = None; // one of its own, always
    options.runner = Some(program.to_owned());
    options.member = member;
    options
}

/// One alone is in no cluster.
fn members(count: usize) -> anyhow::Result<Vec<Option<Member>>> {
    if count == 1 {
        return Ok(vec![None]);
    }
    // All at once, so that no port is given out twice; free again when this returns.
    let listeners = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>();
    let listeners = listeners.context("there is no free port")?;
    let routes = listeners.iter().map(|listener| Ok(listener.local_addr()?.port()));
    let routes = routes.collect::<std::io::Result<Vec<u16>>>()?;
    let member = |(number, port): (usize, &u16)| Member {
        name: format!("sluice-{number}"),
        port: *port,
        routes: routes.clone(),
    };
    Ok(routes.iter().enumerate().map(|one| Some(member(one))).collect())
}

/// Why there are no servers.
#[derive(Debug, thiserror::Error)]
pub enum ServersError {
    /// One does not start.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// They do not find together.
    #[error(transparent)]
    Cluster(#[from] anyhow::Error),
}

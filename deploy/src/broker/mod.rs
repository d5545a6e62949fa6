//! The embedded nats-server of `up`, `demo` and the tests: finds one, runs it on loopback, and ends it with this process.
//!
//! Owns the server's process, its configuration file and its directory. Does not own what is in the server: streams and
//! buckets are made by the topology. Invariant: at most one server on a directory, and none without the process that
//! started it.

mod child;
mod disk;
mod find;
mod guard;
mod install;
mod settings;
mod version;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

pub use disk::free;
pub use find::{Environment, FindError, Found, Unfit, find};
pub use guard::{GuardOptions, SUBCOMMAND, guard};
pub use install::{InstallError, PINNED, place};
pub use settings::{MAX_PAYLOAD, Member, SyncInterval};
pub use version::ServerVersion;

use child::{Running, Start};
use settings::Layout;

/// How long a start may take: a large store is read first.
const START_WITHIN: Duration = Duration::from_secs(60);

/// How to get a broker.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// A directory of the server's own: its store, configuration, log and lock. Made where it is not there.
    pub dir: PathBuf,
    /// Where a server comes from.
    pub environment: Environment,
    /// An executable with the hidden subcommand that runs the server; this one's own where nothing is said.
    pub runner: Option<PathBuf>,
    /// How often the server syncs to disk.
    pub sync: SyncInterval,
    /// How much the server may store, in bytes; what is there and most of what is free on its disk where nothing is said.
    pub max_store: Option<u64>,
    /// The cluster that the server belongs to; alone where nothing is said.
    pub member: Option<Member>,
    /// How long a start may take.
    pub start_within: Duration,
}

impl BrokerOptions {
    /// A server found as this process's environment says, with everything in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            environment: Environment::of_process(),
            runner: None,
            sync: SyncInterval::default(),
            max_store: None,
            member: None,
            start_within: START_WITHIN,
        }
    }
}

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// No nats-server; what it says lists what to do.
    #[error(transparent)]
    NotFound(#[from] FindError),
    /// Another server runs on this directory.
    #[error(
        "{dir} is in use by another nats-server{by}: stop the `sluice` that runs there, or choose another directory",
        dir = dir.display(),
        by = by.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The server's process id, where known.
        by: Option<u32>,
    },
    /// The directory cannot be used.
    #[error("{path} cannot be used: {why}", path = path.display())]
    Directory {
        /// Which file or directory.
        path: PathBuf,
        /// Why not.
        why: io::Error,
    },
    /// The executable that should run the server does not.
    #[error("{path} cannot run the nats-server: {why}", path = path.display())]
    Runner {
        /// The executable.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The server ended instead of starting.
    #[error("the nats-server ended at its start ({why}); its log says\n  {log}")]
    Ended {
        /// How it ended.
        why: String,
        /// The last lines of its log.
        log: String,
    },
    /// The server did not answer in time.
    #[error("the nats-server did not answer within {within:?}; its log says\n  {log}")]
    NotReady {
        /// How long was waited.
        within: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// What was asked for works only with a server that this process started.
    #[error("{url} is not ours to start or stop: unset SLUICE_NATS_URL to get a server of one's own")]
    NotOurs {
        /// The server that runs already, without credentials.
        url: String,
    },
}

/// A broker that can be connected to. Dropping it ends a server that it started, as a crash would: nothing is lost.
pub struct Broker {
    url: String,
    server: Server,
}

enum Server {
    /// Somebody else's.
    Theirs,
    /// Ours.
    Ours(Box<Ours>),
}

struct Ours {
    start: Start,
    version: ServerVersion,
    /// Its process, while it runs.
    running: Option<Running>,
}

impl Broker {
    /// Finds a broker, and starts it where it does not run already. A directory keeps its port over restarts, unless
    /// somebody else has taken it.
    ///
    /// # Errors
    /// Where no server is found, the directory is in use, or the server does not answer in time.
    pub async fn start(options: BrokerOptions) -> Result<Self, BrokerError> {
        match find(&options.environment).await? {
            Found::Running { url } => Ok(Self { url, server: Server::Theirs }),
            Found::Server { path, version } => Self::start_this(options, path, version).await,
        }
    }

    async fn start_this(options: BrokerOptions, server: PathBuf, version: ServerVersion) -> Result<Self, BrokerError> {
        let dir = usable(&options.dir)?;
        let own = || std::env::current_exe().map_err(|why| BrokerError::Directory { path: "this program".into(), why });
        let runner = options.runner.map_or_else(own, Ok)?;
        let layout = Layout::new(&dir);
        let BrokerOptions { sync, max_store, member, start_within: within, .. } = options;
        let start = Start { runner, server, layout, sync, max_store, member, within };
        let running = match start.on(start.last_port()).await {
            Err(error) if error.port_is_taken() => start.on(None).await?,
            other => other?,
        };
        let url = child::url(running.port);
        Ok(Self { url, server: Server::Ours(Box::new(Ours { start, version, running: Some(running) })) })
    }

    /// Where clients connect. It stays the same over `restart`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where clients connect, without credentials, for logs and people.
    #[must_use]
    pub fn shown_url(&self) -> String {
        let shown = |url: &str| match (url.find("://"), url.rfind('@')) {
            (Some(scheme), Some(at)) if at > scheme => format!("{}{}", &url[..scheme + 3], &url[at + 1..]),
            _ => url.to_owned(),
        };
        self.url.split(',').map(shown).collect::<Vec<_>>().join(",")
    }

    /// The process id of the server, while one that we started runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match &self.server {
            Server::Ours(ours) => ours.running.as_ref().map(|running| running.pid),
            Server::Theirs => None,
        }
    }

    /// The version of the server that we started.
    #[must_use]
    pub fn version(&self) -> Option<ServerVersion> {
        match &self.server {
            Server::Ours(ours) => Some(ours.version),
            Server::Theirs => None,
        }
    }

    /// Where a server that we started keeps its store, and how much it may store, in bytes, as far as that is known.
    #[must_use]
    pub fn store(&self) -> Option<(&Path, Option<u64>)> {
        match &self.server {
            Server::Ours(ours) => {
                let limit = ours.running.as_ref().and_then(|running| running.max_store);
                Some((ours.start.layout.dir(), limit))
            }
            Server::Theirs => None,
        }
    }

    /// Whether this process started the server.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(self.server, Server::Ours(_))
    }

    /// Ends the server: a few seconds to end by itself, then a kill, which loses nothing. Somebody else's is left alone.
    pub async fn stop(&mut self) {
        if let Some(running) = self.take() {
            running.stop().await;
        }
    }

    /// Ends the server at once, as a crash would. Somebody else's is left alone.
    pub async fn kill(&mut self) {
        if let Some(running) = self.take() {
            running.end().await;
        }
    }

    /// Starts the server again on the same directory and port, after `stop` or `kill`, or when it was killed from outside;
    /// one that still runs is ended first.
    ///
    /// # Errors
    /// Where the server is not ours, its port stays taken, or it does not answer in time.
    pub async fn restart(&mut self) -> Result<(), BrokerError> {
        self.kill().await;
        let url = self.shown_url();
        let Server::Ours(ours) = &mut self.server else { return Err(BrokerError::NotOurs { url }) };
        let (port, deadline) = (ours.start.last_port(), Instant::now() + ours.start.within);
        loop {
            match ours.start.on(port).await {
                // Connections of the old server may hold the port for a moment.
                Err(error) if error.port_is_taken() && Instant::now() < deadline => {
                    sleep(Duration::from_millis(100)).await;
                }
                other => {
                    ours.running = Some(other?);
                    return Ok(());
                }
            }
        }
    }

    /// Waits until a server that we started ends by itself, and says how; for ever where none runs.
    pub async fn ended(&mut self) -> String {
        match self.running() {
            Some(running) => running.ended().await,
            None => std::future::pending().await,
        }
    }

    fn running(&mut self) -> Option<&mut Running> {
        match &mut self.server {
            Server::Ours(ours) => ours.running.as_mut(),
            Server::Theirs => None,
        }
    }

    fn take(&mut self) -> Option<Running> {
        match &mut self.server {
            Server::Ours(ours) => ours.running.take(),
            Server::Theirs => None,
        }
    }
}

impl BrokerError {
    fn port_is_taken(&self) -> bool {
        matches!(self, Self::Ended { log, .. } if log.contains("address already in use"))
    }
}

/// The directory, made and absolute.
fn usable(dir: &Path) -> Result<PathBuf, BrokerError> {
    let fault = |why| BrokerError::Directory { path: dir.to_owned(), why };
    std::fs::create_dir_all(dir).map_err(fault)?;
    let dir = dir.canonicalize().map_err(fault)?;
    if dir.to_str().is_none() {
        return Err(fault(io::Error::other("its name is not UTF-8")));
    }
    Ok(dir)
}

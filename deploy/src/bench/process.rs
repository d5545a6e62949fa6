//! A role as a process of its own: started, told to stop, killed, paused, started again.
//!
//! Invariant: it does not outlive its owner, and nothing is ended but by its process id.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long a process may take to say that it runs, and to end. Long, because the machine may be busy.
const WITHIN: Duration = Duration::from_secs(60);
/// Variables of the environment that say where a nats-server is; all others of ours are kept from the process.
const KEPT: [&str; 2] = ["SLUICE_NATS_SERVER", "SLUICE_CACHE_DIR"];

/// How a process is started, each time.
#[derive(Clone, Debug)]
pub struct Start {
    /// What it is called when something is wrong with it.
    pub name: String,
    /// The `sluice` program.
    pub program: PathBuf,
    /// What it is to do: it has to announce itself by a line of JSON.
    pub arguments: Vec<OsString>,
    /// Variables of the environment that it gets beside ours.
    pub environment: Vec<(String, OsString)>,
    /// The file that it logs to.
    pub log: PathBuf,
}

/// A process of this program. Dropped, it is killed.
pub struct Process {
    start: Start,
    running: Option<Child>,
    announced: Value,
}

impl Process {
    /// Starts it, and waits until it has announced itself.
    ///
    /// # Errors
    /// Where it cannot be started or does not announce itself.
    pub async fn start(start: Start) -> anyhow::Result<Self> {
        let mut this = Self { start, running: None, announced: Value::Null };
        this.restart().await?;
        Ok(this)
    }

    /// Starts it again with the same arguments, after it was stopped or killed; one that runs is stopped first.
    ///
    /// # Errors
    /// Where it cannot be started or does not announce itself.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        if self.running.is_some() {
            self.stop().await?;
        }
        let name = &self.start.name;
        let mut child = self.spawn().with_context(|| format!("the {name} cannot be started"))?;
        let lines = child.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        self.running = Some(child);
        let mut lines = lines.with_context(|| format!("the {name} has no output"))?;
        let line = timeout(WITHIN, lines.next_line()).await;
        let line = line.map_err(|_| anyhow!("the {name} did not announce itself within {WITHIN:?}"))??;
        let line = line.with_context(|| format!("the {name} ended before it announced itself"))?;
        self.announced = serde_json::from_str(&line).with_context(|| format!("the {name} said no JSON: {line}"))?;
        Ok(())
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let log = OpenOptions::new().create(true).append(true).open(&self.start.log)?;
        let mut command = Command::new(&self.start.program);
        command.args(&self.start.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("SLUICE_") && !KEPT.contains(&name)) {
                command.env_remove(name);
            }
        }
        command.envs(self.start.environment.iter().map(|(name, value)| (name, value)));
        // A Ctrl-C at the terminal is its owner's to handle.
        command.process_group(0).kill_on_drop(true).spawn()
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.start.name
    }

    /// What it announced.
    #[must_use]
    pub fn announced(&self) -> &Value {
        &self.announced
    }

    /// The file that it logs to.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.start.log
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().and_then(Child::id)
    }

    /// Tells it to stop (SIGTERM), and waits until it has; how it ended.
    ///
    /// # Errors
    /// Where it does not run, or does not end in time.
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.ended().await
    }

    /// Ends it as a crash would (SIGKILL).
    ///
    /// # Errors
    /// Where it does not run.
    pub async fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::SIGKILL)?;
        self.ended().await
    }

    /// Sends a signal and does not wait.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.with_context(|| format!("the {} does not run", self.start.name))?;
        Ok(kill(Pid::from_raw(pid), signal)?)
    }

    /// Waits until it has ended; how.
    ///
    /// # Errors
    /// Where it does not run, or does not end in time.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let name = &self.start.name;
        let mut child = self.running.take().with_context(|| format!("the {name} does not run"))?;
        let ended = timeout(WITHIN, child.wait()).await;
        Ok(ended.map_err(|_| anyhow!("the {name} did not end within {WITHIN:?}"))??)
    }
}

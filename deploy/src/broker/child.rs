//! Our end of an embedded nats-server: starts the guard that runs it, and waits until the server answers.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::guard::{Report, SUBCOMMAND};
use super::settings::{Layout, Member, SyncInterval, server_config};
use super::{BrokerError, disk};

/// How long a guard may take to end its server: its own grace and a margin.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// How often a server that is starting is asked.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// How much of its log an error shows.
const LOG_LINES: usize = 12;

/// How a server is started.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) runner: PathBuf,
    pub(super) server: PathBuf,
    pub(super) layout: Layout,
    pub(super) sync: SyncInterval,
    pub(super) max_store: Option<u64>,
    pub(super) member: Option<Member>,
    pub(super) within: Duration,
}

/// A guard and its server. Dropping it ends both, by closing the guard's standard input.
pub(super) struct Running {
    guard: Child,
    stdin: Option<ChildStdin>,
    reports: Lines<BufReader<ChildStdout>>,
    pub(super) pid: u32,
    pub(super) port: u16,
    pub(super) max_store: Option<u64>,
}

impl Start {
    /// Starts on the port given, and waits until the server answers.
    pub(super) async fn on(&self, port: Option<u16>) -> Result<Running, BrokerError> {
        let deadline = Instant::now() + self.within;
        let max_store = self.max_store.or_else(|| disk::limit(&self.layout.store()));
        let config = self
            .draft(port, max_store)
            .map_err(|why| BrokerError::Directory { path: self.layout.dir().to_owned(), why })?;
        let log_before = self.log_length();
        let mut running =
            timeout_at(deadline, self.spawn(config.path())).await.map_err(|_| self.not_ready(log_before))??;
        let ready = tokio::select! {
            ready = timeout_at(deadline, self.answering(running.pid)) => ready.ok(),
            ended = ended(&mut running.reports) => {
                return Err(BrokerError::Ended { why: ended, log: self.log_since(log_before) });
            }
        };
        match ready {
            Some(port) => (running.port, running.max_store) = (port, max_store),
            None => return Err(self.not_ready(log_before)),
        }
        std::fs::write(self.layout.last_port(), running.port.to_string())
            .map_err(|why| BrokerError::Directory { path: self.layout.last_port(), why })?;
        Ok(running)
    }

    /// Which port this store had last.
    pub(super) fn last_port(&self) -> Option<u16> {
        std::fs::read_to_string(self.layout.last_port()).ok()?.trim().parse().ok().filter(|port| *port != 0)
    }

    /// The configuration under a name of its own: the guard gives it the right one once it holds the lock.
    fn draft(&self, port: Option<u16>, max_store: Option<u64>) -> io::Result<NamedTempFile> {
        std::fs::create_dir_all(self.layout.ports())?;
        let mut draft =
            tempfile::Builder::new().prefix(".nats-server-").suffix(".conf").tempfile_in(self.layout.dir())?;
        draft.write_all(self.config(port, max_store).as_bytes())?;
        Ok(draft)
    }

    fn config(&self, port: Option<u16>, max_store: Option<u64>) -> String {
        server_config(&self.layout, port, &self.sync, max_store, self.member.as_ref())
    }

    fn not_ready(&self, log_before: usize) -> BrokerError {
        BrokerError::NotReady { within: self.within, log: self.log_since(log_before) }
    }

    async fn spawn(&self, config: &Path) -> Result<Running, BrokerError> {
        let runner = |why: io::Error| BrokerError::Runner { path: self.runner.clone(), why: why.to_string() };
        let mut guard = Command::new(&self.runner)
            .arg(SUBCOMMAND)
            .arg("--server")
            .arg(&self.server)
            .arg("--dir")
            .arg(self.layout.dir())
            .arg("--config")
            .arg(config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A Ctrl-C at the terminal is ours to handle: the server goes last.
            .process_group(0)
            .spawn()
            .map_err(runner)?;
        let (Some(stdin), Some(stdout)) = (guard.stdin.take(), guard.stdout.take()) else {
            return Err(runner(io::Error::other("no pipes")));
        };
        let mut reports = BufReader::new(stdout).lines();
        match report(&mut reports).await {
            Some(Report::Running(pid)) => {
                Ok(Running { guard, stdin: Some(stdin), reports, pid, port: 0, max_store: None })
            }
            Some(Report::InUse(by)) => Err(BrokerError::InUse { dir: self.layout.dir().to_owned(), by }),
            Some(Report::Ended(why)) => Err(BrokerError::Ended { why, log: String::new() }),
            None => Err(runner(io::Error::other(format!("it knows no `{SUBCOMMAND}` subcommand")))),
        }
    }

    /// The port, once the server answers there: with JetStream ready, unless that needs others of its cluster too.
    async fn answering(&self, pid: u32) -> u16 {
        loop {
            if let Some(port) = self.chosen_port(pid)
                && answers(&url(port), self.member.is_none()).await
            {
                return port;
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// What the server of this process id wrote about its ports.
    fn chosen_port(&self, pid: u32) -> Option<u16> {
        let suffix = format!("_{pid}.ports");
        let file = std::fs::read_dir(self.layout.ports())
            .ok()?
            .flatten()
            .find(|entry| entry.file_name().to_string_lossy().ends_with(&suffix))?;
        let text = std::fs::read(file.path()).ok()?;
        let ports: serde_json::Value = serde_json::from_slice(&text).ok()?;
        ports.get("nats")?.get(0)?.as_str()?.rsplit_once(':')?.1.parse().ok()
    }

    fn log_length(&self) -> usize {
        std::fs::metadata(self.layout.log()).ok().and_then(|log| usize::try_from(log.len()).ok()).unwrap_or(0)
    }

    /// The last lines of the log that came after so many bytes.
    fn log_since(&self, before: usize) -> String {
        let log = std::fs::read(self.layout.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(log.get(before..).unwrap_or(&log)).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n  ")
    }
}

impl Running {
    /// Asks the server to end, and waits for it.
    pub(super) async fn stop(mut self) {
        if let Some(mut stdin) = self.stdin.take() {
            // A guard that is gone already needs no word.
            let _ = stdin.write_all(b"stop\n").await;
            let _ = timeout(STOP_WITHIN, self.guard.wait()).await;
        }
        self.end().await;
    }

    /// Ends the server at once, as a crash would.
    pub(super) async fn end(mut self) {
        drop(self.stdin.take());
        let guard = timeout(STOP_WITHIN, self.guard.wait()).await;
        let served_its_end = matches!(guard, Ok(Ok(status)) if status.code().is_some());
        if !served_its_end && let Ok(pid) = i32::try_from(self.pid) {
            // The guard was killed and left its server behind; it fails only where that has ended too.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    /// Waits until the server has ended by itself; how.
    pub(super) async fn ended(&mut self) -> String {
        ended(&mut self.reports).await
    }
}

pub(super) fn url(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}

async fn report(reports: &mut Lines<BufReader<ChildStdout>>) -> Option<Report> {
    while let Ok(Some(line)) = reports.next_line().await {
        if let Some(report) = Report::parse(&line) {
            return Some(report);
        }
    }
    None
}

async fn ended(reports: &mut Lines<BufReader<ChildStdout>>) -> String {
    match report(reports).await {
        Some(Report::Ended(why)) => why,
        Some(Report::InUse(_) | Report::Running(_)) | None => "its guard was killed".to_owned(),
    }
}

async fn answers(url: &str, with_jetstream: bool) -> bool {
    let options = async_nats::ConnectOptions::new().connection_timeout(Duration::from_secs(2));
    let Ok(client) = options.connect(url).await else { return false };
    let answers = !with_jetstream || async_nats::jetstream::new(client.clone()).query_account().await.is_ok();
    let _ = client.drain().await;
    answers
}

//! A `sluice` process: started, told to stop, killed, paused, started again; what it said is shown when the test fails.
//!
//! Invariant: it does not outlive its owner, and nothing is ended but by its process id.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::{DEADLINE, program};

/// How many of its last lines are shown when the test fails.
const LINES: usize = 60;
/// Variables of the environment that say where a nats-server is; all others of ours are kept from the process.
const KEPT: [&str; 2] = ["SLUICE_NATS_SERVER", "SLUICE_CACHE_DIR"];

/// A process of the program under test.
pub struct Process {
    name: String,
    arguments: Vec<OsString>,
    log: PathBuf,
    running: Option<Child>,
    announced: Value,
}

impl Process {
    /// Starts the program, which is to announce itself by a line of JSON. What it logs goes to the file `log`.
    ///
    /// # Panics
    /// Where it does not announce itself.
    pub async fn start(name: impl Into<String>, arguments: Vec<OsString>, log: PathBuf) -> Self {
        let mut this = Self { name: name.into(), arguments, log, running: None, announced: Value::Null };
        this.restart().await;
        this
    }

    /// Starts it again with the same arguments, after it was stopped or killed; one that runs is stopped first.
    ///
    /// # Panics
    /// Where it does not announce itself.
    pub async fn restart(&mut self) {
        if self.running.is_some() {
            self.stop().await;
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new(program());
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("SLUICE_") && !KEPT.contains(&name)) {
                command.env_remove(name);
            }
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        self.running = Some(child);
        let line = timeout(DEADLINE, lines.next_line()).await.expect("an announcement in time").unwrap();
        let Some(line) = line else { panic!("the {} ended before it announced itself", self.name) };
        self.announced = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no line of JSON: {line}"));
    }

    /// What it announced.
    #[must_use]
    pub fn announced(&self) -> &Value {
        &self.announced
    }

    /// Its base URL.
    ///
    /// # Panics
    /// Where it announced none.
    #[must_use]
    pub fn http(&self) -> &str {
        self.announced["http"].as_str().expect("an address")
    }

    /// Its process id.
    ///
    /// # Panics
    /// Where it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running.as_ref().and_then(Child::id).expect("a process that runs")
    }

    /// Tells it to stop (SIGTERM), and waits until it has; how it ended.
    ///
    /// # Panics
    /// Where it does not run, or does not end in time.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended().await
    }

    /// Sends a signal and does not wait.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().try_into().unwrap()), signal).unwrap();
    }

    /// Waits until it has ended; how.
    ///
    /// # Panics
    /// Where it does not end in time.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut child = self.running.take().expect("a process that runs");
        let ended = timeout(DEADLINE, child.wait()).await;
        ended.unwrap_or_else(|_| panic!("the {} did not end within {DEADLINE:?}", self.name)).unwrap()
    }

    /// Ends it as a crash would (SIGKILL).
    ///
    /// # Panics
    /// Where it does not run.
    pub async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.ended().await;
    }

    /// Stops it in its tracks (SIGSTOP).
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// All that it logged so far.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// The lines of a log, as JSON, that warn of something or tell of an error.
#[must_use]
pub fn complaints(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains(r#""level":"WARN""#) || line.contains(r#""level":"ERROR""#)).collect()
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.said();
            let lines: Vec<&str> = said.lines().collect();
            let last = &lines[lines.len().saturating_sub(LINES)..];
            eprintln!("---- the {} said\n{}", self.name, last.join("\n"));
        }
    }
}

/// Whether a process is there. One that has ended and was not waited for yet is gone all the same.
///
/// # Panics
/// Where `pid` is none.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    let zombie = stat.is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim().starts_with('Z')));
    !zombie && kill(Pid::from_raw(pid.try_into().unwrap()), None).is_ok()
}

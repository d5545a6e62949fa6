//! A `sluice` process under test: what goes wrong with it fails the test, and what it said is shown then.
//!
//! Invariant: it does not outlive its owner, and nothing is ended but by its process id.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitStatus;

use http::Method;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sluice::bench::process::{self, Start};

use crate::client::Client;
use crate::program;

/// How many of its last lines are shown when the test fails.
const LINES: usize = 60;

/// A process of the program under test.
pub struct Process(process::Process);

impl Process {
    /// Starts the program, which is to announce itself by a line of JSON. What it logs goes to the file `log`.
    ///
    /// # Panics
    /// Where it does not announce itself.
    pub async fn start(name: impl Into<String>, arguments: Vec<OsString>, log: PathBuf) -> Self {
        Self::within(name, arguments, log, Vec::new()).await
    }

    /// The same with these variables in its environment.
    ///
    /// # Panics
    /// Where it does not announce itself.
    pub async fn within(
        name: impl Into<String>,
        arguments: Vec<OsString>,
        log: PathBuf,
        environment: Vec<(String, OsString)>,
    ) -> Self {
        let start = Start { name: name.into(), program: program(), arguments, environment, log };
        Self(process::Process::start(start).await.unwrap())
    }

    /// Starts it again with the same arguments, after it was stopped or killed; one that runs is stopped first.
    ///
    /// # Panics
    /// Where it does not announce itself.
    pub async fn restart(&mut self) {
        self.0.restart().await.unwrap();
    }

    /// Kills it as a crash would, and starts it again.
    ///
    /// # Panics
    /// Where it does not announce itself.
    pub async fn restart_killed(&mut self) {
        self.kill().await;
        self.restart().await;
    }

    /// What it announced.
    #[must_use]
    pub fn announced(&self) -> &Value {
        self.0.announced()
    }

    /// Its base URL.
    ///
    /// # Panics
    /// Where it announced none.
    #[must_use]
    pub fn http(&self) -> &str {
        self.announced()["http"].as_str().expect("an address")
    }

    /// What it counts under this name, over all labels.
    ///
    /// # Panics
    /// Where it does not answer.
    pub async fn counted(&self, name: &str) -> f64 {
        let metrics = Client::new(self.http()).send(Method::GET, "/metrics", &[], None).await;
        let text = metrics.body.as_str().unwrap_or_default().to_owned();
        let of_name = text.lines().filter(|line| line.contains(name) && !line.starts_with('#'));
        of_name.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// Its process id.
    ///
    /// # Panics
    /// Where it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.pid().expect("a process that runs")
    }

    /// Tells it to stop (SIGTERM), and waits until it has; how it ended.
    ///
    /// # Panics
    /// Where it does not run, or does not end in time.
    pub async fn stop(&mut self) -> ExitStatus {
        self.0.stop().await.unwrap()
    }

    /// Sends a signal and does not wait.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn signal(&self, signal: Signal) {
        self.0.signal(signal).unwrap();
    }

    /// Waits until it has ended; how.
    ///
    /// # Panics
    /// Where it does not end in time.
    pub async fn ended(&mut self) -> ExitStatus {
        self.0.ended().await.unwrap()
    }

    /// Ends it as a crash would (SIGKILL).
    ///
    /// # Panics
    /// Where it does not run.
    pub async fn kill(&mut self) {
        self.0.kill().await.unwrap();
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
        std::fs::read_to_string(self.0.log()).unwrap_or_default()
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
            eprintln!("---- the {} said\n{}", self.0.name(), last.join("\n"));
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

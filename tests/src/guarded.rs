//! A nats-server that lets in only who it is told of: with accounts as `sluice nats-config` writes them, or with whatever
//! else a test configures.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sluice::broker::{Environment, Found, find};
use tempfile::TempDir;

use crate::configuration::Configuration;
use crate::{eventually, program};

/// The process. Dropped, it ends.
pub struct GuardedServer {
    child: Child,
    dir: TempDir,
    url: String,
}

impl GuardedServer {
    /// Starts one with this configuration on top of an address, a log and a store; relative paths in it are of `dir`.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start(dir: TempDir, configuration: &str) -> Self {
        let environment = Environment { nats_url: None, ..Environment::of_process() };
        let Ok(Found::Server { path, .. }) = find(&environment).await else { panic!("no nats-server") };
        let at = dir.path().display();
        let text = format!(
            "server_name: guarded\nlisten: \"127.0.0.1:-1\"\nmax_payload: 8388608\nlog_file: \"{at}/log\"\n\
             ports_file_dir: \"{at}\"\njetstream {{ store_dir: \"{at}/store\" }}\n{configuration}\n"
        );
        let file = dir.path().join("nats-server.conf");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(path);
        let child = command.arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut this = Self { child, dir, url: String::new() };
        let ports = this.dir.path().join(format!("nats-server_{}.ports", this.child.id()));
        this.url = eventually("the ports of a nats-server", async || {
            assert!(this.child.try_wait().unwrap().is_none(), "it ended: {}", this.complaint());
            let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(&ports).ok()?).ok()?;
            Some(ports["nats"][0].as_str()?.to_owned())
        })
        .await;
        this
    }

    /// Starts one with the accounts for these tenants.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn with_tenants(tenants: &[&str], configuration: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tenants: Vec<String> =
            tenants.iter().flat_map(|name| ["--tenant".to_owned(), (*name).to_owned()]).collect();
        nats_config(dir.path(), configuration, &tenants);
        Self::start(dir, "include \"accounts.conf\"").await
    }

    /// Starts one with roles and no tenants, and more configuration.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn with_roles(configuration: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sluice.toml");
        std::fs::write(&file, Configuration::default().toml()).unwrap();
        nats_config(dir.path(), &file, &[]);
        Self::start(dir, &format!("include \"accounts.conf\"\n{configuration}")).await
    }

    /// Changes who is let in while it runs: twice, because an account that is new at a reload reaches others from the next on.
    ///
    /// # Panics
    /// Where that is refused.
    pub async fn change(&self, configuration: &Path, arguments: &[&str]) {
        let reloads = || self.log().matches("Reloaded server configuration").count();
        let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
        nats_config(self.dir.path(), configuration, &arguments);
        for _ in 0..2 {
            let before = reloads();
            kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGHUP).unwrap();
            eventually("a new configuration", async || (reloads() > before).then_some(())).await;
        }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where keys and `accounts.conf` are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The seed of a role, or of a tenant.
    #[must_use]
    pub fn seed(&self, of: &str) -> PathBuf {
        [self.dir.path().join(format!("{of}.nk")), self.dir.path().join(format!("tenants/{of}.nk"))]
            .into_iter()
            .find(|file| file.exists())
            .unwrap_or_else(|| panic!("{of} has no seed"))
    }

    /// All that it logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// What it refused so far: the lines of its log that say so, without the time.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let log = self.log();
        let refusals = log.lines().filter(|line| line.contains("Violation") || line.contains("authentication error"));
        refusals.map(|line| line.split_once("] ").map_or(line, |(_, said)| said).to_owned()).collect()
    }

    fn complaint(&mut self) -> String {
        let mut said = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            let _ = errors.read_to_string(&mut said);
        }
        said + &self.log()
    }
}

impl Drop for GuardedServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the nats-server refused\n{}", self.violations().join("\n"));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn nats_config(dir: &Path, configuration: &Path, arguments: &[String]) {
    let mut command = Command::new(program());
    let done =
        command.arg("nats-config").arg("--dir").arg(dir).arg("--config").arg(configuration).args(arguments).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

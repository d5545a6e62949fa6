//! `sluice up` as a test's own process, with a directory that outlives it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::client::Client;
use crate::configuration::Configuration;
use crate::process::Process;

/// One `sluice up` and its data.
pub struct Up {
    /// The process.
    pub process: Process,
    files: TempDir,
}

impl Up {
    /// Starts it on a free port with a new directory, and waits until it has announced itself.
    ///
    /// # Panics
    /// Where it does not.
    pub async fn start(configuration: &Configuration) -> Self {
        let files = tempfile::tempdir().unwrap();
        let file = files.path().join("sluice.toml");
        std::fs::write(&file, configuration.toml()).unwrap();
        let mut arguments: Vec<OsString> = ["up", "--json", "--listen", "127.0.0.1:0", "--data"].map(Into::into).into();
        arguments.extend([data(files.path()).into(), "--config".into(), file.into()]);
        let process = Process::start("up", arguments, files.path().join("up.log")).await;
        Self { process, files }
    }

    /// A client of it as it runs now.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.process.http())
    }

    /// The directory that everything is kept in.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        data(self.files.path())
    }

    /// The process id of its nats-server.
    ///
    /// # Panics
    /// Where it never had one.
    #[must_use]
    pub fn server(&self) -> u32 {
        std::fs::read_to_string(data(self.files.path()).join("nats").join("lock")).unwrap().trim().parse().unwrap()
    }
}

fn data(files: &Path) -> PathBuf {
    files.join("data")
}

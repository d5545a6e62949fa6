//! Logs on standard error, so that standard output stays for what was asked for.

use std::io::IsTerminal as _;

use anyhow::anyhow;
use sluice_shared::config::{Log, LogFormat};
use tracing_subscriber::EnvFilter;

use super::failure::Failure;

/// Starts logging for this process, as configured: for people on a terminal, one JSON object a line elsewhere.
pub(crate) fn start(log: &Log) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&log.filter)
        .map_err(|error| Failure::Usage(anyhow!("log.filter `{}`: {error}", log.filter)))?;
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A logger that is there already belongs to whoever runs us as a library.
    let _ = if json { subscriber.json().try_init() } else { subscriber.try_init() };
    Ok(())
}

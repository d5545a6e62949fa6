//! What a process tells about itself: log lines, counts, and the trace a call belongs to.
//!
//! Decides nothing and never fails the work it tells about. Invariant: no header, body, key or password goes out here.

mod labels;
mod metrics;
pub mod traceparent;

use std::io::{self, IsTerminal as _};

use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

pub use labels::{Denial, Healed, Operation, Submitted, Via, Webhook};
pub use metrics::{InFlight, Metrics};

use crate::config::{Log, LogFormat};
use crate::nats::Nats;

/// Why there are no log lines.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error(
        "{key} is `{filter}`, which is no filter ({why}): write a level such as `info`, or `info,sluice_workers=debug`"
    )]
    Filter {
        /// Where it was set.
        key: &'static str,
        /// What it says.
        filter: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something in this process receives log lines already.
    #[error("logging was set up before in this process")]
    Already,
}

/// Sends log lines to standard error from now on. `RUST_LOG`, where it is set, goes over the configured filter.
///
/// # Errors
/// Where the filter cannot be read, or logging was set up before.
pub fn init(log: &Log) -> Result<(), LogError> {
    let from_environment = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = match &from_environment {
        Some(filter) => parse_filter("RUST_LOG", filter)?,
        None => parse_filter("log.filter", &log.filter)?,
    };
    let told = tracing_subscriber::registry().with(filter).with(filter_fn(holds_no_contents));
    let lines = fmt::layer().with_writer(io::stderr);
    let started = if for_people(log.format, io::stderr().is_terminal()) {
        told.with(lines.with_ansi(io::stderr().is_terminal())).try_init()
    } else {
        told.with(lines.json().flatten_event(true)).try_init()
    };
    started.map_err(|_| LogError::Already)
}

/// What libraries say at their most talkative holds whole messages: bodies, and what clients store in the broker. Whatever
/// the filter says, it is left out.
fn holds_no_contents(about: &tracing::Metadata<'_>) -> bool {
    *about.level() <= tracing::Level::DEBUG || about.target().starts_with("sluice")
}

fn parse_filter(key: &'static str, filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(filter).map_err(|error| LogError::Filter {
        key,
        filter: filter.to_owned(),
        why: error.to_string(),
    })
}

fn for_people(format: LogFormat, terminal: bool) -> bool {
    match format {
        LogFormat::Auto => terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    }
}

/// Says once which version of which role found which broker and topology.
pub fn log_start(role: &str, version: &str, nats: &Nats) {
    let server = nats.client().server_info();
    let topology = nats.topology().settings();
    tracing::info!(
        role,
        version,
        nats_server = %server.version,
        nats_name = %server.server_name,
        max_payload = server.max_payload,
        prefix = %topology.prefix,
        shards = topology.shards,
        record_buckets = topology.record_buckets,
        lanes = topology.lanes,
        replicas = topology.replicas,
        consumers_in_memory = topology.consumers_in_memory,
        "started"
    );
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a filter that should be refused fails the test")]

    use super::*;

    #[test]
    fn auto_is_for_people_on_a_terminal_only() {
        assert!(for_people(LogFormat::Auto, true) && !for_people(LogFormat::Auto, false));
        assert!(for_people(LogFormat::Human, false) && !for_people(LogFormat::Json, true));
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_refused_by_its_key() {
        assert!(parse_filter("log.filter", "info,sluice_workers=debug").is_ok());
        let said = parse_filter("log.filter", "sluice=loudly").unwrap_err().to_string();
        assert!(said.contains("log.filter") && said.contains("sluice=loudly"), "{said}");
    }
}

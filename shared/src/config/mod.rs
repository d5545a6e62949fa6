//! The configuration: an annotated default compiled in, then a file, then the environment. Wrong keys and values are
//! refused at start, all at once, by name. Secrets are never shown.

mod check;
mod sections;
mod units;

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

pub use sections::{
    ConsumerStorage, Delivery, DestinationGate, Gate, Gateway, Log, LogFormat, Nats, Pause, Records, Retry, Topology,
    Worker,
};
pub use units::{Bytes, StatusRange};

/// What applies when nothing else is said.
pub const DEFAULT: &str = include_str!("../../../deploy/config/default.toml");
/// The beginning of the environment variables that set keys.
const PREFIX: &str = "SLUICE_";

/// All settings of all roles.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The broker.
    pub nats: Nats,
    /// What a deployment chooses once.
    pub topology: Topology,
    /// The gateway.
    pub gateway: Gateway,
    /// The worker.
    pub worker: Worker,
    /// When and how often attempts are repeated.
    pub retry: Retry,
    /// How fast destinations are called.
    pub gate: Gate,
    /// How long records are kept.
    pub records: Records,
    /// The delivery service.
    pub delivery: Delivery,
    /// Logs.
    pub log: Log,
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read: no such file, not TOML, an unknown key, a value of the wrong kind.
    #[error("the configuration cannot be used: {0}")]
    Unreadable(String),
    /// Values that are not allowed, each with its key.
    #[error("the configuration cannot be used:\n  {}", .0.join("\n  "))]
    Refused(Vec<String>),
}

impl Config {
    /// The defaults, a file on top, the process's environment on top of that.
    ///
    /// # Errors
    /// Where a key is unknown or a value is not allowed; the message names it.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let text = match file {
            None => None,
            Some(path) => Some(
                std::fs::read_to_string(path)
                    .map_err(|error| ConfigError::Unreadable(format!("{}: {error}", path.display())))?,
            ),
        };
        Self::from_parts(text.as_deref(), std::env::vars())
    }

    /// The defaults and a TOML text on top.
    ///
    /// # Errors
    /// As `load`.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Self::from_parts(Some(text), [])
    }

    /// The defaults, a TOML text, and variables of an environment on top.
    ///
    /// # Errors
    /// As `load`.
    pub fn from_parts(
        text: Option<&str>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut builder = config::Config::builder().add_source(toml(DEFAULT));
        if let Some(text) = text {
            builder = builder.add_source(toml(text));
        }
        let variables = config::Environment::with_prefix("SLUICE")
            .prefix_separator("_")
            .separator("__")
            .try_parsing(true)
            .source(Some(keys_of(environment)));
        let config: Self = builder
            .add_source(variables)
            .build()
            .and_then(config::Config::try_deserialize)
            .map_err(|error| ConfigError::Unreadable(error.to_string()))?;
        let faults = check::faults(&config);
        if faults.is_empty() { Ok(config) } else { Err(ConfigError::Refused(faults)) }
    }
}

impl Default for Config {
    #[allow(clippy::expect_used, reason = "the text is compiled in and read by a test")]
    fn default() -> Self {
        Self::from_parts(None, []).expect("the compiled-in configuration is valid")
    }
}

fn toml(text: &str) -> config::File<config::FileSourceString, config::FileFormat> {
    config::File::from_str(text, config::FileFormat::Toml)
}

/// The variables that set keys: those with a section, and `SLUICE_NATS_URL`. Others configure the start of the program.
fn keys_of(environment: impl IntoIterator<Item = (String, String)>) -> HashMap<String, String> {
    let mut keys = HashMap::new();
    for (name, value) in environment {
        if name == "SLUICE_NATS_URL" {
            keys.entry("SLUICE_NATS__URL".to_owned()).or_insert(value);
        } else if name.starts_with(PREFIX) && name.contains("__") {
            keys.insert(name, value);
        }
    }
    keys
}

#[cfg(test)]
mod tests;

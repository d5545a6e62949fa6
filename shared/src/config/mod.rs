//! The configuration: an annotated default compiled in, then a file, then the environment. Wrong keys and values are
//! refused at start by name: every value that is not allowed, and for each section the first that cannot be read.
//!
//! Does not act on what it reads. Invariant: secrets are never shown, neither by `Debug` nor in errors.

mod check;
mod presets;
mod quotas;
mod sections;
mod targets;
mod units;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::Path;

use serde::de::DeserializeOwned;

use check::Faults;
pub use presets::{PRESETS, Preset};
pub use quotas::Quotas;
pub use sections::{
    Auth, ConsumerStorage, Delivery, DestinationGate, Gate, Gateway, Log, LogFormat, Nats, Pause, Records, Retry,
    Secrets, Topology, Worker,
};
pub use targets::Targets;
pub use units::{Bytes, StatusRange};

/// What applies when nothing else is said.
pub const DEFAULT: &str = include_str!("../../../deploy/config/default.toml");
/// The beginning of the environment variables that set keys.
const PREFIX: &str = "SLUICE_";
/// The keys that are lists; a variable of the environment separates their items by commas.
const LISTS: [(&str, &str); 10] = [
    ("SLUICE_RETRY__CODES", "retry.codes"),
    ("SLUICE_DELIVERY__RETRY", "delivery.retry"),
    ("SLUICE_TARGETS__ALLOW_NETWORKS", "targets.allow_networks"),
    ("SLUICE_TARGETS__DENY_NETWORKS", "targets.deny_networks"),
    ("SLUICE_TARGETS__ALLOW_HOSTS", "targets.allow_hosts"),
    ("SLUICE_TARGETS__DENY_HOSTS", "targets.deny_hosts"),
    ("SLUICE_TARGETS__ONLY_HOSTS", "targets.only_hosts"),
    ("SLUICE_TARGETS__DENY_PORTS", "targets.deny_ports"),
    ("SLUICE_TARGETS__ONLY_PORTS", "targets.only_ports"),
    ("SLUICE_SECRETS__SEAL_HEADERS", "secrets.seal_headers"),
];

/// All settings of all roles.
#[derive(Clone, Debug)]
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
    /// What may be called.
    pub targets: Targets,
    /// How much tenants may submit.
    pub quotas: Quotas,
    /// How long records are kept.
    pub records: Records,
    /// The delivery service.
    pub delivery: Delivery,
    /// How callers' secrets are kept.
    pub secrets: Secrets,
    /// Logs.
    pub log: Log,
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read: no such file, or not TOML.
    #[error("the configuration cannot be used: {0}")]
    Unreadable(String),
    /// Unknown keys and values that are not allowed, each with its key.
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
        let readable =
            |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self::from_parts(text.as_deref(), std::env::vars_os().filter_map(readable))
    }

    /// The same configuration, where this machine's own addresses may be called too: for what runs on one machine.
    #[must_use]
    pub fn with_loopback_targets(self) -> Self {
        Self { targets: self.targets.with_loopback(), ..self }
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
        let (variables, lists) = keys_of(environment);
        // Values stay text until the field's type is known: a password of digits is not a number.
        let variables = config::Environment::with_prefix("SLUICE")
            .prefix_separator("_")
            .separator("__")
            .try_parsing(false)
            .source(Some(variables));
        builder = builder.add_source(variables);
        for (key, items) in lists {
            builder = builder.set_override(key, items).map_err(|error| unreadable(&error))?;
        }
        Self::read(builder.build().map_err(|error| unreadable(&error))?)
    }

    fn read(layers: config::Config) -> Result<Self, ConfigError> {
        let mut reading = Reading::of(layers)?;
        let nats = reading.section("nats", check::nats);
        let topology = reading.section("topology", check::topology);
        let gateway = reading.section("gateway", check::gateway);
        let worker = reading.section("worker", check::worker);
        let retry = reading.section("retry", check::retry);
        let gate = reading.section("gate", check::gate);
        let targets = reading.section("targets", check::targets);
        let quotas = reading.section("quotas", quotas::check);
        let records = reading.section("records", check::records);
        let delivery = reading.section("delivery", check::delivery);
        let secrets = reading.section("secrets", check::secrets);
        let log = reading.section("log", check::log);
        let faults = reading.faults();
        let read = || {
            Some(Self {
                nats: nats?,
                topology: topology?,
                gateway: gateway?,
                worker: worker?,
                retry: retry?,
                gate: gate?,
                targets: targets?,
                quotas: quotas?,
                records: records?,
                delivery: delivery?,
                secrets: secrets?,
                log: log?,
            })
        };
        match read() {
            Some(config) if faults.is_empty() => Ok(config),
            Some(_) | None => Err(ConfigError::Refused(faults)),
        }
    }
}

/// The sections as written, taken out one by one; what is wrong with them is gathered.
struct Reading {
    sections: BTreeMap<String, config::Value>,
    known: Vec<&'static str>,
    faults: Faults,
}

impl Reading {
    fn of(layers: config::Config) -> Result<Self, ConfigError> {
        let sections = layers.try_deserialize().map_err(|error| unreadable(&error))?;
        Ok(Self { sections, known: Vec::new(), faults: Faults::default() })
    }

    fn section<T: DeserializeOwned>(&mut self, name: &'static str, check: fn(&T, &mut Faults)) -> Option<T> {
        self.known.push(name);
        let Some(value) = self.sections.remove(name) else {
            self.faults.add(format!("[{name}] is missing"));
            return None;
        };
        match value.try_deserialize::<T>() {
            Ok(section) => {
                check(&section, &mut self.faults);
                Some(section)
            }
            Err(error) => {
                self.faults.add(format!("[{name}] {error}"));
                None
            }
        }
    }

    /// Every fault, those of sections that nobody took included.
    fn faults(mut self) -> Vec<String> {
        for name in self.sections.keys() {
            self.faults.add(format!("[{name}] is no section: there are {}", self.known.join(", ")));
        }
        self.faults.all()
    }
}

/// What the TOML reader said, without the line it quotes: that may hold a password.
fn unreadable(error: &config::ConfigError) -> ConfigError {
    let quoted = |line: &&str| !line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit()).starts_with('|');
    ConfigError::Unreadable(error.to_string().lines().filter(quoted).collect::<Vec<_>>().join(": "))
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

/// The key of a list and its items.
type List = (&'static str, Vec<String>);

/// The variables that set keys: those with a section, and `SLUICE_NATS_URL`. Others configure the start of the program.
/// Those that set lists come apart, as their items.
fn keys_of(environment: impl IntoIterator<Item = (String, String)>) -> (HashMap<String, String>, Vec<List>) {
    let (mut keys, mut lists) = (HashMap::new(), Vec::new());
    for (name, value) in environment {
        if name == "SLUICE_NATS_URL" {
            keys.entry("SLUICE_NATS__URL".to_owned()).or_insert(value);
        } else if let Some((_, key)) = LISTS.iter().find(|(list, _)| *list == name) {
            lists.push((*key, value.split(',').map(|item| item.trim().to_owned()).collect()));
        } else if name.starts_with(PREFIX) && name.contains("__") {
            keys.insert(name, value);
        }
    }
    (keys, lists)
}

#[cfg(test)]
mod tests;

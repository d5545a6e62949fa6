//! The configured limits of every gate, for those who keep to them and those who show them.

use std::time::Duration;

use crate::config;
use crate::domain::gate::{Interval, Limits};
use crate::domain::id::Destination;

/// What the configuration says about gates.
#[derive(Clone, Debug)]
pub struct GateSettings {
    config: config::Gate,
}

impl From<config::Gate> for GateSettings {
    fn from(config: config::Gate) -> Self {
        Self { config }
    }
}

impl Default for GateSettings {
    /// What the compiled-in configuration says.
    fn default() -> Self {
        config::Config::default().gate.into()
    }
}

impl GateSettings {
    /// The limits of a destination: its own, by `host:port` or else by `host`, filled up with those of all others.
    #[must_use]
    pub fn limits(&self, destination: &Destination) -> Limits {
        let name = destination.as_str();
        let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
        let own = self.config.destinations.get(name).or_else(|| self.config.destinations.get(host));
        // The configuration refuses a rate that is no rate.
        let rate = own.and_then(|own| own.rate).unwrap_or(self.config.rate);
        Limits {
            interval: Interval::of_rate(rate).unwrap_or(Interval::SLOWEST),
            burst: own.and_then(|own| own.burst).unwrap_or(self.config.burst).max(1),
            concurrency: own.and_then(|own| own.concurrency).unwrap_or(self.config.concurrency).max(1),
            ceiling: own.is_some(),
        }
    }

    /// How far ahead slots are reserved.
    #[must_use]
    pub fn horizon(&self) -> Duration {
        self.config.horizon
    }

    /// The longest that one answer closes a gate.
    #[must_use]
    pub fn max_close(&self) -> Duration {
        self.config.max_close
    }
}

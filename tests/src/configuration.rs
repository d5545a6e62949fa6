//! The configuration of the processes under test, as the TOML that they are started with.

use std::collections::BTreeMap;

use serde_json::Value;
use sluice::scripted::Destination;

/// The key that secrets are sealed with: 32 bytes, all 7.
pub const KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

/// Keys and values on top of the compiled-in defaults.
#[derive(Clone, Debug)]
pub struct Configuration(BTreeMap<String, Value>);

impl Default for Configuration {
    /// A small topology, destinations on this machine that are not held up, retries that come soon, and a key to seal with.
    fn default() -> Self {
        Self(BTreeMap::new())
            .set("gateway.auth", "open")
            .set("topology.shards", 1)
            .set("topology.record_buckets", 1)
            .set("targets.allow_networks", ["127.0.0.0/8", "::1/128"].as_slice())
            .set("gate.rate", 1000.0)
            .set("gate.burst", 10)
            .set("retry.base", "20ms")
            .set("retry.cap", "300ms")
            .set("delivery.retry", ["300ms"; 9].as_slice())
            .set("worker.grace", "10s")
            .set("secrets.key", KEY)
            .set("log.filter", "info,sluice_workers=debug,sluice_gateway=debug,sluice_shared=debug,sluice=debug")
    }
}

impl Configuration {
    /// Sets a key, `section.name`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    /// Leaves a key as the program has it.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        self.0.remove(key);
        self
    }

    /// How fast this destination is called: requests a second, and how many may go at once after a pause.
    #[must_use]
    pub fn limit(self, destination: &Destination, rate: f64, burst: u32) -> Self {
        let section = format!("gate.destinations.\"{}\"", destination.address());
        self.set(&format!("{section}.rate"), rate).set(&format!("{section}.burst"), burst)
    }

    /// A whole number that was set.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u16> {
        self.0.get(key)?.as_u64()?.try_into().ok()
    }

    /// The text of the file. JSON's strings, numbers and lists are TOML's.
    #[must_use]
    pub fn toml(&self) -> String {
        self.0.iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use sluice_shared::config::Config;

    use super::*;

    #[tokio::test]
    async fn what_is_set_is_what_the_program_reads() {
        let destination = Destination::start().await.unwrap();
        let written = Configuration::default().set("worker.slots", 7).limit(&destination, 0.5, 3);
        let read = Config::from_toml(&written.toml()).unwrap();
        assert_eq!((read.worker.slots, read.delivery.retry.len()), (7, 9));
        assert_eq!((read.topology.shards, written.number("topology.shards")), (1, Some(1)));
        let limits = &read.gate.destinations[&destination.address().to_string()];
        assert_eq!((limits.rate, limits.burst, limits.concurrency), (Some(0.5), Some(3), None));
    }
}

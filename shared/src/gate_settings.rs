//! The configured limits of every gate, for those who keep to them and those who show them.

use std::time::Duration;

use crate::config::{self, Preset};
use crate::domain::gate::{Interval, Limits};
use crate::domain::id::{Destination, GateName};

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
    /// The limits of a destination: its own, by `host:port` or else by `host`, filled up with what is documented of a
    /// well-known API, and with those of all others.
    ///
    /// Announced limits can only lower what was said for this destination, unless that says that they count in its place;
    /// what holds for all others is a guess that they replace.
    #[must_use]
    pub fn limits(&self, destination: &Destination) -> Limits {
        let (name, own) = (destination.as_str(), self.own(destination));
        let preset = Preset::of(name).filter(|_| self.config.presets);
        let documented = |preset: &Preset| preset.ceiling && preset.calls.is_some();
        // The configuration refuses a rate that is no rate.
        let rate = own.and_then(|own| own.rate).or(preset.and_then(Preset::rate)).unwrap_or(self.config.rate);
        let burst = own.and_then(|own| own.burst).or(preset.and_then(|preset| preset.burst));
        let concurrency = own.and_then(|own| own.concurrency).or(preset.and_then(|preset| preset.concurrency));
        let said = own.and_then(|own| own.ceiling.or(own.rate.map(|_| true)));
        let ceiling = said.or(preset.map(documented)).unwrap_or(own.is_some());
        Limits {
            interval: Interval::of_rate(rate).unwrap_or(Interval::SLOWEST),
            burst: burst.unwrap_or(self.config.burst).max(1),
            concurrency: concurrency.unwrap_or(self.config.concurrency).max(1),
            ceiling,
        }
    }

    /// The limits of all accounts of a destination together, where it has such.
    #[must_use]
    pub fn shared(&self, destination: &Destination) -> Option<Limits> {
        let own = self.own(destination)?;
        Some(Limits {
            interval: Interval::of_rate(own.shared_rate?).unwrap_or(Interval::SLOWEST),
            burst: own.shared_burst.unwrap_or(self.config.burst).max(1),
            concurrency: own.shared_concurrency.unwrap_or(self.config.concurrency).max(1),
            ceiling: true,
        })
    }

    /// The limits of one of a destination's gates.
    #[must_use]
    pub fn limits_of(&self, gate: &GateName, destination: &Destination) -> Limits {
        let shared = self.shared(destination).filter(|_| *gate == GateName::shared(destination));
        shared.unwrap_or_else(|| self.limits(destination))
    }

    /// All gates that a queue draws from: its own first, which is that of its account, then the one that is shared by all
    /// accounts of its destination, where that has limits.
    #[must_use]
    pub fn gates_of(&self, own: &[GateName], destination: &Destination) -> Vec<GateName> {
        let shared = self.shared(destination).map(|_| GateName::shared(destination));
        own.iter().cloned().chain(shared).collect()
    }

    /// Whether there is a destination whose accounts are told by a header.
    #[must_use]
    pub fn derives_accounts(&self) -> bool {
        self.config.destinations.values().any(|one| one.account_from.is_some())
    }

    /// The header that tells a destination's accounts apart where a job does not name one, in lower case.
    #[must_use]
    pub fn account_from(&self, destination: &Destination) -> Option<&str> {
        self.own(destination)?.account_from.as_deref()
    }

    /// Whether limits are learned from a destination's answers.
    #[must_use]
    pub fn learns(&self, destination: &Destination) -> bool {
        self.own(destination).and_then(|own| own.learn).unwrap_or(self.config.learn)
    }

    /// How many failures in a row open a destination's circuit; none where no number does.
    #[must_use]
    pub fn circuit_failures(&self, destination: &Destination) -> Option<u32> {
        let own = self.own(destination).and_then(|own| own.circuit_failures);
        Some(own.unwrap_or(self.config.circuit_failures)).filter(|failures| *failures > 0)
    }

    /// How long an open circuit stays open at first.
    #[must_use]
    pub fn circuit_pause(&self) -> Duration {
        self.config.circuit_pause
    }

    /// The section of a destination, by `host:port` or else by `host`.
    fn own(&self, destination: &Destination) -> Option<&config::DestinationGate> {
        let name = destination.as_str();
        let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
        self.config.destinations.get(name).or_else(|| self.config.destinations.get(host))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

    use crate::config::Config;

    use super::*;

    fn limits(toml: &str, destination: &str) -> Limits {
        let settings = GateSettings::from(Config::from_toml(toml).unwrap().gate);
        settings.limits(&Destination::of(&format!("https://{destination}/").parse().unwrap()).unwrap())
    }

    fn of(rate: f64, ceiling: bool) -> Limits {
        Limits { interval: Interval::of_rate(rate).unwrap(), burst: 1, concurrency: 64, ceiling }
    }

    #[test]
    fn an_unknown_destination_has_a_guess_and_a_well_known_api_what_it_documents() {
        assert_eq!(limits("", "a.example"), of(2.0, false));
        assert_eq!(limits("", "api.notion.com"), of(3.0, true));
        assert_eq!(limits("gate.presets = false", "api.notion.com"), of(2.0, false));
        // A port of its own is another server.
        assert_eq!(limits("", "api.notion.com:8443"), of(2.0, false));
        // No number is documented: what is announced replaces the guess.
        assert_eq!(limits("", "api.openai.com"), of(2.0, false));
    }

    #[test]
    fn a_destination_can_be_one_that_nothing_is_learned_from() {
        let toml = "gate.destinations.\"a.example\".learn = false";
        let settings = GateSettings::from(Config::from_toml(toml).unwrap().gate);
        let learns =
            |host: &str| settings.learns(&Destination::of(&format!("https://{host}/").parse().unwrap()).unwrap());
        assert_eq!((learns("a.example"), learns("b.example")), (false, true));
    }

    #[test]
    fn a_destination_can_have_another_number_of_failures_or_none() {
        let toml = "gate.circuit_failures = 7\ngate.destinations.\"a.example\".circuit_failures = 0";
        let settings = GateSettings::from(Config::from_toml(toml).unwrap().gate);
        let failures = |host: &str| {
            settings.circuit_failures(&Destination::of(&format!("https://{host}/").parse().unwrap()).unwrap())
        };
        assert_eq!((failures("a.example"), failures("b.example")), (None, Some(7)));
    }

    #[test]
    fn what_all_accounts_share_is_a_gate_of_its_own_above_theirs() {
        let toml = "[gate.destinations.\"a.example\"]\nrate = 9.0\nshared_rate = 20.0\nshared_concurrency = 3";
        let settings = GateSettings::from(Config::from_toml(toml).unwrap().gate);
        let to = |host: &str| Destination::of(&format!("https://{host}/").parse().unwrap()).unwrap();
        let (a, b) = (to("a.example"), to("b.example"));
        let own = |to| vec![GateName::of(to, Some("acme"))];
        assert_eq!(settings.gates_of(&own(&a), &a), [own(&a), vec![GateName::shared(&a)]].concat());
        assert_eq!(settings.gates_of(&own(&b), &b), own(&b));
        assert_eq!(settings.limits_of(&own(&a)[0], &a), of(9.0, true));
        assert_eq!(settings.limits_of(&GateName::shared(&a), &a), Limits { concurrency: 3, ..of(20.0, true) });
    }

    #[test]
    fn a_section_of_its_own_comes_first_key_by_key() {
        let own = |key| format!("[gate.destinations.\"api.notion.com\"]\n{key}");
        assert_eq!(limits(&own("rate = 9.0"), "api.notion.com"), of(9.0, true));
        assert_eq!(limits(&own("burst = 4"), "api.notion.com"), Limits { burst: 4, ..of(3.0, true) });
        assert_eq!(limits(&own("ceiling = false"), "api.notion.com"), of(3.0, false));
        let unknown = "[gate.destinations.\"a.example\"]\nburst = 4";
        assert_eq!(limits(unknown, "a.example"), Limits { burst: 4, ..of(2.0, true) });
        let openai = |key| format!("[gate.destinations.\"api.openai.com\"]\n{key}");
        assert_eq!(limits(&openai("burst = 4"), "api.openai.com"), Limits { burst: 4, ..of(2.0, false) });
        assert_eq!(limits(&openai("rate = 9.0"), "api.openai.com"), of(9.0, true));
    }
}

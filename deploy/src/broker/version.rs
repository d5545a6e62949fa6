//! Which version a nats-server is, read from what it says about itself. Pure.

use std::fmt;

use sluice_shared::topology::MIN_SERVER;

/// The version of a nats-server. A pre-release counts as the release that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion {
    /// The first number.
    pub major: u64,
    /// The second number.
    pub minor: u64,
    /// The third number.
    pub patch: u64,
}

impl ServerVersion {
    /// Reads `nats-server: v2.15.1`, or the bare version that a running server tells its clients.
    #[must_use]
    pub fn parse(said: &str) -> Option<Self> {
        let word = said.split_whitespace().find(|word| word.trim_start_matches('v').starts_with(char::is_numeric))?;
        let release = word.trim_start_matches('v').split(['-', '+']).next()?;
        let mut numbers = release.split('.').map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        Some(Self { major: next()?, minor: next()?, patch: next()? })
    }

    /// Whether this program can rely on it.
    #[must_use]
    pub fn is_new_enough(self) -> bool {
        (self.major, self.minor) >= MIN_SERVER
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(major: u64, minor: u64, patch: u64) -> Option<ServerVersion> {
        Some(ServerVersion { major, minor, patch })
    }

    #[test]
    fn what_servers_say_about_themselves_is_read() {
        for (said, is) in [
            ("nats-server: v2.15.1\n", version(2, 15, 1)),
            ("nats-server: v2.16.0-RC.2", version(2, 16, 0)),
            ("2.15.0", version(2, 15, 0)),
            ("nats-server: v2.9.25+build", version(2, 9, 25)),
            ("nats-server: v2.15", None),
            ("gnatsd", None),
            ("", None),
        ] {
            assert_eq!(ServerVersion::parse(said), is, "{said:?}");
        }
    }

    #[test]
    fn versions_are_compared_by_number_and_not_by_letter() {
        for (said, enough) in [
            ("2.14.9", false),
            ("2.9.99", false),
            ("1.99.0", false),
            ("2.15.0", true),
            ("2.100.0", true),
            ("3.0.0", true),
        ] {
            assert_eq!(ServerVersion::parse(said).map(ServerVersion::is_new_enough), Some(enough), "{said}");
        }
    }
}

//! Limits that well-known APIs document: `deploy/config/presets.toml`, compiled in.
//!
//! A destination's own section of the configuration comes first, key by key. Invariant: each preset names the page that
//! documents it.

use std::sync::LazyLock;
use std::time::Duration;

use serde::Deserialize;

/// The presets as they are written.
pub const PRESETS: &str = include_str!("../../../deploy/config/presets.toml");

static ALL: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    #[allow(clippy::expect_used, reason = "the text is compiled in and read by a test")]
    let file: File = read(PRESETS).expect("the compiled-in presets are valid");
    file.preset
});

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    preset: Vec<Preset>,
}

/// What the documentation of an API says about its limits.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// `host`, or `*.domain` for every host below it.
    pub host: String,
    /// So many calls in any `per`; `None` where no number is documented.
    pub calls: Option<u32>,
    /// The time for `calls`.
    #[serde(default, with = "humantime_serde")]
    pub per: Option<Duration>,
    /// How many may go at once.
    pub burst: Option<u32>,
    /// Calls in flight.
    pub concurrency: Option<u32>,
    /// Whether what answers announce can only lower it.
    pub ceiling: bool,
    /// The page that says so.
    pub source: String,
    /// When it was read there, `yyyy-mm-dd`.
    pub read: String,
    /// What the number is of.
    pub note: String,
}

impl Preset {
    /// The preset of a host, the most precise one.
    #[must_use]
    pub fn of(host: &str) -> Option<&'static Self> {
        ALL.iter().filter(|preset| preset.names(host)).max_by_key(|preset| preset.host.len())
    }

    /// Calls a second.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        let (calls, per) = (self.calls?, self.per?);
        Some(f64::from(calls) / per.as_secs_f64())
    }

    fn names(&self, host: &str) -> bool {
        match self.host.strip_prefix("*.") {
            Some(domain) => host.strip_suffix(domain).is_some_and(|below| below.len() > 1 && below.ends_with('.')),
            None => self.host == host,
        }
    }
}

fn read(text: &str) -> Result<File, config::ConfigError> {
    let source = config::File::from_str(text, config::FileFormat::Toml);
    config::Config::builder().add_source(source).build()?.try_deserialize()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

    use super::*;

    #[test]
    fn each_preset_says_what_where_from_and_when() {
        let all = read(PRESETS).unwrap().preset;
        assert!(all.len() >= 10);
        for preset in &all {
            let host = &preset.host;
            let source = url::Url::parse(&preset.source).unwrap();
            assert_eq!(source.scheme(), "https", "{host}");
            let date: Vec<u32> = preset.read.split('-').map(|part| part.parse().unwrap()).collect();
            let is_date = matches!(date[..], [year, 1..=12, 1..=31] if year >= 2025);
            assert!(is_date, "{host}: read {}", preset.read);
            assert_eq!(preset.calls.is_some(), preset.per.is_some(), "{host}");
            assert!(preset.rate().is_none_or(|rate| (0.000_1..=1_000_000.0).contains(&rate)), "{host}");
            assert!(preset.burst != Some(0) && preset.concurrency != Some(0), "{host}");
            // A number is there, or answers say it.
            assert!(preset.calls.is_some() || !preset.ceiling, "{host}");
            assert!(!preset.note.is_empty() && *host == host.to_lowercase(), "{host}");
        }
        let hosts: std::collections::BTreeSet<_> = all.iter().map(|preset| &preset.host).collect();
        assert_eq!(hosts.len(), all.len());
    }

    #[test]
    fn a_host_has_the_preset_that_names_it() {
        assert_eq!(Preset::of("api.notion.com").unwrap().rate(), Some(3.0));
        assert_eq!(Preset::of("shop.myshopify.com").unwrap().calls, Some(2));
        for other in ["myshopify.com", ".myshopify.com", "evilmyshopify.com", "notion.com", "a.api.notion.com", ""] {
            assert_eq!(Preset::of(other), None, "{other}");
        }
    }
}

//! How much a key may submit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limits of a key; what is absent has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    /// New jobs a second: as many at once, and as many again with every second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs_per_second: Option<u32>,
    /// New jobs a day, from midnight to midnight (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs_per_day: Option<u64>,
    /// Jobs that have not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_jobs: Option<u32>,
    /// The JSON of one job, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<u64>,
}

impl Quotas {
    /// The most that any of them can be.
    pub const MOST: u64 = 1_000_000_000;

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether new jobs have to be counted.
    #[must_use]
    pub fn are_counted(&self) -> bool {
        self.jobs_per_second.is_some() || self.jobs_per_day.is_some()
    }

    /// The name of each that is given, and how much it is.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = [
            ("jobs_per_second", self.jobs_per_second.map(u64::from)),
            ("jobs_per_day", self.jobs_per_day),
            ("open_jobs", self.open_jobs.map(u64::from)),
            ("body_bytes", self.body_bytes),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

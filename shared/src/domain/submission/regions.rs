//! The regions that a job, or a webhook, names.

use super::fault::Code;
use super::fields::{Fields, Reading};
use crate::domain::id::Region;

/// Regions in one list at most.
pub(super) const MOST_REGIONS: usize = 32;

/// The regions of a webhook.
pub(super) fn of_webhook(fields: &mut Fields<'_>, rd: &mut Reading<'_>) -> Vec<String> {
    let items = fields.take("regions").map(|value| value.list(MOST_REGIONS, rd)).unwrap_or_default();
    items.iter().filter_map(|item| item.name(1..=64, rd)).collect()
}

/// The regions of a job, each once.
pub(super) fn of_job(fields: &mut Fields<'_>, rd: &mut Reading<'_>) -> Vec<Region> {
    let items = fields.take("regions").map(|value| value.list(MOST_REGIONS, rd)).unwrap_or_default();
    let mut regions = Vec::new();
    for item in items {
        match item.text(rd).map(|name| name.parse::<Region>()) {
            Some(Ok(region)) if !regions.contains(&region) => regions.push(region),
            Some(Err(invalid)) => rd.fault(&item.path, Code::InvalidValue, invalid.to_string()),
            Some(Ok(_)) | None => {}
        }
    }
    regions
}

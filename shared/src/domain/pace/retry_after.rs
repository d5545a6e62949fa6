//! `Retry-After`: seconds, or a date. <https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3>
//!
//! And `Retry-After-Ms`, in milliseconds, which comes before it:
//! <https://learn.microsoft.com/azure/ai-foundry/openai/how-to/quota>

use super::headers::Headers;
use super::headers::positive;
use super::moment;
use crate::clock::Millis;

pub(super) fn read(headers: &Headers<'_>) -> Option<Millis> {
    if let Some(millis) = headers.number("retry-after-ms").filter(|millis| *millis > 0.0) {
        return moment::later(headers.now, millis / 1_000.0);
    }
    let value = headers.get("retry-after")?;
    match positive(value) {
        Some(seconds) => moment::later(headers.now, seconds),
        // The date is the destination's: its own clock says how far ahead it is.
        None => headers.ahead(moment::http_date(value)?),
    }
}

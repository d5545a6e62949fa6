//! URLs that may be called: as URLs, and as targets (`domain::targets`).
//!
//! Invariant: no message repeats a URL, because it may carry a secret.

use url::Url;

use super::fault::Code;
use super::fields::{Reading, Value};
use crate::domain::id::Destination;

/// Longest URL, in bytes.
pub(super) const LONGEST: usize = 8 * 1024;

/// An absolute http or https URL, in its normal form and without a fragment. `credentials` says where they belong.
pub(super) fn read(value: &Value<'_>, credentials: &str, rd: &mut Reading<'_>) -> Option<String> {
    let text = value.text(rd)?;
    if text.len() > LONGEST {
        rd.fault(&value.path, Code::TooLarge, format!("must have at most {LONGEST} bytes"));
        return None;
    }
    let checked = check(&text, credentials);
    let url = checked.map_err(|message| rd.fault(&value.path, Code::InvalidUrl, message)).ok()?;
    let allowed = rd.limits.targets.check(&url);
    allowed.map_err(|refused| rd.fault(&value.path, Code::TargetRefused, refused.to_string())).ok()?;
    Some(url.into())
}

fn check(text: &str, credentials: &str) -> Result<Url, String> {
    let absolute = "must be an absolute http or https URL, as in `https://api.example.com/v1`";
    if text.trim() != text || text.chars().any(char::is_control) {
        return Err("must not have control characters, or space before or after it".to_owned());
    }
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    if !matches!(scheme.as_deref(), Some("http" | "https")) {
        return Err(absolute.to_owned());
    }
    let mut url = Url::parse(text).map_err(|error| format!("{absolute}: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("must not have a user name or password: {credentials}"));
    }
    if Destination::of(&url).is_none() {
        return Err(absolute.to_owned());
    }
    url.set_fragment(None);
    if url.as_str().len() > LONGEST {
        return Err(format!("must have at most {LONGEST} bytes once it is percent-encoded"));
    }
    Ok(url)
}

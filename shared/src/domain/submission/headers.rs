//! The headers of a request.
//!
//! Invariant: no message repeats a value, nor anything of a name behind its first character that no name may have.

use std::collections::HashSet;

use http::{HeaderName, HeaderValue};

use super::fault::{Code, Path};
use super::fields::{Fields, Reading, Value};

/// Headers that belong to the connection or follow from the request: they are made where it is sent.
pub(super) const RESERVED: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Values of one header at most.
pub(super) const MOST_VALUES: usize = 32;

/// The headers in the order given, names in lower case; a list of values is a header that is repeated.
pub(super) fn read(fields: &mut Fields<'_>, rd: &mut Reading<'_>) -> Vec<(String, String)> {
    let Some(given) = fields.take("headers") else { return Vec::new() };
    let mut seen = HashSet::new();
    let mut headers = Vec::new();
    for (name, value) in given.entries(rd).unwrap_or_default() {
        let Some(name) = checked_name(&name, &given.path, rd) else { continue };
        let path = given.path.field(&name);
        if !seen.insert(name.clone()) {
            let message = "is given more than once; give it once, with a list of its values if there are several";
            rd.fault(&path, Code::DuplicateField, message);
        }
        headers.extend(values(&value.at(path), rd).into_iter().map(|value| (name.clone(), value)));
    }
    check_size(&headers, &given.path, rd);
    headers
}

/// The name in lower case, if the caller may set it.
fn checked_name(name: &str, headers: &Path, rd: &mut Reading<'_>) -> Option<String> {
    let Ok(valid) = HeaderName::from_bytes(name.as_bytes()) else {
        // What follows a colon or a space may be a value that slipped into the name.
        let start: String = name.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
        let message = "must be a header name of letters, digits and `-`; the value goes behind the JSON colon";
        rd.fault(&headers.field(&format!("{start}…")), Code::InvalidHeader, message);
        return None;
    };
    if RESERVED.contains(&valid.as_str()) {
        let message = "is set by the sender of the request; take it out";
        rd.fault(&headers.field(valid.as_str()), Code::ReservedHeader, message);
        return None;
    }
    Some(valid.as_str().to_owned())
}

fn values(value: &Value<'_>, rd: &mut Reading<'_>) -> Vec<String> {
    if value.is_text() {
        return checked_value(value, rd).into_iter().collect();
    }
    if !value.is_list() {
        let message = format!("must be a string, or a list of strings, not {}; put it in quotes", value.kind());
        rd.fault(&value.path, Code::WrongType, message);
        return Vec::new();
    }
    value.list(MOST_VALUES, rd).iter().filter_map(|item| checked_value(item, rd)).collect()
}

fn checked_value(value: &Value<'_>, rd: &mut Reading<'_>) -> Option<String> {
    let text = value.text(rd)?;
    let trimmed = text.trim_matches([' ', '\t']);
    if HeaderValue::from_bytes(trimmed.as_bytes()).is_err() {
        let message = "must not have line breaks or other control characters";
        rd.fault(&value.path, Code::InvalidHeader, message);
        return None;
    }
    Some(trimmed.to_owned())
}

fn check_size(headers: &[(String, String)], path: &Path, rd: &mut Reading<'_>) {
    let (most, most_bytes) = (rd.limits.max_headers, rd.limits.max_header_bytes);
    if headers.len() > most {
        rd.fault(path, Code::TooMany, format!("must be at most {most} headers"));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes as u64 > most_bytes {
        rd.fault(path, Code::TooLarge, format!("must have at most {most_bytes} bytes, names and values together"));
    }
}

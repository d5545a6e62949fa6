//! The top of a JSON object as a list: names that are repeated are seen, and values are looked at one by one.
//!
//! Pure. Invariant: a fault never repeats a value.

use serde_json::error::Category;
use sluice_shared::domain::submission::{Code, Entries, Fault};

/// Longest part of a name that is repeated, in characters.
const LONGEST_NAME: usize = 64;

/// Why there are none.
pub(crate) enum NoEntries {
    /// It is no JSON.
    NotJson(serde_json::Error),
    /// It is no object.
    NoObject(Fault),
}

/// The names and values of an object.
pub(crate) fn read(json: &[u8]) -> Result<Entries<'_>, NoEntries> {
    serde_json::from_slice(json).map_err(|error| match error.classify() {
        Category::Data => NoEntries::NoObject(fault("", Code::WrongType, "must be an object")),
        Category::Io | Category::Syntax | Category::Eof => NoEntries::NotJson(error),
    })
}

/// What is wrong with the field of this name.
pub(crate) fn fault(name: &str, code: Code, message: impl Into<String>) -> Fault {
    let path = name.chars().take(LONGEST_NAME).collect::<String>().escape_debug().to_string();
    Fault { path, code, message: message.into() }
}

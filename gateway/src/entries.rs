//! The top of a JSON object as a list: names that are repeated are seen, and values are looked at one by one.
//!
//! Pure. Invariant: a fault never repeats a value.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use sluice_shared::domain::submission::{Code, Fault};

/// Longest part of a name that is repeated, in characters.
const LONGEST_NAME: usize = 64;

/// An object's names and values in their order.
pub(crate) struct Entries<'a>(pub(crate) Vec<(String, &'a RawValue)>);

/// Why there are none.
pub(crate) enum NoEntries {
    /// It is no JSON.
    NotJson(serde_json::Error),
    /// It is no object.
    NoObject(Fault),
}

impl<'a> Entries<'a> {
    /// The entries of an object.
    pub(crate) fn read(json: &'a [u8]) -> Result<Self, NoEntries> {
        serde_json::from_slice(json).map_err(|error| match error.classify() {
            Category::Data => NoEntries::NoObject(fault("", Code::WrongType, "must be an object")),
            Category::Io | Category::Syntax | Category::Eof => NoEntries::NotJson(error),
        })
    }
}

/// What is wrong with the field of this name.
pub(crate) fn fault(name: &str, code: Code, message: impl Into<String>) -> Fault {
    let path = name.chars().take(LONGEST_NAME).collect::<String>().escape_debug().to_string();
    Fault { path, code, message: message.into() }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder).map(Entries)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

//! What may stand in the path, behind the `?` and in the headers of a request.

use serde_json::{Value, json};

/// A parameter of an operation.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    name: &'static str,
    place: &'static str,
    description: &'static str,
    schema: Value,
}

impl Parameter {
    /// In the path; it must be given.
    pub(crate) fn path(name: &'static str, description: &'static str, schema: Value) -> Self {
        Self { name, place: "path", description, schema }
    }

    /// Behind the `?`; it may be left out.
    pub(crate) fn query(name: &'static str, description: &'static str, schema: Value) -> Self {
        Self { name, place: "query", description, schema }
    }

    /// A header; it may be left out.
    pub(crate) fn header(name: &'static str, description: &'static str, schema: Value) -> Self {
        Self { name, place: "header", description, schema }
    }

    /// `?tenant=` of those that only a key of the operator may name.
    pub(crate) fn tenant(description: &'static str) -> Self {
        let schema = json!({"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9_-]+$"});
        Self::query("tenant", description, schema)
    }

    /// How many items a page has.
    pub(crate) fn limit(description: &'static str, otherwise: usize, most: usize) -> Self {
        let schema = json!({"type": "integer", "minimum": 1, "maximum": most, "default": otherwise});
        Self::query("limit", description, schema)
    }

    pub(super) fn is_tenant(&self) -> bool {
        self.place == "query" && self.name == "tenant"
    }

    pub(super) fn is_in(&self, place: &str) -> bool {
        self.place == place
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "name": self.name, "in": self.place, "description": self.description, "schema": self.schema,
            "required": self.place == "path",
        })
    }
}

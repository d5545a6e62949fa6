//! The document: operations in the places of their routes, answers with all that they may be, schemas once.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use sluice_shared::domain::event::Event;
use sluice_shared::domain::payload::WebhookBody;
use sluice_shared::domain::submission;

use super::responses::{headers, responses};
use crate::access::Need;
use crate::http::{Route, foreign_schemas};
use crate::problem::Problem;

/// Where schemas are.
pub(super) const SCHEMAS: &str = "#/components/schemas/";
/// The name of the one way to be let in.
const BEARER: &str = "apiKey";
/// The parts of the interface, in the order in which they are shown.
const TAGS: [(&str, &str); 8] = [
    ("jobs", "Submit jobs, ask about them, follow, cancel and repeat them"),
    ("queues", "What waits for which destination, and how fast it goes"),
    ("dead-letters", "What was given up"),
    ("keys", "Who is let in"),
    ("secrets", "What jobs name instead of saying it"),
    ("webhook-secrets", "What webhooks are signed with"),
    ("ezthrottle", "The wire of EZThrottle's clients, which work unchanged"),
    ("about", "Health, counts and this document, for anybody"),
];

/// The OpenAPI 3.1 document of these routes.
#[must_use]
pub fn document(routes: &[Route]) -> Value {
    let mut schemas = generator();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in routes {
        let method = route.method.as_str().to_ascii_lowercase();
        paths.entry(route.path).or_default().insert(method, operation(route, &mut schemas));
    }
    let outcome = schemas.subschema_for::<WebhookBody>();
    schemas.subschema_for::<Problem>();
    schemas.subschema_for::<Event>();
    json!({
        "openapi": "3.1.0",
        "info": info(),
        "servers": [{"url": "/", "description": "The gateway that this document comes from"}],
        "security": [{BEARER: []}],
        "tags": tags(),
        "paths": paths,
        "webhooks": {"outcome": {"post": webhook(&json!(outcome))}},
        "components": {
            "schemas": components(&mut schemas),
            "headers": headers(),
            "securitySchemes": {BEARER: {
                "type": "http", "scheme": "bearer", "bearerFormat": "sluice_<id>_<secret>",
                "description": "An API key. An open gateway (`sluice up`) asks for none.",
            }},
        },
    })
}

fn info() -> Value {
    json!({
        "title": "Sluice", "version": env!("CARGO_PKG_VERSION"),
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        "description": "Makes outbound HTTP calls dependable. A job is submitted and answered at once; it is called under the \
            rate of its destination, tried again, raced against its fallbacks, and settled once. Its outcome is posted to webhooks.\n\n\
            Errors are problem details (RFC 9457) with a stable `code`. Times are milliseconds since the epoch. More is said in \
            gateway/HTTP.md.",
    })
}

fn generator() -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().for_serialize().with_transform(RecursiveTransform(left_out));
    settings.with(|settings| settings.definitions_path = "/components/schemas".into()).into_generator()
}

/// What may be absent from an answer is left out of it, and never `null`.
fn left_out(schema: &mut Schema) {
    let Some(schema) = schema.as_object_mut() else { return };
    let always: Vec<Value> = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    let may_be_absent = |name: &String| !always.iter().any(|one| one == name);
    for (_, property) in properties.iter_mut().filter(|(name, _)| may_be_absent(name)) {
        without_null(property);
    }
}

fn without_null(property: &mut Value) {
    let Some(property) = property.as_object_mut() else { return };
    property.remove("default");
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|one| one != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            property.insert("type".to_owned(), only);
        }
    }
    let null = json!({"type": "null"});
    let Some(Value::Array(either)) = property.get_mut("anyOf") else { return };
    either.retain(|one| *one != null);
    if let [Value::Object(only)] = either.as_slice() {
        let only = only.clone();
        property.remove("anyOf");
        property.extend(only);
    }
}

/// The schemas that answers refer to, and those of submissions.
fn components(schemas: &mut SchemaGenerator) -> Map<String, Value> {
    let mut all = schemas.take_definitions(true);
    let by_hand = submission::schemas(SCHEMAS).into_iter().chain(foreign_schemas(SCHEMAS));
    all.extend(by_hand.map(|(name, schema)| (name.to_owned(), schema)));
    all
}

fn operation(route: &Route, schemas: &mut SchemaGenerator) -> Value {
    let of = &route.operation;
    let mut json = json!({
        "operationId": of.id, "summary": of.summary, "tags": [tag(route.path)],
        "responses": responses(route, schemas),
    });
    let mut add = |name: &str, value: Value| json.as_object_mut().map(|json| json.insert(name.to_owned(), value));
    if !of.parameters.is_empty() {
        add("parameters", of.parameters.iter().map(super::Parameter::json).collect());
    }
    if let Some(schema) = &of.body {
        add("requestBody", json!({"required": true, "content": {"application/json": {"schema": schema}}}));
    }
    let description = [of.description.map(str::to_owned), route.need.map(needs)];
    let description: Vec<String> = description.into_iter().flatten().collect();
    if !description.is_empty() {
        add("description", description.join("\n\n").into());
    }
    match route.need {
        Some(Need { scope, operator }) => {
            add("x-scope", scope.as_str().into());
            add("x-operator-only", operator.into());
            // OpenAPI 3.1 lets every kind of scheme name what it takes.
            add("security", json!([{BEARER: [scope.as_str()]}]))
        }
        None => add("security", json!([])),
    };
    json
}

fn needs(need: Need) -> String {
    let whose = if need.operator { " of the operator" } else { "" };
    format!("Takes a key{whose} with the scope `{}`.", need.scope)
}

/// The part of the interface that a path belongs to: one of `TAGS`.
fn tag(path: &str) -> &str {
    let mut parts = path.split('/').skip(1);
    match parts.next() {
        Some("v1") => parts.next().unwrap_or_default(),
        Some("api") => "ezthrottle",
        _ => "about",
    }
}

fn tags() -> Value {
    TAGS.iter().map(|(name, description)| json!({"name": name, "description": description})).collect()
}

/// What is posted to webhooks.
fn webhook(outcome: &Value) -> Value {
    let header = |name: &str, description: &str, required: bool| json!({"name": name, "in": "header", "required": required, "description": description, "schema": {"type": "string"}});
    json!({
        "operationId": "takeOutcome", "summary": "The outcome of a job, as it is posted to its webhooks", "security": [],
        "parameters": [
            header("webhook-id", "The same each time this event is posted", true),
            header("webhook-timestamp", "When this try was made, in seconds since the epoch", true),
            header("webhook-signature", "By Standard Webhooks, where the tenant has secrets", false),
            header("X-EZThrottle-Signature", "Where the tenant's secrets ask for it", false),
        ],
        "requestBody": {"required": true, "content": {"application/json": {"schema": outcome}}},
        "responses": {
            "2XX": {"description": "Taken"},
            "410": {"description": "Never again"},
            "default": {"description": "Posted again later"},
        },
    })
}

#[cfg(test)]
mod tests {
    use sluice_shared::domain::access::Scope;

    use super::*;

    #[test]
    fn every_route_has_a_tag_that_is_said_and_each_tag_a_route() {
        let document = document(&crate::http::routes());
        let methods = document["paths"].as_object().into_iter().flat_map(|paths| paths.values());
        let operations = methods.filter_map(Value::as_object).flat_map(|methods| methods.values());
        let mut used: Vec<&str> = operations.filter_map(|one| one["tags"][0].as_str()).collect();
        used.push("about"); // of those that ask for no key
        for name in &used {
            assert!(TAGS.iter().any(|(tag, _)| tag == name), "{name}");
        }
        assert!(TAGS.iter().all(|(tag, _)| used.contains(tag)), "{used:?}");
    }

    #[test]
    fn every_scope_is_needed_by_some_operation() {
        let document = document(&crate::http::routes()).to_string();
        for scope in Scope::ALL {
            assert!(document.contains(&format!(r#""x-scope":"{scope}""#)), "{scope}");
        }
    }
}

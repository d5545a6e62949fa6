//! What an operation answers: its answers, and of each status the problems that it may be.

use std::collections::BTreeMap;

use http::StatusCode;
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::document::SCHEMAS;
use super::operation::{Answer, Operation};
use super::problems::{KnownProblem, known};
use crate::http::Route;

/// What everything that asks for a key may say.
const OF_THE_DOOR: [&str; 7] =
    ["no_api_key", "unknown_api_key", "expired_api_key", "missing_scope", "not_local", "internal", "unavailable"];

/// All that a route answers, by status.
pub(super) fn responses(route: &Route, schemas: &mut SchemaGenerator) -> Map<String, Value> {
    let mut all = Map::new();
    for answer in &route.operation.answers {
        all.insert(answer.status.as_str().to_owned(), response(answer, &route.operation, schemas));
    }
    let mut problems: BTreeMap<u16, Vec<&KnownProblem>> = BTreeMap::new();
    for code in codes(route) {
        let Some(problem) = known(code) else { continue };
        let of_status = problems.entry(problem.status.as_u16()).or_default();
        if !of_status.contains(&problem) {
            of_status.push(problem);
        }
    }
    for (status, mut problems) in problems {
        problems.sort_by_key(|problem| problem.code);
        all.insert(status.to_string(), refusal(status, &problems, &route.operation));
    }
    all
}

/// The codes of the problems that a route may have.
fn codes(route: &Route) -> Vec<&'static str> {
    let mut codes = route.operation.problems.clone();
    let parameters = &route.operation.parameters;
    if let Some(need) = route.need {
        codes.extend(OF_THE_DOOR);
        codes.extend(need.operator.then_some("operators_only"));
    }
    if parameters.iter().any(|one| one.is_in("path")) {
        codes.push("no_such_route");
    }
    if parameters.iter().any(|one| one.is_in("query")) {
        codes.push("bad_query");
    }
    if parameters.iter().any(super::Parameter::is_tenant) {
        codes.push("other_tenant");
    }
    codes
}

fn response(answer: &Answer, operation: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let mut json = json!({"description": answer.description});
    let mut add = |name: &str, value: Value| json.as_object_mut().map(|json| json.insert(name.to_owned(), value));
    if let Some(content) = &answer.content {
        add("content", json!({content.media_type: {"schema": (content.schema)(schemas)}}));
    }
    let text = |description: &str| json!({"description": description, "required": true, "schema": {"type": "string"}});
    let own = answer.headers.iter().map(|(name, description)| ((*name).to_owned(), text(description)));
    let headers: Map<String, Value> = own.chain(counts(operation)).collect();
    if !headers.is_empty() {
        add("headers", Value::Object(headers));
    }
    if !answer.links.is_empty() {
        add("links", answer.links_json());
    }
    json
}

/// A status whose body is one of these problems.
fn refusal(status: u16, problems: &[&KnownProblem], operation: &Operation) -> Value {
    let lines: Vec<String> = problems.iter().map(|one| format!("- `{}`: {}", one.code, one.meaning)).collect();
    let codes: Vec<&str> = problems.iter().map(|one| one.code).collect();
    let schema = json!({
        "allOf": [{"$ref": format!("{SCHEMAS}{}", operation.problem)}],
        "properties": {"code": {"enum": codes}, "status": {"const": status}},
    });
    let mut headers: Map<String, Value> = Map::new();
    let mut add = |name: &str| headers.insert(name.to_owned(), header(name));
    match StatusCode::from_u16(status) {
        Ok(StatusCode::UNAUTHORIZED) => drop(add("WWW-Authenticate")),
        Ok(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => drop(add("Retry-After")),
        Ok(_) | Err(_) => {}
    }
    headers.extend(counts(operation));
    json!({
        "description": lines.join("\n"), "headers": headers,
        "content": {"application/problem+json": {"schema": schema}},
    })
}

/// What answers say of quotas.
fn counts(operation: &Operation) -> impl Iterator<Item = (String, Value)> {
    let names = if operation.is_counted { ["RateLimit", "RateLimit-Policy"].as_slice() } else { &[] };
    names.iter().map(|name| ((*name).to_owned(), header(name)))
}

fn header(name: &str) -> Value {
    json!({"$ref": format!("#/components/headers/{name}")})
}

/// The headers that answers refer to.
pub(super) fn headers() -> Value {
    let text = json!({"type": "string"});
    json!({
        "Retry-After": {
            "description": "Seconds after which the same is worth repeating", "required": true,
            "schema": {"type": "integer", "minimum": 1},
        },
        "WWW-Authenticate": {"description": "What is wanted (RFC 6750, section 3)", "required": true, "schema": text},
        "RateLimit": {"description": "What is left of the key's quotas, where it has any that are over a time", "schema": text},
        "RateLimit-Policy": {"description": "The key's quotas, where it has any that are over a time", "schema": text},
    })
}

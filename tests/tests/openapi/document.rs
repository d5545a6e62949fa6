//! What is in the document, and where it is found.

use std::collections::BTreeSet;

use serde_json::Value;
use sluice_gateway::http::{document, routes};
use sluice_tests::program;
use sluice_tests::system::{Setup, System};

#[test]
fn every_route_has_its_operation_with_the_parameters_of_its_path_and_a_name_of_its_own() {
    let document = document();
    let mut names = BTreeSet::new();
    for route in routes() {
        let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
        assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{operation}");
        let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let given = operation["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "path");
        let given: Vec<&str> = given.map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(in_path.collect::<Vec<_>>(), given, "{}", route.path);
        assert_eq!(operation["x-scope"], route.need.unwrap().scope.as_str());
        for status in ["401", "403", "500", "503"] {
            assert!(operation["responses"][status].is_object(), "{} has no {status}", route.path);
        }
    }
}

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|one| references(one, found));
        }
        Value::Array(items) => items.iter().for_each(|one| references(one, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn whatever_is_referred_to_is_there() {
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 40, "{found:?}");
    for reference in found {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn a_gateway_shows_it_to_anybody_and_so_does_the_command_line() {
    let setup = Setup { workers: 0, deliveries: 0, ..Setup::default() };
    let system = System::start(setup).await;
    let client = system.client();
    let shown = client.send(http::Method::GET, "/openapi.json", &[], None).await;
    let document: Value = serde_json::from_str(&document().to_string()).unwrap();
    assert!(shown.body == document, "the gateway shows another document");
    let page = client.send(http::Method::GET, "/docs", &[], None).await;
    assert_eq!(page.status, 200, "{page:?}");
    let printed = std::process::Command::new(program()).arg("openapi").output().unwrap();
    assert!(serde_json::from_slice::<Value>(&printed.stdout).unwrap() == document, "another one is printed");
}

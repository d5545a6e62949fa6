//! What the document says of values, by a validator of JSON Schema.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sluice_gateway::http::document;
use sluice_tests::python;

/// A value, and where its schema is: a JSON pointer into the document.
pub(crate) type Case = (String, Value);

/// Where a schema with a name is.
pub(crate) fn named(name: &str) -> String {
    format!("/components/schemas/{name}")
}

/// Where the schema of the body is that an operation takes.
pub(crate) fn taken_by(path: &str, method: &str) -> String {
    let path = path.replace('/', "~1");
    format!("/paths/{path}/{method}/requestBody/content/application~1json/schema")
}

/// Why each is not what its schema says, if it is not. A field that no schema names is wrong too.
pub(crate) fn why_not(cases: &[Case]) -> Vec<Option<String>> {
    let document = document();
    for (pointer, _) in cases {
        assert!(document.pointer(pointer).is_some(), "{pointer} is not in the document");
    }
    let mut script = Command::new(python::with_schemathesis());
    script.arg(python::script("conforms.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = script.spawn().unwrap();
    let given = json!({"document": document, "cases": cases});
    // The script reads all of it before it says anything.
    serde_json::to_writer(running.stdin.take().unwrap(), &given).unwrap();
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "conforms.py failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

//! Codes of problems: the same in the sources, in the document and in `gateway/HTTP.md`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sluice_gateway::openapi::PROBLEMS;

const WRITTEN: &str = include_str!("../../../gateway/HTTP.md");

fn known() -> BTreeSet<(u16, String)> {
    PROBLEMS.iter().map(|problem| (problem.status.as_u16(), problem.code.to_owned())).collect()
}

/// The Rust files under a directory; what only NATS clients are told is left out.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let each = entries.filter(|path| !path.ends_with("src/nats"));
    each.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// Each `StatusCode::…, "code"` in the sources but the catalogue's own.
fn in_sources() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("gateway/src");
    let mut found = BTreeSet::new();
    for path in sources(&root).iter().filter(|path| !path.ends_with("openapi/problems.rs")) {
        let text = std::fs::read_to_string(path).unwrap();
        for rest in text.split("StatusCode::").skip(1) {
            let after = rest.trim_start_matches(|letter: char| letter.is_ascii_uppercase() || letter == '_');
            let Some(code) = after.trim_start_matches(',').trim_start().strip_prefix('"') else { continue };
            let code = code.split('"').next().unwrap();
            if after.starts_with(',') && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                found.insert(code.to_owned());
            }
        }
    }
    found
}

#[test]
fn every_code_of_the_sources_is_in_the_catalogue_and_no_other() {
    let known: BTreeSet<String> = known().into_iter().map(|(_, code)| code).collect();
    assert_eq!(in_sources(), known);
}

#[test]
fn every_code_is_in_the_document_but_those_of_no_operation_and_in_http_md() {
    let document = sluice_gateway::http::document().to_string();
    for (status, code) in known() {
        let of_no_operation = code == "method_not_allowed";
        assert_eq!(document.contains(&format!("\"{code}\"")), !of_no_operation, "{code} in the document");
        assert!(WRITTEN.contains(&format!("`{code}`")), "{code} ({status}) is not in HTTP.md");
    }
}

/// The codes that stand behind a status in HTTP.md: `404 `no_such_job``, and in tables `| 409 | `a`, `b` |`.
fn written() -> BTreeSet<(u16, String)> {
    let words: Vec<&str> = WRITTEN.split_whitespace().filter(|word| *word != "|").collect();
    let mut found = BTreeSet::new();
    let mut status = None;
    for word in words {
        let number = word.parse::<u16>().ok().filter(|number| (400..600).contains(number));
        let code = word.trim_matches(|c| "`,.;:()".contains(c));
        let is_code =
            word.starts_with('`') && !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        match (number, status) {
            (Some(number), _) => status = Some(number),
            (None, Some(of)) if is_code => {
                found.insert((of, code.to_owned()));
                status = word.ends_with(',').then_some(of);
            }
            (None, _) => status = None,
        }
    }
    found
}

#[test]
fn what_http_md_says_of_a_code_is_its_status() {
    let (written, known) = (written(), known());
    assert!(written.len() > 30, "{written:?}");
    let wrong: Vec<_> = written.difference(&known).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

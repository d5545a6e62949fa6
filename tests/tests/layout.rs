//! What the layout of the sources promises: some things are done in one place only.
//!
//! Comments and tests are not looked at; what is looked for are the names without which the thing cannot be done.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::path::{Path, PathBuf};

/// A line of the program proper, and where it stands.
struct Line {
    file: String,
    number: usize,
    text: String,
}

/// All lines of the crates but for comments and tests.
fn lines() -> Vec<Line> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut lines = Vec::new();
    for part in ["shared", "gateway", "workers", "deploy"] {
        for path in sources(&root.join(part).join("src")) {
            let file = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.lines().take_while(|line| line.trim() != "mod tests {").enumerate();
            let code = code.filter(|(_, line)| !line.trim_start().starts_with("//"));
            lines.extend(code.map(|(at, line)| Line { file: file.clone(), number: at + 1, text: line.to_owned() }));
        }
    }
    assert!(lines.len() > 5_000, "only {} lines were found", lines.len());
    lines
}

/// The Rust files under a directory, those of tests left out.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name == "tests" || name.ends_with("_tests") {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Where a line that is `wanted` stands outside the places that may have it: files, or directories that end with `/`.
/// Each place must have one, or the rule guards nothing.
fn strays(places: &[&str], wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let lines: Vec<Line> = lines().into_iter().filter(|line| wanted(&line.text)).collect();
    let is_in = |line: &Line, place: &str| line.file == place || place.ends_with('/') && line.file.starts_with(place);
    for place in places {
        assert!(lines.iter().any(|line| is_in(line, place)), "{place} has no such line any more: name its new place");
    }
    let outside = lines.iter().filter(|line| !places.iter().any(|place| is_in(line, place)));
    outside.map(|line| format!("{}:{}: {}", line.file, line.number, line.text.trim())).collect()
}

fn nowhere_else(places: &[&str], wanted: impl Fn(&str) -> bool) {
    let strays = strays(places, wanted);
    assert!(strays.is_empty(), "\n{}", strays.join("\n"));
}

const GUARDED: &str = "shared/src/nats/guarded.rs";
/// What Sluice is held against in benchmarks, on a broker of its own: no role sees its messages.
const FLOORS: &str = "deploy/src/bench/floor/";
const SUBJECT: &str = "shared/src/topology/subject.rs";
const CLOCK: &str = "shared/src/clock/mod.rs";
const WIRE: &str = "shared/src/wire.rs";

/// The subject of a job's message in one stage is made by `JobSubject::at(prefix, stage)`: no other way leads to it.
#[test]
fn only_the_guarded_publish_makes_the_subject_of_a_jobs_message() {
    let makes_one = |line: &str| {
        let mut arguments = line.split(".at(").skip(1);
        arguments.any(|rest| rest.is_empty() || rest.contains("prefix") && rest.to_lowercase().contains("stage"))
    };
    nowhere_else(&[GUARDED, FLOORS], makes_one);
}

/// Nobody writes the stages of a job's message down as text but the topology that names them.
#[test]
fn only_the_topology_knows_the_subjects_of_work_timers_and_what_is_due() {
    let spelled_out = |line: &str| {
        ["jobs.", "later.", "due."]
            .iter()
            .any(|stage| line.contains(&format!("}}.{stage}")) || line.contains(&format!("\"sluice.{stage}")))
    };
    nowhere_else(&["shared/src/topology/names.rs"], spelled_out);
}

/// What is published there carries an expectation, and a timer its schedule.
#[test]
fn expectations_and_schedules_are_known_to_the_broker_module_alone() {
    let header = |line: &str| line.contains("Nats-Expected-Last") || line.contains("Nats-Schedule");
    nowhere_else(&["shared/src/nats/publish.rs"], header);
}

/// Results, announcements and events are published by effects, answers to requests by the NATS service, all else by the
/// broker module.
#[test]
fn nobody_publishes_but_the_broker_module_effects_and_who_answers_requests() {
    let publishes = |line: &str| line.contains(".publish(") || line.contains(".publish_with_");
    let effects = ["shared/src/effects/perform.rs", "shared/src/effects/tell.rs"];
    nowhere_else(&["shared/src/nats/", effects[0], effects[1], "gateway/src/nats/answer.rs", FLOORS], publishes);
}

/// What a route takes is said where it is added; health and metrics take nothing.
#[test]
fn no_route_is_added_but_through_the_table_that_says_what_it_takes() {
    let adds = |line: &str| [".route(", ".route_service(", ".nest("].iter().any(|call| line.contains(call));
    let found = strays(&["gateway/src/http/routes.rs"], adds);
    let gateways: Vec<&String> = found.iter().filter(|stray| stray.starts_with("gateway/")).collect();
    assert!(gateways.is_empty(), "{gateways:#?}");
}

/// Whoever makes a key is shown it, once; nobody else makes text of a secret.
#[test]
fn the_secret_of_a_key_is_shown_in_one_place() {
    nowhere_else(&["gateway/src/keys/body.rs"], |line| line.contains(".reveal()"));
}

#[test]
fn only_the_wire_speaks_message_pack() {
    nowhere_else(&[WIRE], |line| line.contains("rmp_serde") || line.contains("rmp::"));
}

/// And nobody but the signature of webhooks makes one; the seal makes names by the same means.
#[test]
fn only_the_seal_ciphers_and_only_the_signature_signs() {
    nowhere_else(&["shared/src/seal/"], |line| line.contains("chacha20poly1305"));
    nowhere_else(&["shared/src/domain/signature.rs", "shared/src/seal/"], |line| line.contains("hmac::"));
}

/// What is sealed is opened where it is sent: its headers by one call, its secrets by another.
#[test]
fn only_an_attempt_opens_the_headers_of_a_request_and_fills_in_its_secrets() {
    let opens = |line: &str| line.contains("sealing().headers(") || line.contains("secrets.fill(");
    nowhere_else(&["workers/src/attempt.rs"], opens);
}

#[test]
fn only_the_clock_reads_the_wall_clock() {
    let reads = |line: &str| line.contains("SystemTime::now") || line.contains("now_utc") || line.contains("now_local");
    nowhere_else(&[CLOCK], reads);
}

/// What tests, the demo and benchmarks call with is their own.
#[test]
fn no_client_of_the_roles_is_made_but_where_its_targets_are_checked() {
    let makes = |line: &str| {
        ["Client::builder", "Client::new(", "TcpStream::connect", "lookup_host("].iter().any(|way| line.contains(way))
    };
    let found = strays(&["workers/src/targets/"], makes);
    let roles = ["shared/src/", "gateway/src/", "workers/src/"];
    let astray: Vec<&String> = found.iter().filter(|stray| roles.iter().any(|role| stray.starts_with(role))).collect();
    assert!(astray.is_empty(), "{astray:#?}");
}

/// And whoever starts a cluster, to see that it can.
#[test]
fn only_the_topology_makes_streams_and_buckets() {
    let makes = |line: &str| {
        let calls = ["create_stream(", "create_or_update_stream(", "get_or_create_stream(", "create_key_value("];
        calls.iter().any(|call| line.contains(call))
    };
    nowhere_else(&["shared/src/topology/create.rs", "deploy/src/bench/servers.rs"], makes);
}

#[test]
fn the_pure_core_knows_no_clock_no_runtime_no_broker_and_no_chance() {
    let impure = |line: &str| {
        ["tokio", "async_nats", "async fn", "clock::now", "Instant::now", "rand::", "std::fs", "std::net", "std::env"]
            .iter()
            .any(|word| line.contains(word))
    };
    let found = strays(&[], impure);
    let core: Vec<&String> = found.iter().filter(|stray| stray.starts_with("shared/src/domain/")).collect();
    assert!(core.is_empty(), "{core:#?}");
}

#[test]
fn a_rule_finds_what_it_looks_for_and_says_where() {
    let found = strays(&[], |line| line.contains("pub fn any_stage"));
    assert!(matches!(found.as_slice(), [one] if one.starts_with(SUBJECT)), "{found:?}");
}

#![allow(clippy::unwrap_used, reason = "a configuration that cannot be read fails the test")]

use std::time::Duration;

use super::*;

fn refusal(text: &str) -> String {
    Config::from_toml(text).unwrap_err().to_string()
}

#[test]
fn the_compiled_in_configuration_is_valid() {
    let config = Config::default();
    assert_eq!(config.worker.response_limit, Bytes(1 << 20));
    assert_eq!(config.retry.codes[2], StatusRange { first: 500, last: 599 });
    assert_eq!(config.delivery.retry.len(), 9);
}

#[test]
fn a_file_goes_over_the_defaults_and_the_environment_over_the_file() {
    let text = "[worker]\nslots = 7\n[gate.destinations.\"a.example:81\"]\nrate = 0.5\n";
    let environment = [
        ("SLUICE_WORKER__SLOTS".to_owned(), "9".to_owned()),
        ("SLUICE_NATS_URL".to_owned(), "nats://there:1".to_owned()),
        ("SLUICE_CACHE_DIR".to_owned(), "/x".to_owned()),
        ("SLUICE_WORKER__MAX_AGE".to_owned(), "2h".to_owned()),
    ];
    let config = Config::from_parts(Some(text), environment).unwrap();
    assert_eq!((config.worker.slots, config.nats.url.as_str()), (9, "nats://there:1"));
    assert_eq!(config.worker.max_age, Duration::from_secs(7200));
    assert_eq!(config.gate.destinations["a.example:81"].rate, Some(0.5));
}

#[test]
fn an_unknown_key_is_named() {
    assert!(refusal("[worker]\nslotz = 7\n").contains("slotz"));
    assert!(refusal("[workers]\nslots = 7\n").contains("workers"));
}

#[test]
fn a_value_of_the_wrong_kind_names_its_key() {
    let said = refusal("[worker]\nack_wait = \"soon\"\n");
    assert!(said.contains("ack_wait"), "{said}");
}

#[test]
fn all_values_that_are_not_allowed_are_named_at_once() {
    let said = refusal("[worker]\nack_wait = \"1s\"\n[topology]\nreplicas = 2\nprefix = \"A.B\"\n[gate]\nrate = 0.0\n");
    for key in ["worker.ack_wait", "topology.replicas", "topology.prefix", "gate.rate"] {
        assert!(said.contains(key), "{key} in {said}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let config = Config::from_toml("[nats]\nuser = \"u\"\npassword = \"hunter2\"\n").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

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

fn with(environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_parts(None, environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

#[test]
fn every_kind_of_value_can_come_from_the_environment() {
    let config = with(&[
        ("SLUICE_NATS__PASSWORD", "007"),
        ("SLUICE_NATS__USER", "true"),
        ("SLUICE_NATS__TLS_REQUIRED", "true"),
        ("SLUICE_GATE__RATE", "0.25"),
        ("SLUICE_WORKER__RESPONSE_LIMIT", "64 KiB"),
        ("SLUICE_GATEWAY__LISTEN", "0.0.0.0:80"),
        ("SLUICE_TOPOLOGY__CONSUMER_STORAGE", "memory"),
        ("SLUICE_RETRY__CODES", "409, 5xx"),
        ("SLUICE_DELIVERY__RETRY", "1s,2m"),
    ])
    .unwrap();
    assert_eq!((config.nats.password.as_deref(), config.nats.user.as_deref()), (Some("007"), Some("true")));
    assert!(config.nats.tls_required && config.topology.consumer_storage == ConsumerStorage::Memory);
    assert_eq!((config.gate.rate, config.worker.response_limit), (0.25, Bytes(64 << 10)));
    assert_eq!(config.gateway.listen.port(), 80);
    let codes = [StatusRange { first: 409, last: 409 }, StatusRange { first: 500, last: 599 }];
    assert_eq!(config.retry.codes, codes);
    assert_eq!(config.delivery.retry, [Pause(Duration::from_secs(1)), Pause(Duration::from_secs(120))]);
}

#[test]
fn lists_of_targets_come_from_the_file_and_the_environment() {
    let text = "[targets]\ndeny_networks = [\"10.0.0.0/8\"]\n[targets.tenants.acme]\nonly_ports = [443]\n";
    let lists = [
        ("SLUICE_TARGETS__ALLOW_NETWORKS", "10.1.0.0/16, fd00::/8"),
        ("SLUICE_TARGETS__ONLY_HOSTS", "*.example.com,api.example"),
        ("SLUICE_TARGETS__DENY_PORTS", "25,465"),
    ];
    let environment = lists.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let targets = Config::from_parts(Some(text), environment).unwrap().targets;
    assert_eq!((targets.allow_networks.len(), targets.deny_networks.len()), (2, 1));
    assert_eq!((targets.only_hosts.len(), targets.deny_ports.as_slice()), (2, [25, 465].as_slice()));
    let acme = &targets.tenants[&"acme".parse().unwrap()];
    assert_eq!((acme.only_ports.as_slice(), acme.deny_ports.len()), ([443].as_slice(), 0));
}

#[test]
fn a_list_of_targets_that_means_something_else_is_refused_with_its_key_and_what_to_write() {
    for (text, said) in [
        ("allow_networks = [\"10.0.0.1/8\"]", "write the network, `10.0.0.0/8`"),
        ("deny_hosts = [\"http://a.example/\"]", "is no host"),
        ("only_ports = [0]", "targets.only_ports must be ports from 1"),
        ("only_ports = [70000]", "only_ports"),
        ("tenants.acme.deny_ports = [0]", "targets.tenants.acme.deny_ports"),
        ("tenants.\"a b\".deny_ports = [1]", "a tenant must be"),
        ("tenants.acme.allow_ports = [1]", "allow_ports"),
    ] {
        let refused = refusal(&format!("[targets]\n{text}\n"));
        assert!(refused.contains(said), "{text}: {refused}");
    }
}

#[test]
fn the_longer_name_of_the_broker_wins_whichever_comes_first() {
    let (short, long) = (("SLUICE_NATS_URL", "nats://short"), ("SLUICE_NATS__URL", "nats://long"));
    for environment in [[short, long], [long, short]] {
        assert_eq!(with(&environment).unwrap().nats.url, "nats://long");
    }
}

#[test]
fn a_fault_in_the_environment_is_named_too() {
    let said = with(&[("SLUICE_WORKER__SLOTZ", "1"), ("SLUICE_GATE__BURST", "0")]).unwrap_err().to_string();
    assert!(said.contains("slotz") && said.contains("gate.burst"), "{said}");
}

#[test]
fn faults_of_several_sections_are_named_at_once_with_what_is_allowed() {
    let said = refusal(
        "[worker]\nslotz = 7\n[log]\nformat = \"xml\"\n[retry]\ncodes = [\"6xx\"]\n[gate]\nburst = 0\n[extra]\n\
         [delivery]\ntimeout = \"soon\"\n",
    );
    for part in
        ["slotz", "response_limit", "write \"auto\"", "6xx", "gate.burst must be at least 1", "[extra]", "timeout"]
    {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn a_log_filter_and_a_destination_that_mean_nothing_are_refused() {
    let said = refusal("[log]\nfilter = \"sluice=loudly\"\n[gate.destinations.\"https://A.example/\"]\nburst = 1\n");
    assert!(said.contains("log.filter") && said.contains("https://A.example/"), "{said}");
}

#[test]
fn what_accounts_share_without_a_rate_and_what_is_no_header_are_refused() {
    let said = refusal(
        "[gate.destinations.\"a.example\"]\nshared_burst = 2\nshared_concurrency = 0\naccount_from = \"X-Key\"\n",
    );
    for part in ["shared_burst is about all accounts", "shared_concurrency must be at least 1", "account_from must be"]
    {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn text_that_is_no_toml_is_refused_without_quoting_it() {
    let said = refusal("[nats]\npassword = \"hunter2\n");
    assert!(said.contains("line 2") && !said.contains("hunter2"), "{said}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let said = Config::load(Some(Path::new("/nowhere/sluice.toml"))).unwrap_err().to_string();
    assert!(said.contains("/nowhere/sluice.toml"), "{said}");
}

#[test]
fn a_gateway_asks_for_keys_unless_it_is_told_otherwise() {
    assert_eq!(Config::default().gateway.auth, Auth::Keys);
    assert_eq!(with(&[("SLUICE_GATEWAY__AUTH", "open")]).unwrap().gateway.auth, Auth::Open);
    assert!(refusal("[gateway]\nauth = \"none\"\n").contains("write \"keys\" or \"open\""));
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

#[test]
fn the_file_for_a_cluster_is_valid() {
    let config = Config::from_toml(include_str!("../../../deploy/config/cluster.toml")).unwrap();
    assert_eq!((config.topology.replicas, config.topology.consumer_storage), (3, ConsumerStorage::Memory));
}

#[test]
fn keys_to_seal_with_are_checked_and_neither_they_nor_secrets_are_quoted() {
    let faults = |text: &str| match Config::from_toml(text) {
        Err(ConfigError::Refused(faults)) => faults.join("\n"),
        other => panic!("{text}: {other:?}"),
    };
    let text = "[secrets]\nkey = 'canary'\nprevious_key = 'canary'\nprevious_key_file = 'x'\nseal_headers = ['A b']\n\
                [secrets.static.'a b']\n'c d' = \"canary\\n\"\n";
    let said = faults(text);
    for key in
        ["secrets.key must", "secrets.previous_key and", "secrets.seal_headers", "secrets.static.a b must", "a b.c d"]
    {
        assert!(said.contains(key), "{key}: {said}");
    }
    assert!(!said.contains("canary"), "{said}");
    assert!(faults("[secrets]\nprevious_key_file = 'x'").contains("secrets.previous_key needs secrets.key"));
    let variable = ("SLUICE_SECRETS__STATIC__DEFAULT__OPENAI".to_owned(), "canary".to_owned());
    let config = Config::from_parts(None, [variable]).unwrap();
    assert_eq!(config.secrets.fixed["default"]["openai"], "canary");
    assert!(!format!("{config:?}").contains("canary"));
}

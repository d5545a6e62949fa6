#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::os::unix::fs::PermissionsExt as _;

use sluice_shared::config::Config;

use super::*;
use crate::cli::configuration;

fn wanted(add: &[NewTenant], remove: &[&str]) -> Wanted {
    Wanted {
        topology: Topology::new(configuration::topology(&Config::default())),
        max_wait: Duration::from_secs(60),
        passwords: false,
        add: add.to_vec(),
        remove: remove.iter().map(|name| name.parse().unwrap()).collect(),
    }
}

fn tenant(name: &str) -> NewTenant {
    NewTenant { name: name.parse().unwrap(), key: None }
}

fn text(dir: &Path) -> String {
    std::fs::read_to_string(dir.join(FILE)).unwrap()
}

#[test]
fn who_was_let_in_stays_and_who_is_removed_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    keep(dir.path(), &wanted(&[tenant("acme")], &[])).unwrap();
    let seed = std::fs::read_to_string(dir.path().join("tenants/acme.nk")).unwrap();
    let before = text(dir.path());
    let kept = keep(dir.path(), &wanted(&[tenant("acme"), tenant("globex")], &[])).unwrap();
    assert_eq!(kept.tenants.iter().map(Tenant::as_str).collect::<Vec<_>>(), ["acme", "globex"]);
    assert_eq!(std::fs::read_to_string(dir.path().join("tenants/acme.nk")).unwrap(), seed);
    keep(dir.path(), &wanted(&[], &["globex"])).unwrap();
    assert_eq!(text(dir.path()), before);
    assert!(keep(dir.path(), &wanted(&[], &["globex"])).is_err());
}

#[test]
fn seeds_are_for_their_owner_alone_and_none_is_in_the_file_for_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let kept = keep(dir.path(), &wanted(&[tenant("acme")], &[])).unwrap();
    assert_eq!(kept.seeds.len(), 5);
    let (text, acme) = (text(dir.path()), dir.path().join("tenants/acme.nk"));
    for file in kept.seeds.iter().chain([&acme]) {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
        let seed = std::fs::read_to_string(file).unwrap();
        assert!(seed.starts_with("SU") && !text.contains(seed.trim()), "{}", file.display());
        assert!(text.contains(&keys::of_seed_file(file).unwrap().to_string()));
    }
}

#[test]
fn a_tenant_may_keep_its_seed_and_what_is_no_public_key_is_refused_without_being_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let key: PublicKey = keys::of_seed_file(&dir.path().join("theirs")).unwrap();
    let own = NewTenant { key: Some(key.clone()), ..tenant("acme") };
    keep(dir.path(), &wanted(&[own.clone(), tenant("globex")], &[])).unwrap();
    assert!(text(dir.path()).contains(&format!("nkey: {key}")));
    assert!(!dir.path().join("tenants/acme.nk").exists());
    keep(dir.path(), &wanted(&[tenant("acme")], &[])).unwrap();
    assert!(!dir.path().join("tenants/acme.nk").exists());
    let of_globex = NewTenant { name: "globex".parse().unwrap(), ..own };
    assert!(keep(dir.path(), &wanted(&[of_globex], &[])).is_err());
    let seed = std::fs::read_to_string(dir.path().join("theirs")).unwrap();
    assert!(!seed.trim().parse::<PublicKey>().unwrap_err().contains(seed.trim()));
}

#[test]
fn the_file_for_the_cluster_is_what_would_be_written_for_it() {
    let config = Config::from_toml(include_str!("../../config/cluster.toml")).unwrap();
    let topology = Topology::new(configuration::topology(&config));
    let dir = tempfile::tempdir().unwrap();
    let max_wait = config.gateway.max_wait;
    keep(dir.path(), &Wanted { topology, max_wait, passwords: true, ..wanted(&[], &[]) }).unwrap();
    let committed = include_str!("../../config/accounts.conf");
    assert!(
        committed == text(dir.path()),
        "run `sluice nats-config --passwords --config deploy/config/cluster.toml --dir deploy/config`"
    );
}

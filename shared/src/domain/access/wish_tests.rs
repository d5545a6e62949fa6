#![allow(clippy::unwrap_used, reason = "a key that is refused fails the test")]

use super::super::scope::Scope;
use super::super::secret::Secret;
use super::*;

const NOW: Millis = Millis(1_000);

fn id(byte: u8) -> KeyId {
    KeyId::from_random([byte; 10])
}

fn hash() -> SecretHash {
    Secret::from_random([1; 32]).hash()
}

fn wish(tenant: Option<&str>) -> Wish {
    Wish {
        tenant: tenant.map(|name| name.parse().unwrap()),
        scopes: Scopes::from([Scope::Admin]),
        label: "one".into(),
        expires_at: None,
        quotas: Quotas::default(),
    }
}

fn limited(jobs_per_day: u64) -> Quotas {
    Quotas { jobs_per_day: Some(jobs_per_day), ..Quotas::default() }
}

fn granted(wish: Wish, maker: Option<(&KeyId, &Key)>) -> Key {
    wish.grant(maker, hash(), NOW).unwrap()
}

fn faults(wish: Wish) -> Vec<String> {
    match wish.grant(None, hash(), NOW) {
        Err(MayNot::Invalid(faults)) => faults.into_iter().map(|fault| fault.path).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_and_the_operators_keys_make_any_key() {
    let operator = granted(wish(None), None);
    assert!(operator.is_operators() && operator.ceilings.is_empty());
    let by = Some((&id(1), &operator));
    assert!(granted(wish(None), by).is_operators());
    let key = granted(wish(Some("acme")), by);
    assert_eq!((key.created_by, key.tenant.unwrap().as_str()), (Some(id(1)), "acme"));
}

#[test]
fn a_tenants_key_makes_keys_of_its_tenant_only() {
    let acme = granted(wish(Some("acme")), None);
    let by = Some((&id(1), &acme));
    assert_eq!(granted(wish(Some("acme")), by).tenant, acme.tenant);
    for other in [None, Some("other")] {
        assert_eq!(wish(other).grant(by, hash(), NOW), Err(MayNot::Reach));
    }
}

#[test]
fn a_key_made_with_a_tenants_key_lives_no_longer_than_that() {
    let maker = granted(Wish { expires_at: Some(Millis(5_000)), ..wish(Some("acme")) }, None);
    let by = Some((&id(1), &maker));
    for (asked, given) in [(None, 5_000), (Some(9_000), 5_000), (Some(2_000), 2_000)] {
        let key = granted(Wish { expires_at: asked.map(Millis), ..wish(Some("acme")) }, by);
        assert_eq!(key.expires_at, Some(Millis(given)));
    }
}

#[test]
fn what_is_submitted_with_such_a_key_counts_against_all_that_stand_above_it() {
    let first = granted(Wish { quotas: limited(10), ..wish(Some("acme")) }, None);
    let second = granted(Wish { quotas: limited(99), ..wish(Some("acme")) }, Some((&id(1), &first)));
    let third = granted(wish(Some("acme")), Some((&id(2), &second)));
    let limits: Vec<_> = third.limits(&id(3)).map(|(key, quotas)| (key.clone(), *quotas)).collect();
    assert_eq!(limits, [(id(1), limited(10)), (id(2), limited(99))]);
    let mut key = third;
    for depth in 3..9 {
        match (Wish { quotas: limited(5), ..wish(Some("acme")) }).grant(Some((&id(depth), &key)), hash(), NOW) {
            Ok(next) => key = next,
            Err(error) => return assert_eq!(error, MayNot::TooDeep),
        }
    }
    panic!("keys were made with keys without an end");
}

#[test]
fn the_smallest_body_of_all_counts() {
    let bytes = |body_bytes| Quotas { body_bytes, ..Quotas::default() };
    let maker = granted(Wish { quotas: bytes(Some(100)), ..wish(Some("acme")) }, None);
    for (own, counts) in [(None, 100), (Some(50), 50), (Some(500), 100)] {
        let key = granted(Wish { quotas: bytes(own), ..wish(Some("acme")) }, Some((&id(1), &maker)));
        assert_eq!(key.body_bytes(), Some(counts));
    }
    assert_eq!(granted(wish(Some("acme")), None).body_bytes(), None);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let nothing = Wish {
        tenant: Some("_".parse().unwrap()),
        scopes: Scopes::new(),
        label: format!("{}\n", "a".repeat(100)),
        expires_at: Some(NOW),
        quotas: Quotas {
            jobs_per_second: Some(0),
            jobs_per_day: Some(Quotas::MOST + 1),
            open_jobs: Some(1),
            body_bytes: None,
        },
    };
    let paths = ["tenant", "scopes", "label", "label", "expires_at", "quotas.jobs_per_second", "quotas.jobs_per_day"];
    assert_eq!(faults(nothing), paths);
}

#[test]
fn a_key_expires_at_its_moment_and_one_without_never() {
    let key = granted(Wish { expires_at: Some(Millis(5_000)), ..wish(None) }, None);
    assert!(!key.has_expired(Millis(4_999)) && key.has_expired(Millis(5_000)));
    assert!(!granted(wish(None), None).has_expired(Millis(u64::MAX)));
}

//! The tables: what each address is for, what each way of writing one comes to, and what the lists do.

#![allow(clippy::unwrap_used, reason = "a URL or a list that cannot be read fails the test")]

use core::net::{IpAddr, Ipv6Addr};

use proptest::prelude::*;
use url::Url;

use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn policy(lists: &str) -> Policy {
    serde_json::from_str(lists).unwrap()
}

fn allows(policy: &Policy, url: &str) -> bool {
    policy.check(&Url::parse(url).unwrap()).is_ok()
}

const KINDS: [(Kind, &[&str]); 12] = [
    (
        Kind::Public,
        &[
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2a00::1",
            "3ffe::1",
        ],
    ),
    (Kind::Unspecified, &["0.0.0.0", "0.1.2.3", "0.255.255.255", "::"]),
    (
        Kind::Private,
        &[
            "10.0.0.0",
            "10.255.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.0.1",
            "192.168.255.255",
            "fc00::1",
            "fd12:3456::1",
            "fdff:ffff::1",
            "fec0::1",
        ],
    ),
    (Kind::Shared, &["100.64.0.0", "100.127.255.255"]),
    (Kind::Loopback, &["127.0.0.1", "127.0.0.0", "127.255.255.255", "::1"]),
    (Kind::LinkLocal, &["169.254.0.0", "169.254.255.255", "fe80::1", "febf::1"]),
    (
        Kind::Metadata,
        &[
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
        ],
    ),
    (Kind::Documentation, &["192.0.2.1", "198.51.100.1", "203.0.113.255", "2001:db8::1", "3fff::1", "3fff:fff::1"]),
    (Kind::Benchmarking, &["198.18.0.0", "198.19.255.255", "2001:2::1"]),
    (Kind::Multicast, &["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"]),
    (Kind::Broadcast, &["255.255.255.255"]),
    (
        Kind::Reserved,
        &[
            "192.0.0.1",
            "192.88.99.1",
            "240.0.0.0",
            "255.255.255.254",
            "100::1",
            "2001:1::1",
            "2001:10::1",
            "2001:1ff::1",
            "4000::1",
            "5f00::1",
            "::2",
            "fe00::1",
            "64:ff9b:2::1",
        ],
    ),
];

#[test]
fn each_address_is_of_one_kind_and_only_public_ones_may_be_called() {
    for (kind, addresses) in KINDS {
        for text in addresses {
            let one = address(text);
            assert_eq!(Kind::of(one), kind, "{text}");
            assert_eq!(Policy::STRICT.admit("a.example", one).is_ok(), kind == Kind::Public, "{text}");
        }
    }
}

/// IPv6 forms of `8.8.8.8`, and of `10.0.0.1` and `169.254.169.254`. The first may be called where the form is one that
/// leads to the public internet.
#[test]
fn an_address_that_carries_another_is_judged_by_what_it_carries() {
    let public = [
        ("mapped", "::ffff:8.8.8.8", true),
        ("NAT64", "64:ff9b::8.8.8.8", true),
        ("6to4", "2002:808:808::1", true),
        ("Teredo", "2001:0:808:808:0:0:f7f7:f7f7", true),
        ("NAT64 of one's own", "64:ff9b:1::8.8.8.8", false),
        ("translated", "::ffff:0:8.8.8.8", false),
        ("compatible", "::8.8.8.8", false),
    ];
    for (form, text, may) in public {
        assert_eq!(Policy::STRICT.admit("a.example", address(text)).is_ok(), may, "{form} {text}");
    }
    let private = [
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "2002:a00:1::1",
        "2001:0:a00:1:0:0:f7f7:f7f7",
        "2001:0:808:808:0:0:f5ff:fffe",
        "64:ff9b:1::10.0.0.1",
        "::ffff:0:10.0.0.1",
        "::10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "::ffff:0.0.0.0",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::127.0.0.1",
    ];
    for text in private {
        assert!(Policy::STRICT.admit("a.example", address(text)).is_err(), "{text}");
    }
}

#[test]
fn a_list_of_ipv4_counts_for_whatever_carries_such_an_address() {
    let lists = policy(r#"{"allow_networks": ["10.0.0.0/8"], "deny_networks": ["8.8.8.8", "10.9.0.0/16"]}"#);
    let table = [
        ("10.0.0.1", true),
        ("::ffff:10.0.0.1", true),
        ("64:ff9b::10.0.0.1", true),
        ("::10.0.0.1", false), // the form itself is not allowed
        ("10.9.0.1", false),
        ("::ffff:10.9.0.1", false),
        ("2002:a09:1::1", false),
        ("8.8.8.8", false),
        ("64:ff9b::8.8.8.8", false),
        ("2001:0:101:101:0:0:f7f7:f7f7", false),
        ("8.8.4.4", true),
        ("192.168.0.1", false),
    ];
    for (text, may) in table {
        assert_eq!(lists.admit("a.example", address(text)).is_ok(), may, "{text}");
    }
    let own_nat64 = policy(r#"{"allow_networks": ["64:ff9b:1::/48"]}"#);
    assert!(own_nat64.admit("a.example", address("64:ff9b:1::8.8.8.8")).is_ok());
    assert!(own_nat64.admit("a.example", address("64:ff9b:1::10.0.0.1")).is_err());
}

/// What a naive check of the text lets through, because it is not the text of a private address.
const DISGUISED: [&str; 28] = [
    "http://2130706433/", // 127.0.0.1 in one number
    "http://0x7f000001/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://0x7f.0.0.0x1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://10.1/",
    "http://2852039166/latest/meta-data/", // 169.254.169.254
    "http://0xA9FEA9FE/",
    "http://169.254.43518/",
    "http://127.0.0.1./",
    "http://①②⑦.0.0.1/",
    "http://127。0。0。1/",
    "http://%31%32%37.0.0.1/",
    "http:127.0.0.1/",
    "http:\\\\127.0.0.1\\x",
    "http://[::]/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[fd00:ec2::254]/latest/",
    "http://a.example@127.0.0.1/",
    "http://8.8.8.8#@127.0.0.1:1@10.0.0.1/",
];

#[test]
fn an_address_is_refused_however_it_is_written() {
    // The last is really 8.8.8.8: what follows `#` is not sent, and it may be called.
    for url in &DISGUISED[..27] {
        assert!(!allows(&Policy::STRICT, url), "{url}");
    }
    assert!(allows(&Policy::STRICT, DISGUISED[27]));
}

#[test]
fn what_is_no_host_at_all_is_no_url() {
    for text in [
        "http://[fe80::1%25eth0]/",
        "http://1.2.3.4.5/",
        "http://256.0.0.1/",
        "http://0x100000000/",
        "http://127.0.0.09/",
        "http://[::1/",
        "http://",
        "http://a b/",
        "http://exa%00mple/",
    ] {
        assert!(Url::parse(text).is_err(), "{text}");
    }
}

#[test]
fn only_http_and_https_without_a_user_may_be_called() {
    for url in [
        "ftp://a.example/",
        "file:///etc/passwd",
        "gopher://a.example:70/",
        "ws://a.example/",
        "data:,x",
        "http://user@a.example/",
        "http://user:password@a.example/",
        "https://:password@a.example/",
        "http://127.0.0.1@a.example/",
    ] {
        assert!(!allows(&Policy::STRICT, url), "{url}");
    }
    for url in [
        "http://a.example/",
        "HTTPS://A.Example:8443/",
        "https://bücher.example/",
        "http://a.example./",
        "http://@a.example/",
    ] {
        assert!(allows(&Policy::STRICT, url), "{url}");
    }
}

#[test]
fn names_of_this_machine_are_refused_unless_its_addresses_are_allowed() {
    let here = policy(r#"{"allow_networks": ["127.0.0.0/8"]}"#);
    let by_name = policy(r#"{"allow_hosts": ["localhost"]}"#);
    for url in [
        "http://localhost/",
        "http://LOCALHOST:80/",
        "http://localhost./",
        "https://a.localhost/",
        "http://ＬＯＣＡＬhost/",
    ] {
        assert!(!allows(&Policy::STRICT, url), "{url}");
        assert!(allows(&here, url), "{url}");
    }
    assert!(allows(&by_name, "http://localhost/") && !allows(&by_name, "http://a.localhost/"));
    assert!(allows(&Policy::STRICT, "http://localhost.example/") && allows(&Policy::STRICT, "http://notlocalhost/"));
}

#[test]
fn a_pattern_means_one_host_or_all_below_a_name_in_any_spelling() {
    let denied = policy(r#"{"deny_hosts": ["Bücher.example", "*.internal", "10.0.0.1", "db."]}"#);
    for url in [
        "http://bücher.example/",
        "http://xn--bcher-kva.example./",
        "http://BÜCHER.example/",
        "http://a.internal/",
        "http://a.b.INTERNAL./",
        "http://db/",
    ] {
        assert!(!allows(&denied, url), "{url}");
    }
    for url in [
        "http://a.bücher.example/",
        "http://internal/",
        "http://notinternal/",
        "http://a.internal.example/",
        "http://db2/",
    ] {
        assert!(allows(&denied, url), "{url}");
    }
}

#[test]
fn deny_wins_and_only_leaves_out_all_others() {
    let lists = policy(
        r#"{"allow_networks": ["10.0.0.0/8"], "deny_networks": ["10.1.0.0/16"], "allow_hosts": ["*.corp.example"],
            "deny_hosts": ["secret.corp.example"], "only_hosts": ["*.corp.example", "api.example", "10.0.0.7", "10.1.0.7"],
            "deny_ports": [25], "only_ports": [443, 25]}"#,
    );
    for url in ["https://a.corp.example/", "https://api.example/", "https://10.0.0.7/", "http://api.example:443/"] {
        assert!(allows(&lists, url), "{url}");
    }
    for url in [
        "https://secret.corp.example/",
        "https://other.example/",
        "https://10.0.0.8/",
        "https://10.1.0.7/",
        "http://api.example/",
        "http://api.example:25/",
        "https://1.1.1.1/",
    ] {
        assert!(!allows(&lists, url), "{url}");
    }
    // A trusted host may be anywhere, but for what is denied and where a cloud keeps its credentials.
    for (host, at, may) in [
        ("a.corp.example", "192.168.0.1", true),
        ("A.Corp.example.", "127.0.0.1", true),
        ("a.corp.example", "10.1.0.1", false),
        ("a.corp.example", "169.254.169.254", false),
        ("a.corp.example", "::ffff:169.254.169.254", false),
        ("api.example", "192.168.0.1", false),
        ("api.example", "10.2.0.1", true),
    ] {
        assert_eq!(lists.admit(host, address(at)).is_ok(), may, "{host} at {at}");
    }
}

#[test]
fn lists_of_a_tenant_are_added_and_count_for_nobody_else() {
    let all = policy(r#"{"deny_networks": ["10.1.0.0/16"]}"#);
    let acme: Tenant = "acme".parse().unwrap();
    let more = policy(r#"{"allow_networks": ["10.0.0.0/8"], "only_ports": [443]}"#);
    let targets = Targets::new(all, &BTreeMap::from([(acme.clone(), more)]));
    assert!(allows(targets.of(&acme), "https://10.0.0.1/"));
    assert!(!allows(targets.of(&acme), "http://10.0.0.1/"));
    assert!(!allows(targets.of(&acme), "https://10.1.0.1/"));
    let other = targets.of(&Tenant::default());
    assert!(!allows(other, "https://10.0.0.1/") && allows(other, "http://a.example/"));
}

#[test]
fn a_network_or_a_host_that_means_something_else_is_refused_with_what_to_write() {
    for (list, said) in [
        (r#"{"allow_networks": ["10.0.0.1/8"]}"#, "`10.0.0.0/8`"),
        (r#"{"allow_networks": ["::ffff:10.0.0.0/104"]}"#, "IPv4 network"),
        (r#"{"allow_networks": ["10.0.0.0/33"]}"#, "is no network"),
        (r#"{"deny_networks": ["a.example"]}"#, "is no network"),
        (r#"{"deny_hosts": ["http://a.example"]}"#, "is no host"),
        (r#"{"deny_hosts": ["a.example:80"]}"#, "is no host"),
        (r#"{"deny_hosts": ["*"]}"#, "is no host"),
        (r#"{"deny_hosts": ["a.*.example"]}"#, "is no host"),
        (r#"{"deny_hosts": ["*.10.0.0.1"]}"#, "is no host"),
        (r#"{"deny_hosts": [""]}"#, "is no host"),
        (r#"{"deny_port": [1]}"#, "deny_port"),
    ] {
        let refused = serde_json::from_str::<Policy>(list).unwrap_err().to_string();
        assert!(refused.contains(said), "{list}: {refused}");
    }
}

#[test]
fn whoever_asks_is_told_the_same_of_every_refusal() {
    let lists = policy(r#"{"deny_hosts": ["db.internal"], "deny_ports": [25]}"#);
    let said = |url: &str| lists.check(&Url::parse(url).unwrap()).unwrap_err();
    let urls = [
        "http://10.0.0.1/",
        "http://db.internal/",
        "http://a.example:25/",
        "http://169.254.169.254/",
        "http://localhost/",
    ];
    let told: std::collections::BTreeSet<String> = urls.iter().map(|url| said(url).to_string()).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(urls.map(|url| said(url).why()), ["private", "its host", "its port", "metadata", "loopback"]);
}

proptest! {
    /// A private address is refused in each form that carries it, and so is every spelling of it that a URL can have.
    #[test]
    fn no_form_of_a_private_address_is_called(low in 0_u32..(1 << 24), form in 0_usize..7) {
        let bits = 10 << 24 | low;
        let (high, low) = ((bits >> 16) as u16, (bits & 0xffff) as u16);
        let segments = [
            [0, 0, 0, 0, 0, 0xffff, high, low],
            [0x64, 0xff9b, 0, 0, 0, 0, high, low],
            [0x2002, high, low, 0, 0, 0, 0, 1],
            [0x2001, 0, 0x0808, 0x0808, 0, 0, !high, !low],
            [0x64, 0xff9b, 1, 0, 0, 0, high, low],
            [0, 0, 0, 0, 0xffff, 0, high, low],
            [0, 0, 0, 0, 0, 0, high, low],
        ];
        let v6 = Ipv6Addr::from(segments[form]);
        prop_assert!(Policy::STRICT.admit("a.example", v6.into()).is_err());
        for url in [format!("http://[{v6}]/"), format!("http://{bits}/"), format!("http://{bits:#x}/"), format!("http://0{bits:o}/")] {
            prop_assert!(!allows(&Policy::STRICT, &url), "{}", url);
        }
    }

    /// The standard library's own idea of an address that is not global is never taken for public.
    #[test]
    fn what_the_standard_library_knows_as_special_is_not_public(bits in any::<u32>()) {
        let v4 = core::net::Ipv4Addr::from_bits(bits);
        let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast()
            || v4.is_documentation() || v4.is_unspecified();
        prop_assert!(!(special && Kind::of(v4.into()) == Kind::Public));
    }
}

//! Whether a request that asks for no key comes from this machine itself. Pure.
//!
//! Only loopback is listened on, but a browser on this machine gets there on behalf of any page that it shows: by a name of the
//! page's own that leads to 127.0.0.1 (DNS rebinding), or by a form. Such requests say so, in `Host` and `Origin`.

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, header};

/// Whether all that a request says of where it goes and where it comes from is this machine. One that says nothing is no
/// browser's.
pub(super) fn is_local(authority: Option<&str>, headers: &HeaderMap) -> bool {
    let hosts = headers.get_all(header::HOST).iter().map(|host| host.to_str().ok());
    let origins = headers
        .get_all(header::ORIGIN)
        .iter()
        .map(|origin| origin.to_str().ok()?.split_once("://").map(|(_, host)| host));
    authority.map(Some).into_iter().chain(hosts).chain(origins).all(|host| host.is_some_and(is_this_machine))
}

/// Whether `host[:port]` names this machine whoever resolves it.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => return address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a header that is none fails the test")]

    use super::*;

    fn local(host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        is_local(None, &headers)
    }

    #[test]
    fn whoever_calls_this_machine_by_its_own_names_is_local() {
        for host in ["127.0.0.1:8080", "127.1.2.3", "localhost", "LOCALHOST.:80", "sluice.localhost:8080", "[::1]:8080"]
        {
            assert!(local(host, None), "{host}");
            assert!(local(host, Some(&format!("http://{host}"))), "{host}");
            assert!(is_local(Some(host), &HeaderMap::new()), "{host}");
        }
        assert!(is_local(None, &HeaderMap::new()));
    }

    #[test]
    fn whatever_a_page_of_the_web_has_a_browser_do_is_not() {
        for host in [
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "[::2]",
            "10.0.0.1",
            "",
        ] {
            assert!(!local(host, None), "{host}");
            assert!(!is_local(Some(host), &HeaderMap::new()), "{host}");
        }
        for origin in ["https://evil.example", "http://127.0.0.1.evil.example:80", "null", "file://"] {
            assert!(!local("127.0.0.1:8080", Some(origin)), "{origin}");
        }
    }
}

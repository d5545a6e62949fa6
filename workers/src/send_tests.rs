#![allow(clippy::unwrap_used, reason = "a request that cannot be made fails the test")]

use super::*;

fn request(headers: &[(&str, &str)]) -> Request {
    Request {
        method: "POST".into(),
        url: "https://a.example/x?secret=1".into(),
        headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        body: sluice_shared::domain::job::Body::Empty,
        sealed: None,
    }
}

fn headers_of(request: &Request, branch: u16, traceparent: Option<&str>) -> HeaderMap {
    let marks = Marks { key: "k", branch: BranchId(branch), traceparent: traceparent.map(str::to_owned) };
    Outgoing::new(request, &request.headers, Bytes::new(), marks).unwrap_or_else(|_| panic!("unsendable")).headers
}

#[test]
fn a_branch_carries_a_key_of_its_own_unless_the_caller_gave_one() {
    assert_eq!(headers_of(&request(&[]), 0, None)["idempotency-key"], "k");
    assert_eq!(headers_of(&request(&[]), 2, None)["idempotency-key"], "k:2");
    let own = request(&[("idempotency-key", "mine")]);
    assert_eq!(headers_of(&own, 0, None)["idempotency-key"], "mine");
}

#[test]
fn the_trace_goes_on_unless_the_caller_gave_one() {
    assert_eq!(headers_of(&request(&[]), 0, Some("00-a"))["traceparent"], "00-a");
    assert_eq!(headers_of(&request(&[("traceparent", "mine")]), 0, Some("00-a"))["traceparent"], "mine");
    assert!(!headers_of(&request(&[]), 0, None).contains_key("traceparent"));
}

#[test]
fn headers_of_the_connection_are_not_part_of_an_answer() {
    let mut headers = HeaderMap::new();
    for (name, value) in [("connection", "close, X-Hop"), ("x-hop", "1"), ("keep-alive", "5"), ("x-kept", "2")] {
        headers.append(name, HeaderValue::from_static(value));
    }
    assert_eq!(kept(&headers), [("x-kept".to_owned(), "2".to_owned())]);
}

#[test]
fn of_many_headers_the_first_are_kept() {
    let mut headers = HeaderMap::new();
    let long = "x".repeat(MOST_HEADER_BYTES / 2 - 10);
    for name in ["x-a", "x-b", "x-c"] {
        headers.append(name, HeaderValue::from_str(&long).unwrap());
    }
    assert_eq!(kept(&headers).len(), 2);
}

#[tokio::test]
async fn a_failure_is_an_answer_that_names_no_url() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let request = Request { url: format!("http://{closed}/?secret=1"), ..request(&[]) };
    let outgoing =
        Outgoing::new(&request, &[], Bytes::new(), Marks { key: "k", branch: BranchId(0), traceparent: None });
    let outgoing = outgoing.unwrap_or_else(|_| panic!("unsendable"));
    let here = sluice_shared::config::Config::default().with_loopback_targets().targets;
    let sender = Sender::new(Targets::from(&here)).unwrap();
    let ready = sender.ready(&Tenant::default(), outgoing).unwrap_or_else(|refused| panic!("{refused:?}"));
    let content = ready.send(Duration::from_secs(5), 100).await;
    let Content::Error { kind: ErrorKind::Connect, message } = content else { panic!("{content:?}") };
    assert!(!message.contains("secret") && !message.contains("http://"), "{message}");
}

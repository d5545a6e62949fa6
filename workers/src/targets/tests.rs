#![allow(clippy::unwrap_used, reason = "a client that cannot be made fails the test")]

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use super::*;

fn clients(lists: &str) -> Clients {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let targets = Targets::new(serde_json::from_str(lists).unwrap(), &BTreeMap::new());
    Clients::new(targets, |builder| builder).unwrap()
}

/// `localhost` is in every machine's hosts file: a name that resolves without a network.
#[tokio::test]
async fn a_name_is_refused_by_the_address_that_it_resolves_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://localhost:{}/", listener.local_addr().unwrap().port()).parse().unwrap();
    // Straight at the resolver, as a name would come that does not say so itself.
    let strict = clients("{}");
    let failure = strict.all.get(url.clone()).send().await.unwrap_err();
    assert!(refused(&failure).is_some(), "{failure:?}");
    let nobody = tokio::time::timeout(std::time::Duration::from_millis(50), listener.accept()).await;
    assert!(nobody.is_err(), "it was connected to");

    let allowing = clients(r#"{"allow_networks": ["127.0.0.0/8", "::1"]}"#);
    let call = tokio::spawn(allowing.all.get(url).send());
    let (mut connection, _) = listener.accept().await.unwrap();
    assert!(connection.read(&mut [0; 64]).await.unwrap() > 0);
    drop(connection);
    assert_eq!(refused(&call.await.unwrap().unwrap_err()), None);
}

#[test]
fn there_is_no_client_for_a_url_that_may_not_be_called() {
    let clients = clients("{}");
    let client = |url: &str| clients.client(&Tenant::default(), &url.parse().unwrap()).is_ok();
    assert!(client("http://a.example/") && client("http://8.8.8.8/"));
    assert!(!client("http://10.0.0.1/") && !client("http://localhost/") && !client("http://u@a.example/"));
}

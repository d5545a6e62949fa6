//! Each way to say who one is, against a server that knows.

use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use sluice_shared::nats::{ConnectOptions, Nats};
use sluice_shared::topology::Topology;
use sluice_tests::broker::small;
use sluice_tests::guarded::GuardedServer;

async fn server(configuration: &str) -> GuardedServer {
    GuardedServer::start(tempfile::tempdir().unwrap(), configuration).await
}

async fn connects(server: &GuardedServer, as_whom: ConnectOptions) -> bool {
    let options = ConnectOptions { url: server.url().to_owned(), ..as_whom };
    Nats::connect(options, Topology::new(small())).await.is_ok()
}

fn file(server: &GuardedServer, name: &str, text: &str) -> Option<PathBuf> {
    let file = server.dir().join(name);
    std::fs::write(&file, text).unwrap();
    Some(file)
}

#[tokio::test]
async fn a_user_has_a_password() {
    let server = server("authorization { user: sluice, password: \"right\" }").await;
    let user =
        |password: &str| ConnectOptions { user: Some(("sluice".into(), password.into())), ..ConnectOptions::default() };
    assert!(connects(&server, user("right")).await);
    assert!(!connects(&server, user("wrong")).await);
    assert!(!connects(&server, ConnectOptions::default()).await);
}

#[tokio::test]
async fn a_token_is_enough() {
    let server = server("authorization { token: \"right\" }").await;
    let token = |token: &str| ConnectOptions { token: Some(token.into()), ..ConnectOptions::default() };
    assert!(connects(&server, token("right")).await);
    assert!(!connects(&server, token("wrong")).await);
}

#[tokio::test]
async fn an_nkey_signs_what_the_server_asks() {
    let (known, other) = (KeyPair::new_user(), KeyPair::new_user());
    let server = server(&format!("authorization {{ users: [ {{ nkey: {} }} ] }}", known.public_key())).await;
    let nkey = |name: &str, pair: &KeyPair| ConnectOptions {
        nkey_seed_file: file(&server, name, &format!("{}\n", pair.seed().unwrap())),
        ..ConnectOptions::default()
    };
    assert!(connects(&server, nkey("known", &known)).await);
    assert!(!connects(&server, nkey("other", &other)).await);
    let nothing = ConnectOptions { nkey_seed_file: Some("/nowhere".into()), ..ConnectOptions::default() };
    assert!(!connects(&server, nothing).await);
}

/// A JSON Web Token as NATS has them.
fn token(of: &KeyPair, by: &KeyPair, name: &str, claims: Value) -> String {
    let encode = |json: Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
    let head = encode(json!({"typ": "JWT", "alg": "ed25519-nkey"}));
    let body =
        json!({"jti": name, "iat": 1, "iss": by.public_key(), "name": name, "sub": of.public_key(), "nats": claims});
    let signed = format!("{head}.{}", encode(body));
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&by.sign(signed.as_bytes()).unwrap()))
}

/// A `.creds` file.
fn credentials(dir: &Path, name: &str, user: &KeyPair, jwt: &str) -> ConnectOptions {
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        user.seed().unwrap()
    );
    let file = dir.join(name);
    std::fs::write(&file, text).unwrap();
    ConnectOptions { credentials_file: Some(file), ..ConnectOptions::default() }
}

#[tokio::test]
async fn a_credentials_file_is_believed_where_the_account_has_signed_it() {
    let (operator, account, system) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let (user, stranger) = (KeyPair::new_user(), KeyPair::new_account());
    let limits = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1});
    let of_account = json!({"type": "account", "version": 2, "limits": limits});
    let operator_jwt = token(&operator, &operator, "operator", json!({"type": "operator", "version": 2}));
    let server = server(&format!(
        "operator: {operator_jwt}\nsystem_account: {system}\nresolver: MEMORY\nresolver_preload: {{\n  {account}: {}\n  {system}: {}\n}}",
        token(&account, &operator, "account", of_account.clone()),
        token(&system, &operator, "system", of_account),
        account = account.public_key(),
        system = system.public_key(),
    ))
    .await;
    let of_user = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
    let signed =
        |name: &str, by: &KeyPair| credentials(server.dir(), name, &user, &token(&user, by, "user", of_user.clone()));
    assert!(connects(&server, signed("known.creds", &account)).await);
    assert!(!connects(&server, signed("stranger.creds", &stranger)).await);
}

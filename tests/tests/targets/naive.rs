//! The same inputs to a client that does none of this, which gets inside with each, and to Sluice, which does not.
//!
//! `--nocapture` shows the table.

use serde_json::json;
use sluice::scripted::Script;

use crate::rig::Rig;

/// Ways to write the address inside, and what is to be seen of the port and the path after it.
const SPELLINGS: [(&str, &str); 13] = [
    ("the address", "127.0.0.2"),
    ("one decimal number", "2130706434"),
    ("one hexadecimal number", "0x7f000002"),
    ("one octal number", "017700000002"),
    ("octal parts", "0177.0.0.02"),
    ("hexadecimal parts", "0x7f.0x0.0x0.0x2"),
    ("a short form", "127.2"),
    ("a dot at the end", "127.0.0.2."),
    ("digits in circles", "①②⑦.0.0.②"),
    ("percent-encoded", "%31%32%37.0.0.2"),
    ("mapped into IPv6", "[::ffff:127.0.0.2]"),
    ("mapped, in hexadecimal", "[::ffff:7f00:2]"),
    ("after a user that looks like a host", "outer.example@127.0.0.2"),
];

/// Any client as it comes: it follows redirects, and knows the name that resolves inside.
fn naive(rig: &Rig) -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy();
    client.resolve("inner.example", rig.inner.address()).build().unwrap()
}

/// What Sluice does: `submission` or `call`, where it is refused, or the answer.
async fn sluice(rig: &Rig, url: &str) -> String {
    let answer = rig.scene.client.post(&json!({"url": url})).await;
    if answer.status == 422 {
        return "refused at submission".to_owned();
    }
    assert_eq!(answer.status, 202, "{answer:#?}");
    let shown = rig.scene.client.wait(answer.body["job_id"].as_str().unwrap()).await;
    let last = &shown["branches"][0]["last"];
    match last["error"]["kind"].as_str() {
        Some("target_refused") => "refused at the call".to_owned(),
        Some(other) => other.to_owned(),
        None => format!("not followed: {}", last["status_code"]),
    }
}

#[tokio::test]
async fn what_gets_inside_by_any_client_does_not_by_sluice() {
    let rig = Rig::start().await;
    rig.scene.destination.on("/moved", Script::answer(302).header("location", rig.inner.at("/")));
    let spelled = SPELLINGS.map(|(what, host)| (what, rig.at(host, "/"), "refused at submission"));
    let at_the_call = [
        ("a name that resolves inside", rig.at("inner.example", "/"), "refused at the call"),
        ("a redirect", rig.at("127.0.0.1", "/moved"), "not followed: 302"),
    ];
    let client = naive(&rig);
    for (what, url, expected) in spelled.into_iter().chain(at_the_call) {
        let before = rig.inner.count();
        let reached = client.get(&url).send().await.is_ok_and(|answer| answer.status() == 200);
        assert!(reached && rig.inner.count() == before + 1, "the naive client does not get inside by {what}: {url}");
        let does = sluice(&rig, &url).await;
        assert_eq!((does.as_str(), rig.inner.count()), (expected, before + 1), "{what}: {url}");
        eprintln!("{what:<36} {url:<50} naive: inside   sluice: {does}");
    }
}

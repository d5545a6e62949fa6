//! A receiver that verifies what was posted to it, with the packages that such receivers have.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::json;
use sluice::scripted::Post;
use sluice_tests::python;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Verifies by `standardwebhooks`, and by the function of the EZThrottle client.
pub(crate) struct Receiver(PathBuf);

impl Receiver {
    pub(crate) async fn start() -> Self {
        Self(tokio::task::spawn_blocking(python::with_webhooks).await.unwrap())
    }

    /// `valid`, or why it is not.
    pub(crate) async fn verify(&self, scheme: &str, secret: &str, post: &Post) -> String {
        let headers = post.call.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap().into()));
        let headers: serde_json::Map<String, serde_json::Value> =
            headers.map(|(name, value)| (name.to_owned(), value)).collect();
        let body = String::from_utf8(post.call.body.to_vec()).unwrap();
        self.verdict(scheme, secret, &json!({"headers": headers, "body": body}).to_string()).await
    }

    async fn verdict(&self, scheme: &str, secret: &str, post: &str) -> String {
        let mut command = Command::new(&self.0);
        command.arg(python::script("verify_webhook.py")).args([scheme, secret]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut script = command.spawn().unwrap();
        script.stdin.take().unwrap().write_all(post.as_bytes()).await.unwrap();
        let output = script.wait_with_output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

//! A real `sluice delivery` that is killed in the middle of a post.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sluice::scripted::Script;
use sluice_tests::program;

use crate::rig::{DEADLINE, Rig};

/// A `sluice delivery` process, killed when it is dropped.
struct Process(Child);

impl Process {
    fn start(rig: &Rig, config: &std::path::Path) -> Self {
        let mut command = Command::new(program());
        command.args(["delivery", "--nats", rig.broker.url(), "--metrics", "127.0.0.1:0", "--config"]).arg(config);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Ends it at once, as `kill -9` does.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_post_whose_process_was_killed_is_made_again_by_the_next_under_the_same_id() {
    let rig = Rig::start().await;
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("sluice.toml");
    let text =
        "[topology]\nshards = 1\nrecord_buckets = 1\n[worker]\nack_wait = \"15s\"\n[delivery]\nretry = [\"1s\"]\n";
    std::fs::write(&config, text).unwrap();
    rig.receiver.answer([Script::answer(200).after(Duration::from_secs(60)), Script::answer(200)]);
    let mut first = Process::start(&rig, &config);
    let result = rig.result("k");
    rig.publish(&result).await;
    rig.receiver.wait_for_job(result.job.as_str(), DEADLINE).await.unwrap();
    first.kill();
    let _second = Process::start(&rig, &config);
    let posts = rig.receiver.wait_for_posts(result.job.as_str(), 2, DEADLINE).await.unwrap();
    rig.wait_until_let_go(&result).await;
    assert_eq!(posts[0].call.header("webhook-id"), posts[1].call.header("webhook-id"));
    assert_eq!(posts[0].payload, posts[1].payload, "nobody knew of the first try");
    assert_eq!(rig.receiver.posts(result.job.as_str()).len(), 2);
}

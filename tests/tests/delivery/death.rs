//! Services that die: a real process in the middle of a post, and services that break off anywhere.

use std::collections::HashSet;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sluice::scripted::{Rule, Script};
use sluice_shared::domain::delivery::WebhookState;
use sluice_shared::domain::result::JobResult;
use sluice_tests::program;
use tokio::time::sleep;

use crate::rig::{DEADLINE, Rig, options, to, until};

/// A `sluice delivery` process, killed when it is dropped.
struct Process(Child);

impl Process {
    fn start(rig: &Rig, config: &std::path::Path) -> Self {
        let mut command = Command::new(program());
        command.args(["delivery", "--nats", rig.broker.url(), "--metrics", "127.0.0.1:0", "--config"]).arg(config);
        command.env("SLUICE_TARGETS__ALLOW_NETWORKS", "127.0.0.0/8");
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

/// Dropped, a service breaks off at whatever it was waiting for: between any two steps.
#[tokio::test]
async fn services_that_break_off_anywhere_lose_nothing() {
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let rig = Rig::start().await;
    let (nats, ack_wait) = (rig.nats(), Duration::from_secs(2));
    nats.topology().create_lane_consumers(nats, ack_wait).await.unwrap();
    rig.receiver.destination().on(
        "*",
        Rule::choose(|_, seen| match seen % 5 {
            0 => Script::answer(500),
            1 => Script::answer(429).header("retry-after", 1),
            2 => Script::answer(200).after(Duration::from_millis(100)),
            _ => Script::answer(200),
        }),
    );
    let mut options = options();
    (options.ack_wait, options.per_endpoint) = (ack_wait, 2);
    options.schedule.pauses = vec![Duration::from_millis(250); 20];
    let results: Vec<JobResult> = (0..60).map(|n| rig.result(&n.to_string())).collect();
    for chunk in results.chunks(5) {
        for result in chunk {
            rig.publish(result).await;
        }
        let _service = rig.serve(options.clone()).await;
        sleep(Duration::from_millis(random.random_range(5..250))).await;
    }
    let _service = rig.serve(options).await;
    for result in &results {
        rig.wait_until_let_go(result).await;
        let remembered = rig.known(result).await.map(|mut known| known.webhooks.remove(0));
        assert!(matches!(remembered, None | Some(WebhookState::Delivered { .. })), "{remembered:?}");
    }
    let taken = |calls: &[sluice::scripted::Call]| {
        let taken = calls.iter().filter(|call| call.status == Some(200));
        taken.filter_map(|call| call.json()?.get("job_id")?.as_str().map(str::to_owned)).collect::<HashSet<_>>()
    };
    assert_eq!(rig.receiver.destination().look(taken).len(), results.len());
}

#[tokio::test]
async fn what_was_taken_is_not_posted_again_though_another_webhook_of_the_job_is_silent_until_the_process_dies() {
    let rig = Rig::start().await;
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("sluice.toml");
    let text = "[topology]\nshards = 1\nrecord_buckets = 1\n[worker]\nack_wait = \"15s\"\n";
    std::fs::write(&config, text).unwrap();
    let silent = Rule::choose(|_, seen| Script::answer(200).after(Duration::from_secs(if seen == 0 { 60 } else { 0 })));
    rig.receiver.destination().on("/silent", silent);
    let mut first = Process::start(&rig, &config);
    let result = to(&[rig.receiver.at("/silent"), rig.receiver.at("/quick")], "k");
    rig.publish(&result).await;
    let taken = async || rig.known(&result).await.filter(|known| matches!(known.of(1), WebhookState::Delivered { .. }));
    until("the quick one remembered", taken).await;
    first.kill();
    let _second = Process::start(&rig, &config);
    rig.receiver.wait_for_posts(result.job.as_str(), 3, DEADLINE).await.unwrap();
    rig.wait_until_let_go(&result).await;
    let posted = |path: &str| rig.receiver.all_posts().iter().filter(|post| post.call.path == path).count();
    assert_eq!((posted("/silent"), posted("/quick")), (2, 1));
}

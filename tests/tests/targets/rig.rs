//! Roles that may call one address of this machine and not the other, and names that resolve as a script says.

use std::net::SocketAddr;

use serde_json::{Value, json};
use sluice::scripted::Destination;
use sluice_tests::configuration::Configuration;
use sluice_tests::scene::Scene;
use sluice_tests::system::Setup;

/// What names resolve to, each time in turn.
const NAMES: &str = "
    outer.example 127.0.0.1
    inner.example 127.0.0.2
    rebinding.example 127.0.0.1 127.0.0.2
    both.example 127.0.0.2,127.0.0.1
    mapped.example ::ffff:127.0.0.2
    mapped-outer.example ::ffff:127.0.0.1
    translated.example 64:ff9b::7f00:2
    credentials.example 169.254.169.254
    nowhere.example
";

/// Variables that send the calls of most programs to a proxy.
const PROXIES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

pub(crate) struct Rig {
    /// With a destination at 127.0.0.1.
    pub(crate) scene: Scene,
    /// At 127.0.0.2, on the same port.
    pub(crate) inner: Destination,
    /// What the environment of all roles says is the proxy.
    pub(crate) proxy: Destination,
}

/// What may be called: 127.0.0.1 and nothing else of this machine.
pub(crate) fn outer_alone() -> Configuration {
    Configuration::default().set("targets.allow_networks", ["127.0.0.1"].as_slice())
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(outer_alone()).await
    }

    pub(crate) async fn with(configuration: Configuration) -> Self {
        let (outer, inner) = neighbours().await;
        let proxy = Destination::start().await.unwrap();
        let mut environment: Vec<_> = PROXIES.map(|name| (name, proxy.url())).into();
        environment.push(("SLUICE_NAMES", NAMES.to_owned()));
        let scene = Scene::at(outer, Setup { environment, configuration, ..Setup::default() }).await;
        Self { scene, inner, proxy }
    }

    /// The URL of a path at a name, on the port that both destinations have.
    pub(crate) fn at(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.inner.address().port())
    }

    /// Submits a job for a name, whose outcome goes to the receiver, and waits for its webhook.
    pub(crate) async fn run(&self, host: &str, more: Value) -> Value {
        let mut fields = json!({"url": self.at(host, "/")});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.scene.run("/", fields).await
    }

    /// Checks that nobody was called who may not be.
    pub(crate) fn nobody_inside_was_called(&self) {
        assert_eq!(self.inner.all_calls().len(), 0, "{:#?}", self.inner.all_calls());
        assert_eq!(self.proxy.all_calls().len(), 0, "{:#?}", self.proxy.all_calls());
    }
}

/// Two destinations on one port.
async fn neighbours() -> (Destination, Destination) {
    loop {
        let outer = Destination::start().await.unwrap();
        let beside = SocketAddr::from(([127, 0, 0, 2], outer.address().port()));
        if let Ok(inner) = Destination::start_on(beside).await {
            return (outer, inner);
        }
    }
}

/// Checks that a failed outcome is one of a target that was refused, at the first attempt, and says nothing of why.
pub(crate) fn refused(outcome: &Value) {
    assert_eq!(outcome["status"], "failed", "{outcome:#}");
    let error = &outcome["branches"][0]["error"];
    assert_eq!(error["kind"], "target_refused", "{outcome:#}");
    assert_eq!(outcome["branches"][0]["attempt"].as_u64().unwrap_or(1), 1, "{outcome:#}");
    says_nothing(&outcome.to_string());
}

/// Checks that a text tells nothing of the network.
pub(crate) fn says_nothing(text: &str) {
    for word in ["127.0.0.2", "169.254", "loopback", "private", "link-local", "network", "7f00"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
}

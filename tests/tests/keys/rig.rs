//! Gateways that ask for keys, and keys for them.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use sluice_shared::clock;
use sluice_shared::domain::access::{Quotas, Scope, Scopes, Wish};
use sluice_shared::keys::Keys;
use sluice_tests::client::{Answer, Client};
use sluice_tests::configuration::Configuration;
use sluice_tests::eventually;
use sluice_tests::scene::Scene;
use sluice_tests::system::Setup;

pub(crate) struct Rig {
    pub(crate) scene: Scene,
    pub(crate) keys: Keys,
}

/// A key that is to be made.
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) text: String,
}

/// So many gateways that ask for keys, and one of each other role if those are wanted.
pub(crate) fn setup(gateways: usize, others: usize) -> Setup {
    let configuration = Configuration::default().set("gateway.auth", "keys");
    Setup { gateways, workers: others, deliveries: others, ..Setup::from(configuration) }
}

/// What a key is to be: of this tenant, or the operator's, with these scopes.
pub(crate) fn wish(tenant: Option<&str>, scopes: &[Scope]) -> Wish {
    Wish {
        tenant: tenant.map(|name| name.parse().unwrap()),
        scopes: scopes.iter().copied().collect::<Scopes>(),
        label: String::new(),
        expires_at: None,
        quotas: Quotas::default(),
    }
}

/// With all scopes but that of making keys.
pub(crate) fn user(tenant: &str) -> Wish {
    wish(Some(tenant), &[Scope::Submit, Scope::Read, Scope::Operate])
}

pub(crate) fn admin(tenant: Option<&str>) -> Wish {
    wish(tenant, &Scope::ALL)
}

impl Rig {
    pub(crate) async fn start(gateways: usize, others: usize) -> Self {
        Self::with(setup(gateways, others)).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let scene = Scene::with(setup).await;
        let keys = Keys::new(&scene.system.broker.connect().await);
        Self { scene, keys }
    }

    /// Makes a key, and waits until all gateways take it.
    pub(crate) async fn key(&self, wish: Wish) -> Made {
        let takes_time = wish.expires_at.is_none_or(|end| end > clock::now());
        let (api_key, _) = self.keys.create(wish, None).await.unwrap();
        let made = Made { id: api_key.id.to_string(), text: api_key.reveal() };
        for number in 0..self.scene.system.gateways.len() {
            let client = self.at(number, &made.text);
            eventually("a key that is taken", async || {
                let answer = client.send(Method::GET, "/v1/queues/none", &[], None).await;
                (answer.status != 401 || !takes_time).then_some(())
            })
            .await;
        }
        made
    }

    /// A client of the gateway of this number with a key.
    pub(crate) fn at(&self, gateway: usize, key: &str) -> Client {
        Client::with_key(self.scene.system.gateways[gateway].http(), key)
    }

    /// A client of the first gateway with a key that is made for it.
    pub(crate) async fn client(&self, wish: Wish) -> Client {
        self.at(0, &self.key(wish).await.text)
    }

    /// A client without one.
    pub(crate) fn stranger(&self) -> Client {
        Client::new(self.scene.system.gateways[0].http())
    }
}

/// A job that goes nowhere and is not tried for long.
pub(crate) fn later(key: &str) -> Value {
    json!({"url": "http://a.example/", "idempotent_key": key, "retry_at": clock::now().after(Duration::from_secs(3600)).0})
}

/// Checks that it is a problem of this status and code.
pub(crate) fn problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, &answer.body["code"]), (status, &json!(code)), "{answer:#?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
}

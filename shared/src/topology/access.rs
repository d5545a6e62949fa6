//! What each party may do with the broker: the subjects that it may publish to and subscribe to, and nothing else.
//!
//! Pure; `sluice nats-config` writes it down for the nats-server. Every role has inboxes of its own, so that none can read
//! what another is answered. A tenant is a NATS account: a subject of its own reaches Sluice because the server lets that
//! account alone import it, so whose request it is, is what the server has authenticated. It cannot be users of one account,
//! however narrow their permissions are: the server acknowledges a stored message to whatever subject its sender names as
//! the reply, past all permissions, and would write that into a record or another tenant's submissions.

use super::lanes::Laned;
use super::names::Topology;
use crate::domain::id::Tenant;

/// A part of Sluice that connects as a user of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// Takes jobs in, shows and changes them.
    Gateway,
    /// Runs jobs.
    Worker,
    /// Hands outcomes on.
    Delivery,
    /// Makes the topology, and looks at everything that is in it.
    Operator,
}

/// Subjects, with wildcards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// What may be published to.
    pub publish: Vec<String>,
    /// What may be subscribed to.
    pub subscribe: Vec<String>,
}

/// What a tenant's account gets from Sluice's, and gives to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantAccess {
    /// Requests to Sluice: services that its account exports to this one.
    pub requests: Vec<String>,
    /// Where outcomes go: a service that this account exports to Sluice's.
    pub outcomes: String,
}

/// Replies to requests that came from another account: the server's own subjects, which lead to the requester alone.
const ACROSS: &str = "_R_.>";
/// A domain and an account, where the server is set to name them in its replies.
const DOMAIN: &str = "*.*";

impl Party {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gateway, Self::Worker, Self::Delivery, Self::Operator];

    /// Its name, as a file and a subject have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Worker => "worker",
            Self::Delivery => "delivery",
            Self::Operator => "operator",
        }
    }
}

impl Topology {
    /// The beginning of the inboxes of a party.
    #[must_use]
    pub fn inbox(&self, party: Party) -> String {
        format!("_INBOX.{}.{}", self.prefix(), party.as_str())
    }

    /// What a party may do.
    #[must_use]
    pub fn access(&self, party: Party) -> Access {
        let mut access = match party {
            Party::Gateway => self.gateway(),
            Party::Worker => self.worker(),
            Party::Delivery => self.delivery(),
            Party::Operator => self.operator(),
        };
        // A pull that is given up is ended by messages of one's own.
        let inbox = format!("{}.>", self.inbox(party));
        access.publish.push(inbox.clone());
        access.subscribe.push(inbox);
        for side in [&mut access.publish, &mut access.subscribe] {
            side.sort_unstable();
            side.dedup();
        }
        access
    }

    /// What a tenant may do.
    #[must_use]
    pub fn tenant_access(&self, tenant: &Tenant) -> TenantAccess {
        let mut requests = vec![self.submit(Some(tenant)), self.api("*", Some(tenant.as_str()))];
        if *tenant == Tenant::default() {
            requests.extend([self.submit(None), self.api("*", None)]);
        }
        TenantAccess { requests, outcomes: self.outcomes(tenant.as_str()) }
    }

    /// Whether an answer may go there. A requester names the subject, and it is not the requester who publishes to it: what
    /// is the broker's or Sluice's own takes no answers.
    #[must_use]
    pub fn takes_answers(&self, reply: &str) -> bool {
        let first = reply.split('.').next().unwrap_or_default();
        !first.starts_with('$') && first != self.prefix()
    }

    /// The subjects that are for a tenant's own outcomes.
    fn outcomes(&self, tenant: &str) -> String {
        format!("{}.outcomes.{tenant}.>", self.prefix())
    }

    /// Answers requests and takes submissions in; cancels, retries and redrives; changes queues and their gates; keeps API keys
    /// and secrets.
    fn gateway(&self) -> Access {
        let mut may = self.acting();
        for bucket in [self.keys_bucket(), self.open_bucket(), self.secrets_bucket(), self.webhook_secrets_bucket()] {
            may.extend(self.writing_bucket(&bucket));
            may.extend(self.watching(&bucket));
            may.push(api("STREAM.MSG.DELETE", &Self::stream_of(&bucket)));
        }
        may.extend(self.writing_bucket(&self.meters_bucket()));
        may.extend(self.taking(&self.submit_stream(), "*"));
        may.extend(self.writing_bucket(&self.gates_bucket()));
        may.extend(self.writing_bucket(&self.deliveries_bucket()));
        may.push(format!("{}.deliveries.later.>", self.prefix()));
        for stream in self.jobs_streams() {
            may.extend(["STREAM.MSG.GET", "STREAM.MSG.DELETE", "DIRECT.GET"].map(|what| api(what, &stream)));
            may.push(api("CONSUMER.INFO", &format!("{stream}.*")));
        }
        let (dead, events, results) = (self.dead_stream(), self.events_stream(), self.results_stream());
        may.extend(["STREAM.MSG.DELETE", "DIRECT.GET"].map(|what| api(what, &dead)));
        may.extend(["STREAM.CREATE", "STREAM.MSG.GET"].map(|what| api(what, &events)));
        may.push(api("STREAM.MSG.GET", &results));
        may.push("$JS.API.INFO".to_owned()); // how much is stored
        may.extend([ACROSS.to_owned(), format!("{}.>", self.inbox(Party::Operator))]);
        let listens = ["*", "*.*"].map(|rest| format!("{}.api.{rest}", self.prefix()));
        let hears = ["$SRV.>".to_owned(), format!("{}.events.>", self.prefix()), self.settled_any()];
        Access { publish: may, subscribe: listens.into_iter().chain(hears).collect() }
    }

    /// Pulls work and what comes due, keeps gates, and sweeps.
    fn worker(&self) -> Access {
        let mut may = self.acting();
        for stream in self.jobs_streams() {
            may.extend(self.taking(&stream, "*"));
            may.extend(["STREAM.MSG.GET", "STREAM.MSG.DELETE", "DIRECT.GET"].map(|what| api(what, &stream)));
            may.push(api("CONSUMER.DELETE", &format!("{stream}.*")));
        }
        let counted = self.open_bucket(); // follow-ups count for their tenant
        for bucket in [self.gates_bucket(), self.sweep_bucket(), self.regions_bucket(), counted] {
            may.extend(self.writing_bucket(&bucket));
        }
        may.extend(self.watching(&self.gates_bucket()));
        may.extend(self.watching(&self.secrets_bucket()));
        may.push(self.reading_bucket(&self.secrets_bucket()));
        for bucket in self.records_buckets().chain([self.bodies_bucket()]) {
            let stream = Self::stream_of(&bucket);
            may.extend(self.looking_at(&stream)); // the sweep reads the headers of all that is there
            may.push(api("STREAM.MSG.DELETE", &stream));
        }
        for stream in self.laned_streams() {
            may.extend(["STREAM.MSG.GET", "STREAM.MSG.DELETE", "DIRECT.GET"].map(|what| api(what, &stream)));
        }
        may.push(format!("{}.deliveries.later.>", self.prefix()));
        Access { publish: may, subscribe: vec![self.settled_any()] }
    }

    /// Pulls results and webhooks to be tried again, submits follow-ups, and posts.
    fn delivery(&self) -> Access {
        let mut may = self.acting();
        may.extend(self.taking(&self.results_stream(), "*"));
        may.extend(self.taking(&self.deliveries_stream(), "*"));
        may.extend(self.writing_bucket(&self.open_bucket())); // follow-ups count for their tenant
        may.extend([self.results_stream(), self.deliveries_stream()].map(|stream| api("STREAM.MSG.GET", &stream)));
        may.extend(self.writing_bucket(&self.deliveries_bucket()));
        may.extend(self.watching(&self.webhook_secrets_bucket()));
        may.push(self.reading_bucket(&self.webhook_secrets_bucket()));
        may.push(format!("{}.deliveries.later.>", self.prefix()));
        may.push(self.outcomes("*"));
        Access { publish: may, subscribe: Vec::new() }
    }

    /// Everything about streams, buckets and consumers; finds the gateways.
    fn operator(&self) -> Access {
        let mut may = vec!["$JS.API.>".to_owned(), "$SRV.>".to_owned()];
        may.push(Self::key(&self.queues_bucket(), ">")); // the settings of the deployment are there
        Access { publish: may, subscribe: Vec::new() }
    }

    /// What it takes to act on jobs: looking whether everything is there, the watched copy of the queues, records and
    /// bodies, the messages of chains, results, dead letters, events.
    fn acting(&self) -> Vec<String> {
        let mut may = vec![api("STREAM.NAMES", ""), api("STREAM.INFO", "*")];
        may.extend(
            self.jobs_streams().map(|stream| api("CONSUMER.INFO", &format!("{stream}.{}", self.due_consumer()))),
        );
        may.extend(self.laned_streams().map(|stream| api("CONSUMER.INFO", &format!("{stream}.*"))));
        let (queues, bodies) = (self.queues_bucket(), self.bodies_bucket());
        may.extend(self.watching(&queues));
        may.extend(self.watching(&self.regions_bucket()));
        for bucket in self.records_buckets().chain([queues, bodies.clone()]) {
            may.extend(self.writing_bucket(&bucket));
        }
        may.push(api("DIRECT.GET", &format!("{}.>", Self::stream_of(&bodies))));
        may.push(api("STREAM.MSG.DELETE", &Self::stream_of(&bodies)));
        let own = ["jobs", "later", "due", "results", "dead", "events", "settled"];
        may.extend(own.map(|first| format!("{}.{first}.>", self.prefix())));
        may
    }

    /// Pulling from a consumer and acknowledging; making it again where the broker lost it; the anchor.
    fn taking(&self, stream: &str, consumer: &str) -> Vec<String> {
        let named = format!("{stream}.{consumer}");
        let mut may = vec![format!("$JS.ACK.{named}.>"), format!("$JS.ACK.{DOMAIN}.{named}.>")];
        may.extend(["CONSUMER.MSG.NEXT", "CONSUMER.INFO", "CONSUMER.CREATE"].map(|what| api(what, &named)));
        may.push(api("CONSUMER.CREATE", &format!("{named}.>")));
        may.extend(self.anchor(stream));
        may
    }

    /// Reading and writing entries by compare-and-swap.
    fn writing_bucket(&self, bucket: &str) -> [String; 2] {
        [Self::key(bucket, ">"), self.reading_bucket(bucket)]
    }

    /// Reading entries: from the leader, or the only copy.
    fn reading_bucket(&self, bucket: &str) -> String {
        let stream = Self::stream_of(bucket);
        if self.has_one_copy() { api("DIRECT.GET", &format!("{stream}.>")) } else { api("STREAM.MSG.GET", &stream) }
    }

    /// An ordered consumer that is told of every change.
    fn watching(&self, bucket: &str) -> [String; 5] {
        let stream = Self::stream_of(bucket);
        let (create, delete) = (api("CONSUMER.CREATE", &stream), api("CONSUMER.DELETE", &format!("{stream}.*")));
        let (flow, of_domain) = (format!("$JS.FC.{stream}.>"), format!("$JS.FC.{DOMAIN}.{stream}.>"));
        [create.clone(), format!("{create}.>"), delete, flow, of_domain]
    }

    /// A consumer that is made to look at a stream, and removed.
    fn looking_at(&self, stream: &str) -> [String; 4] {
        let create = api("CONSUMER.CREATE", stream);
        let rest = ["CONSUMER.MSG.NEXT", "CONSUMER.DELETE"].map(|what| api(what, &format!("{stream}.*")));
        let [next, delete] = rest;
        [create.clone(), format!("{create}.>"), next, delete]
    }

    fn jobs_streams(&self) -> impl Iterator<Item = String> {
        (0..self.settings().shards).map(|shard| self.jobs_stream(shard))
    }

    fn records_buckets(&self) -> impl Iterator<Item = String> {
        (0..self.settings().record_buckets).map(|number| self.records_bucket(number))
    }

    fn laned_streams(&self) -> [String; 3] {
        Laned::ALL.map(|what| self.laned_stream(what))
    }
}

/// A request to JetStream.
fn api(what: &str, of: &str) -> String {
    if of.is_empty() { format!("$JS.API.{what}") } else { format!("$JS.API.{what}.{of}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a name that is refused fails the test")]

    use super::*;
    use crate::topology::Settings;

    fn topology() -> Topology {
        let (shards, record_buckets) = (2, 1);
        Topology::new(Settings {
            prefix: "sluice".into(),
            shards,
            record_buckets,
            lanes: 8,
            replicas: 1,
            consumers_in_memory: false,
        })
    }

    #[test]
    fn no_role_hears_what_another_is_answered_and_none_but_the_operator_may_everything_of_jetstream() {
        let topology = topology();
        for party in Party::ALL {
            let Access { publish, subscribe } = topology.access(party);
            let inboxes: Vec<&String> = subscribe.iter().filter(|subject| subject.starts_with("_INBOX")).collect();
            assert_eq!(inboxes, [&format!("_INBOX.sluice.{}.>", party.as_str())]);
            for too_much in [">", "*.>", "$JS.>", "$KV.>", "sluice.>", "_INBOX.>"] {
                assert!(!publish.iter().chain(&subscribe).any(|subject| subject == too_much), "{party:?}: {too_much}");
            }
            assert_eq!(publish.iter().any(|subject| subject == "$JS.API.>"), party == Party::Operator, "{party:?}");
        }
    }

    #[test]
    fn nobody_but_the_operator_may_remove_a_stream_or_a_bucket() {
        for party in [Party::Gateway, Party::Worker, Party::Delivery] {
            let Access { publish, .. } = topology().access(party);
            for what in ["STREAM.DELETE", "STREAM.PURGE", "STREAM.UPDATE", "STREAM.RESTORE", "STREAM.SNAPSHOT"] {
                assert!(!publish.iter().any(|subject| subject.contains(what)), "{party:?}: {what}");
            }
        }
    }

    #[test]
    fn a_tenant_asks_and_hears_under_its_own_name_and_only_the_default_one_without_a_name() {
        let of = |name: &str| topology().tenant_access(&name.parse().unwrap());
        let acme = of("acme");
        assert_eq!(acme.requests, ["sluice.submit.acme", "sluice.api.*.acme"]);
        assert_eq!(acme.outcomes, "sluice.outcomes.acme.>");
        assert_eq!(of("default").requests.len(), 4);
    }

    #[test]
    fn answers_go_to_whoever_asked_and_not_into_streams_and_buckets() {
        for reply in ["_INBOX.acme.x", "_R_.a.b", "my.own", "sluices"] {
            assert!(topology().takes_answers(reply), "{reply}");
        }
        for reply in ["$KV.sluice_gates.x", "$JS.API.STREAM.DELETE.X", "sluice.submit.other", "sluice"] {
            assert!(!topology().takes_answers(reply), "{reply}");
        }
    }
}

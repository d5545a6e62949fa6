//! What all tenants share and has a durable consumer for each lane: submissions, results, webhooks that come due.
//!
//! A tenant has one lane in all of them: that of the subject which its durable submissions are published to, for there the
//! broker finds it. What it publishes without its name, as the default tenant may, has the lane of that subject.

use super::access::Party;
use super::names::Topology;
use crate::domain::id::Tenant;
use crate::domain::lane::Lane;

/// What is spread over lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Laned {
    /// Durable submissions.
    Submissions,
    /// Outcomes on their way to the delivery service.
    Results,
    /// Webhooks whose time to be tried again has come.
    Deliveries,
}

/// The consumer of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneConsumer {
    /// Who pulls it.
    pub owner: Party,
    /// Its stream.
    pub stream: String,
    /// Its name.
    pub name: String,
    /// What it takes.
    pub filter: String,
}

impl Laned {
    /// All of it.
    pub const ALL: [Self; 3] = [Self::Submissions, Self::Results, Self::Deliveries];

    /// Who pulls it.
    #[must_use]
    pub fn owner(self) -> Party {
        match self {
            Self::Submissions => Party::Gateway,
            Self::Results | Self::Deliveries => Party::Delivery,
        }
    }
}

impl Topology {
    /// All lanes.
    pub fn lanes(&self) -> impl Iterator<Item = Lane> + use<> {
        Lane::all(self.settings().lanes)
    }

    /// The lane of a tenant.
    #[must_use]
    pub fn lane_of(&self, tenant: &Tenant) -> Lane {
        self.lane_of_submissions(Some(tenant))
    }

    /// The lane that the broker puts durable submissions in, of a tenant or without one's name.
    #[must_use]
    pub fn lane_of_submissions(&self, tenant: Option<&Tenant>) -> Lane {
        Lane::of(&self.submit(tenant), self.settings().lanes)
    }

    /// The stream of what is spread over lanes.
    #[must_use]
    pub fn laned_stream(&self, what: Laned) -> String {
        match what {
            Laned::Submissions => self.submit_stream(),
            Laned::Results => self.results_stream(),
            Laned::Deliveries => self.deliveries_stream(),
        }
    }

    /// The consumer of a lane.
    #[must_use]
    pub fn lane(&self, what: Laned, lane: Lane) -> LaneConsumer {
        let (name, subjects) = match what {
            Laned::Submissions => ("intake", "submitted"),
            Laned::Results => ("delivery", "results"),
            Laned::Deliveries => ("due", "deliveries.due"),
        };
        LaneConsumer {
            owner: what.owner(),
            stream: self.laned_stream(what),
            name: format!("{name}-{lane}"),
            filter: format!("{}.{subjects}.{lane}.>", self.prefix()),
        }
    }

    /// The consumers of all lanes.
    pub fn lane_consumers(&self) -> impl Iterator<Item = LaneConsumer> {
        Laned::ALL.into_iter().flat_map(move |what| self.lanes().map(move |lane| self.lane(what, lane)))
    }

    /// How the broker puts durable submissions in their lanes as it stores them: the subjects as they are published, and as
    /// they are stored.
    pub(super) fn submissions_transform(&self) -> (String, String) {
        let (prefix, lanes) = (self.prefix(), self.settings().lanes);
        (format!("{prefix}.>"), format!("{prefix}.submitted.{{{{partition({lanes})}}}}.>"))
    }

    /// The subject that a durable submission was published to, from the one that it is stored under.
    #[must_use]
    pub fn submitted_to(&self, stored: &str) -> Option<String> {
        let (lane, rest) = stored.strip_prefix(self.prefix())?.strip_prefix(".submitted.")?.split_once('.')?;
        lane.bytes().all(|b| b.is_ascii_digit()).then(|| format!("{}.{rest}", self.prefix()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a name that is refused fails the test")]

    use super::*;
    use crate::topology::Settings;

    fn topology(lanes: u16) -> Topology {
        let (shards, record_buckets, replicas, consumers_in_memory) = (1, 1, 1, false);
        Topology::new(Settings {
            prefix: "sluice".into(),
            shards,
            record_buckets,
            lanes,
            replicas,
            consumers_in_memory,
        })
    }

    #[test]
    fn a_tenant_has_one_lane_in_all_that_is_shared() {
        let topology = topology(8);
        for name in ["acme", "globex", "default", "_"] {
            let (tenant, job) =
                (name.parse::<Tenant>().unwrap(), crate::domain::id::JobId::derive(&Tenant::default(), "k"));
            let lane = topology.lane_of(&tenant);
            assert_eq!(topology.result(&tenant, &job), format!("sluice.results.{lane}.{name}.{job}"));
            assert_eq!(topology.delivery_due(&tenant, "x.y.0"), format!("sluice.deliveries.due.{lane}.{name}.x.y.0"));
            assert_eq!(topology.lane(Laned::Results, lane).filter, format!("sluice.results.{lane}.>"));
        }
    }

    #[test]
    fn every_lane_of_everything_has_a_consumer_of_its_own() {
        let topology = topology(3);
        let all: Vec<String> = topology.lane_consumers().map(|one| format!("{} {}", one.stream, one.name)).collect();
        assert_eq!(all.len(), 9);
        assert_eq!(all[0..2], ["SLUICE_SUBMIT intake-0", "SLUICE_SUBMIT intake-1"]);
        assert_eq!(all[8], "SLUICE_DELIVERIES due-2");
    }

    #[test]
    fn the_subject_of_a_submission_is_read_back_from_the_one_it_is_stored_under() {
        let topology = topology(8);
        assert_eq!(topology.submissions_transform().1, "sluice.submitted.{{partition(8)}}.>");
        for (stored, published) in [
            ("sluice.submitted.3.submit", Some("sluice.submit")),
            ("sluice.submitted.12.submit.acme.eu", Some("sluice.submit.acme.eu")),
            ("sluice.submit.acme", None),
            ("sluice.submitted.x.submit", None),
            ("sluice.submitted.3", None),
        ] {
            assert_eq!(topology.submitted_to(stored).as_deref(), published, "{stored}");
        }
    }
}

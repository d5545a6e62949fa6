//! What a second submission with the same key is compared by, and the key of a submission that brings none of its own.
//!
//! Invariant: the same request gives the same hash in every version that says it makes it the same way; the golden
//! values in the tests hold it to that.

use data_encoding::BASE32_DNSSEC as BASE32; // lower case, no padding
use sha2::{Digest, Sha256};

use super::id::Tenant;
use super::job::{Body, Contender, Job, Trigger};
use super::record::Fingerprint;

/// How the hash is made.
const VERSION: u8 = 1;

/// The fingerprint of a job: method, URL and body of every branch and the shape of the fallback tree; not headers,
/// metadata, times or webhooks. It is taken before any body is stored apart from its job.
#[must_use]
pub fn of(job: &Job) -> Fingerprint {
    let mut parts = Parts(Sha256::new());
    parts.number(job.branches.len() as u64);
    for branch in &job.branches {
        parts.request(branch);
        parts.place(branch);
    }
    Fingerprint { version: VERSION, hash: parts.0.finalize().into() }
}

/// The key that a request makes for itself: method, URL and body of the job's own request and whose it is, so that the
/// same request twice is one job. It is taken before any body is stored apart from its job.
#[must_use]
pub fn request_hash(job: &Job, tenant: &Tenant) -> String {
    let mut parts = Parts(Sha256::new());
    parts.bytes(tenant.as_str().as_bytes());
    if let Some(own) = job.branches.first() {
        parts.request(own);
    }
    format!("hash_{}", BASE32.encode(&parts.0.finalize()))
}

/// A hash over parts that say how long they are, so that no two lists of parts read the same.
struct Parts(Sha256);

impl Parts {
    fn number(&mut self, number: u64) {
        self.0.update(number.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn request(&mut self, branch: &Contender) {
        self.bytes(branch.request.method.as_bytes());
        self.bytes(branch.request.url.as_bytes());
        match &branch.request.body {
            Body::Empty => self.bytes(&[]),
            Body::Inline(bytes) => self.bytes(bytes),
            Body::Stored { len } => self.number(*len),
        }
    }

    /// Where the branch stands in the tree and what starts it. The order of a trigger's statuses means nothing.
    fn place(&mut self, branch: &Contender) {
        self.number(branch.parent.map_or(0, |parent| u64::from(parent.0) + 1));
        match &branch.trigger {
            None => self.bytes(b"own"),
            Some(Trigger::OnError { codes }) => {
                let mut codes = codes.clone();
                codes.sort_unstable();
                codes.dedup();
                self.bytes(b"on_error");
                self.number(codes.len() as u64);
                codes.iter().for_each(|code| self.number(u64::from(*code)));
            }
            Some(Trigger::OnTimeout { after }) => {
                self.bytes(b"on_timeout");
                self.number(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed reading fails the test")]

    use data_encoding::HEXLOWER;

    use super::*;
    use crate::clock::Millis;
    use crate::domain::submission::{self, Limits};

    fn job(json: &str) -> Job {
        submission::read(json.as_bytes(), &Limits::new(1 << 20, Millis(0), "sluice", &Tenant::default())).unwrap()
    }

    const RACE: &str = r#"{"url": "https://a.example/x", "method": "POST", "body": {"q": 1},
        "fallbacks": [{"url": "https://b.example/", "trigger": {"type": "on_error", "codes": [429, 500]}},
                      {"url": "https://c.example/", "trigger": {"type": "on_timeout", "timeout_ms": 3000}}]}"#;

    #[test]
    fn the_fingerprint_of_a_race_is_the_same_in_every_version() {
        let fingerprint = of(&job(RACE));
        assert_eq!(fingerprint.version, 1);
        assert_eq!(
            HEXLOWER.encode(&fingerprint.hash),
            "b05f00ca623ee458a903c5831daede67d0423190f104140c4a6ce0507cacab52"
        );
    }

    #[test]
    fn the_key_of_a_request_is_the_same_in_every_version() {
        assert_eq!(
            request_hash(&job(RACE), &Tenant::default()),
            "hash_kqdq0akcuer36l3kt8hhh1jk1fmu242u8n35mo22u67jm0d703b0"
        );
    }

    #[test]
    fn whatever_makes_it_another_request_changes_the_fingerprint() {
        for (from, to) in [
            ("POST", "PUT"),
            ("a.example/x", "a.example/y"),
            (r#"{"q": 1}"#, r#"{"q":1}"#),
            ("[429, 500]", "[429]"),
            ("3000", "3001"),
            ("c.example", "d.example"),
            (r#""on_error", "codes": [429, 500]"#, r#""on_timeout", "timeout_ms": 1"#),
            (
                r#"}},
                      {"#,
                r#"}, "fallback_job": {"#,
            ),
        ] {
            let changed = RACE.replace(from, to);
            let changed = if from.starts_with("}}") { changed.replace("}}]}", "}}}]}") } else { changed };
            assert_ne!(changed, RACE);
            assert_ne!(of(&job(&changed)), of(&job(RACE)), "{changed}");
        }
    }

    #[test]
    fn what_leaves_the_request_as_it_is_leaves_the_fingerprint_too() {
        for (from, to) in [
            (r#""method""#, r#""headers": {"authorization": "another"}, "method""#),
            (r#""method""#, r#""metadata": {"a": 1}, "deadline_ms": 5000, "retry_at": 7, "method""#),
            (r#""method""#, r#""webhooks": [{"url": "https://hook.example/"}], "idempotent_key": "k", "method""#),
            ("[429, 500]", "[500, 429, 500]"),
        ] {
            let changed = RACE.replacen(from, to, 1);
            assert_ne!(changed, RACE);
            assert_eq!(of(&job(&changed)), of(&job(RACE)), "{changed}");
        }
    }

    #[test]
    fn the_key_of_a_request_tells_tenants_and_requests_apart_and_nothing_else() {
        let (a, b): (Tenant, Tenant) = ("a".parse().unwrap(), "b".parse().unwrap());
        let plain = job(r#"{"url": "https://a.example/x", "method": "POST", "body": {"q": 1}}"#);
        assert_eq!(request_hash(&plain, &a), request_hash(&job(RACE), &a));
        assert_ne!(request_hash(&plain, &a), request_hash(&plain, &b));
        assert_ne!(request_hash(&plain, &a), request_hash(&job(r#"{"url": "https://a.example/x"}"#), &a));
    }
}

//! The sensitive headers of a job: sealed before they enter the broker, opened where they are sent.
//!
//! All of a request are sealed as one, names included, and sent behind those that are not. Follow-ups are sealed with
//! their job. Invariant: what was sealed once is not sealed again.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{NotOpened, Place, Seal};
use crate::domain::id::Tenant;
use crate::domain::job::{Job, Request};
use crate::wire;

/// Which headers are sealed, and with what. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Sealing {
    seal: Seal,
    pub(super) headers: Arc<BTreeSet<String>>,
}

impl Sealing {
    /// Seals headers of these names, in lower case.
    #[must_use]
    pub fn new(seal: Seal, headers: impl IntoIterator<Item = String>) -> Self {
        Self { seal, headers: Arc::new(headers.into_iter().collect()) }
    }

    /// Whether headers of this name, in lower case, are sealed.
    #[must_use]
    pub fn is_sensitive(&self, name: &str) -> bool {
        self.headers.contains(name)
    }

    /// The keys.
    #[must_use]
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// Seals the sensitive headers of a job, its fallbacks and its follow-ups.
    pub fn close(&self, tenant: &Tenant, job: &mut Job) {
        if self.seal.key().is_none() {
            return;
        }
        for contender in &mut job.branches {
            self.close_request(tenant, &mut contender.request);
        }
        for follow_up in [&mut job.on_success, &mut job.on_failure].into_iter().flatten() {
            self.close(tenant, follow_up);
        }
    }

    fn close_request(&self, tenant: &Tenant, request: &mut Request) {
        if request.sealed.is_some() || !request.headers.iter().any(|(name, _)| self.headers.contains(name)) {
            return;
        }
        let headers = std::mem::take(&mut request.headers);
        let (secret, open): (Vec<_>, Vec<_>) = headers.into_iter().partition(|(name, _)| self.headers.contains(name));
        request.headers = open;
        request.sealed = self.seal.seal(&wire::encode(&secret), &place(tenant, request));
    }

    /// All headers of a request as they are sent.
    ///
    /// # Errors
    /// Where those that are sealed cannot be opened.
    pub fn headers(&self, tenant: &Tenant, request: &Request) -> Result<Vec<(String, String)>, NotOpened> {
        let mut headers = request.headers.clone();
        if let Some(sealed) = &request.sealed {
            let text = self.seal.open(sealed, &place(tenant, request))?;
            let secret: Vec<(String, String)> =
                wire::decode(&text).map_err(|_| NotOpened::NotGenuine(sealed.key.clone()))?;
            headers.extend(secret);
        }
        Ok(headers)
    }
}

fn place<'a>(tenant: &'a Tenant, request: &'a Request) -> Place<'a> {
    Place::Headers { tenant, method: &request.method, url: &request.url }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a job that is refused fails the test")]

    use super::*;
    use crate::clock::Millis;
    use crate::domain::fingerprint;
    use crate::domain::submission::{self, Limits};
    use crate::seal::SealKey;

    const JOB: &str = r#"{"url": "https://a.example/x", "headers": {"Authorization": "Bearer canary-1", "x-a": "1"},
        "fallbacks": [{"url": "https://b.example/", "headers": {"x-api-key": ["canary-2", "canary-3"]}}],
        "on_success": {"url": "https://c.example/", "headers": {"cookie": "canary-4"},
            "on_failure": {"url": "https://d.example/", "headers": {"authorization": "canary-5"}}}}"#;

    fn job() -> Job {
        submission::read(JOB.as_bytes(), &Limits::new(1 << 20, Millis(0), "sluice", &Tenant::default())).unwrap()
    }

    fn sealing(key: u8) -> Sealing {
        let names = ["authorization", "cookie", "x-api-key"].map(str::to_owned);
        Sealing::new(Seal::new(SealKey::of_bytes([key; 32]), None), names)
    }

    #[test]
    fn nothing_of_a_sealed_job_shows_and_all_of_it_is_there_again() {
        let (tenant, mut job, plain) = (Tenant::default(), job(), job());
        sealing(1).close(&tenant, &mut job);
        let written = String::from_utf8_lossy(&wire::encode(&job)).into_owned();
        assert!(!written.contains("canary") && !written.contains("authorization"), "{written}");
        for (sealed, plain) in job.branches.iter().zip(&plain.branches) {
            let mut headers = sealing(1).headers(&tenant, &sealed.request).unwrap();
            let mut expected = plain.request.headers.clone();
            headers.sort();
            expected.sort();
            assert_eq!(headers, expected);
        }
        assert_eq!(job.branches[0].request.headers, [("x-a".to_owned(), "1".to_owned())]);
        assert_eq!(fingerprint::of(&job), fingerprint::of(&plain));
    }

    #[test]
    fn a_follow_up_that_is_submitted_later_is_not_sealed_again() {
        let (tenant, mut job) = (Tenant::default(), job());
        sealing(1).close(&tenant, &mut job);
        let mut follow_up = *job.on_success.unwrap();
        let before = follow_up.clone();
        sealing(2).close(&tenant, &mut follow_up);
        assert_eq!(follow_up, before);
        let headers = sealing(1).headers(&tenant, &follow_up.branches[0].request).unwrap();
        assert_eq!(headers, [("cookie".to_owned(), "canary-4".to_owned())]);
    }

    #[test]
    fn sealed_headers_are_not_sent_anywhere_else_nor_for_anybody_else() {
        let (tenant, mut job) = (Tenant::default(), job());
        sealing(1).close(&tenant, &mut job);
        let request = &job.branches[0].request;
        let moved = Request { url: "https://evil.example/x".into(), ..request.clone() };
        assert!(matches!(sealing(1).headers(&tenant, &moved), Err(NotOpened::NotGenuine(_))));
        assert!(sealing(1).headers(&"other".parse().unwrap(), request).is_err());
        assert!(matches!(sealing(2).headers(&tenant, request), Err(NotOpened::NoSuchKey(_))));
    }

    #[test]
    fn without_a_key_a_job_stays_as_it_is() {
        let mut same = job();
        Sealing::new(Seal::none(), ["authorization".to_owned()]).close(&Tenant::default(), &mut same);
        assert_eq!(same, job());
    }
}

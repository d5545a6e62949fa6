//! What a request about a job says: which job, and how long to wait for its end.
//!
//! Pure. Invariant: what cannot be read is answered with what can be, never with what was sent.

use std::time::Duration;

use serde::Deserialize;
use sluice_shared::domain::id::{JobId, Tenant};

use super::error::RequestError;
use crate::jobs::GetError;

/// A request about a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// Which job.
    pub(super) job: JobId,
    /// How long to wait for its end; absent: as long as may be.
    pub(super) timeout: Option<Duration>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    job_id: Option<String>,
    idempotent_key: Option<String>,
    timeout: Option<Time>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Time {
    Seconds(f64),
    Text(String),
}

impl Ask {
    /// Reads a request: the id of a job as plain text, or an object that names the job by its id or by its key.
    /// Only `waits` say how long.
    ///
    /// # Errors
    /// What is wrong with it, and what a request looks like.
    pub(super) fn read(payload: &[u8], tenant: &Tenant, waits: bool) -> Result<Self, RequestError> {
        let text = std::str::from_utf8(payload).map_err(|_| RequestError::NoJob)?.trim();
        let written = if text.starts_with('{') {
            serde_json::from_str(text).map_err(|_| RequestError::NoJob)?
        } else {
            Written { job_id: Some(text.to_owned()).filter(|id| !id.is_empty()), ..Written::default() }
        };
        if written.timeout.is_some() && !waits {
            return Err(RequestError::NoJob);
        }
        let job = match (written.job_id, written.idempotent_key) {
            (Some(id), None) => id.parse().map_err(|_| GetError::NotFound)?,
            (None, Some(key)) => JobId::derive(tenant, &key),
            (Some(_), Some(_)) | (None, None) => return Err(RequestError::NoJob),
        };
        let timeout = written.timeout.map(|time| time.read().ok_or(RequestError::NoJob)).transpose()?;
        Ok(Self { job, timeout })
    }
}

impl Time {
    fn read(self) -> Option<Duration> {
        match self {
            Self::Seconds(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            Self::Text(text) => humantime::parse_duration(&text).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a request that is refused fails the test")]

    use super::*;
    use crate::problem::Problem;

    fn read(text: &str, waits: bool) -> Result<Ask, &'static str> {
        Ask::read(text.as_bytes(), &Tenant::default(), waits).map_err(|error| Problem::from(&error).code)
    }

    #[test]
    fn a_job_is_named_by_its_id_or_by_its_key() {
        let job = JobId::derive(&Tenant::default(), "k");
        let asked = Ok(Ask { job: job.clone(), timeout: None });
        assert_eq!(read(job.as_str(), false), asked);
        assert_eq!(read(&format!(" {job}\n"), true), asked);
        assert_eq!(read(&format!(r#"{{"job_id": "{job}"}}"#), false), asked);
        assert_eq!(read(r#" {"idempotent_key": "k", "job_id": null}"#, false), asked);
    }

    #[test]
    fn a_time_is_a_number_of_seconds_or_has_a_unit() {
        let timeout = |time: &str| read(&format!(r#"{{"idempotent_key": "k", "timeout": {time}}}"#), true);
        for (time, millis) in [("30", 30_000), ("0.5", 500), (r#""30s""#, 30_000), (r#""1m 5s""#, 65_000), ("0", 0)] {
            assert_eq!(timeout(time).unwrap().timeout, Some(Duration::from_millis(millis)), "{time}");
        }
        for time in ["-1", r#""soon""#, "[]", "true", "1e300", r#""30""#] {
            assert_eq!(timeout(time), Err("invalid_request"), "{time}");
        }
    }

    #[test]
    fn what_names_no_job_or_two_is_refused() {
        for text in [
            "",
            " ",
            "{}",
            "{",
            r#"{"job_id": "job_a", "idempotent_key": "k"}"#,
            r#"{"job": "job_a"}"#,
            r#"{"job_id": 7}"#,
            r#"{"job_id": "job_a", "timeout": 1}"#,
        ] {
            assert_eq!(read(text, false), Err("invalid_request"), "{text}");
        }
        assert_eq!(read("no such.id", false), Err("no_such_job"));
        assert!(Ask::read(&[0xff], &Tenant::default(), false).is_err());
    }
}

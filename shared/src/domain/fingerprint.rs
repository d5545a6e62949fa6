//! What a second submission with the same key is compared by.

use sha2::{Digest, Sha256};

use super::job::{Body, Job, Trigger};
use super::record::Fingerprint;

/// How the hash is made.
const VERSION: u8 = 1;

/// The fingerprint of a job: method, URL and body of every branch and the shape of the fallback tree; not headers,
/// metadata, times or webhooks. Bodies must still be inline.
#[must_use]
pub fn of(job: &Job) -> Fingerprint {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update(bytes.len().to_be_bytes());
        hash.update(bytes);
    };
    for branch in &job.branches {
        part(branch.request.method.as_bytes());
        part(branch.request.url.as_bytes());
        match &branch.request.body {
            Body::Inline(bytes) => part(bytes),
            Body::Empty => part(&[]),
            Body::Stored { len } => part(&len.to_be_bytes()),
        }
        part(&branch.parent.map_or(u16::MAX, |parent| parent.0).to_be_bytes());
        match &branch.trigger {
            None => part(b"own"),
            Some(Trigger::OnError { codes }) => {
                part(b"on_error");
                codes.iter().for_each(|code| part(&code.to_be_bytes()));
            }
            Some(Trigger::OnTimeout { after }) => {
                part(b"on_timeout");
                part(&after.as_millis().to_be_bytes());
            }
        }
    }
    Fingerprint { version: VERSION, hash: hash.finalize().into() }
}

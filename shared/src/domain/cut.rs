//! Making less of what was answered, where the broker does not take all of it. Pure.
//!
//! First the largest body, half of it each time, then the headers of answers, then the requests of a job that has ended.
//! Invariant: how a job ended, and whatever the caller gave to get back, is never cut.

use bytes::Bytes;

use super::job::Body;
use super::outcome::{Answer, Content, Response};
use super::record::Record;
use super::result::JobResult;

/// A body up to this size is dropped instead of being halved. Bytes.
const SMALL: usize = 1024;

impl Record {
    /// The same with less of its answers; `None` where nothing is left that could be spared.
    #[must_use]
    pub fn smaller(&self) -> Option<Box<Self>> {
        let mut less = Box::new(self.clone());
        let of_branches = less.branches.iter_mut().filter_map(|branch| branch.last.as_mut());
        let of_outcome = less.outcome.as_mut().and_then(|outcome| outcome.answer.as_mut());
        let cut = cut(of_branches.chain(of_outcome)) || (less.outcome.is_some() && drop_requests(&mut less));
        cut.then_some(less)
    }
}

impl JobResult {
    /// The same with less of its answers; `None` where nothing is left that could be spared.
    #[must_use]
    pub fn smaller(&self) -> Option<Self> {
        let mut less = self.clone();
        let of_branches = less.branches.iter_mut().filter_map(|branch| branch.answer.as_mut());
        cut(of_branches.chain(less.outcome.answer.as_mut())).then_some(less)
    }
}

/// Makes one of these smaller; says whether one could be.
fn cut<'a>(answers: impl Iterator<Item = &'a mut Answer>) -> bool {
    let of_answer = |answer: &'a mut Answer| match &mut answer.content {
        Content::Response(response) => Some(response),
        Content::Error { .. } => None,
    };
    let weight = |response: &Response| (response.body.len(), response.headers.len());
    let Some(largest) = answers.filter_map(of_answer).max_by_key(|response| weight(response)) else { return false };
    match weight(largest) {
        (0, 0) => return false,
        (0, _) => largest.headers.clear(),
        (size, _) => {
            let kept = if size > SMALL { size / 2 } else { 0 };
            // A copy, because a slice would keep the whole body in memory.
            largest.body = Bytes::copy_from_slice(&largest.body[..kept]);
        }
    }
    largest.truncated = true;
    true
}

fn drop_requests(record: &mut Record) -> bool {
    let mut dropped = false;
    for branch in &mut record.branches {
        let request = &mut branch.contender.request;
        if matches!(request.body, Body::Inline(_)) || !request.headers.is_empty() || request.sealed.is_some() {
            request.forget_contents();
            dropped = true;
        }
    }
    dropped
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "what is not there fails the test")]
mod tests {
    use super::*;
    use crate::golden;
    use crate::wire;

    #[test]
    fn a_record_grows_smaller_until_only_what_must_be_kept_is_left() {
        let ended = golden::settled_record(300_000);
        let (mut record, mut size) = (ended.clone(), wire::encode(&ended).len());
        while let Some(less) = record.smaller() {
            let next = wire::encode(&*less).len();
            assert!(next < size + 2, "{next} is not less than {size}");
            (record, size) = (*less, next);
        }
        let (was, is) = (ended.outcome.unwrap(), record.outcome.unwrap());
        assert_eq!((was.status, was.reason, was.winner), (is.status, is.reason, is.winner));
        assert_eq!((ended.metadata, ended.webhooks, ended.key), (record.metadata, record.webhooks, record.key));
        let Content::Response(response) = is.answer.unwrap().content else { panic!("a response") };
        assert!(response.truncated && response.body.is_empty() && response.headers.is_empty());
    }

    #[test]
    fn a_body_is_halved_so_that_as_much_as_fits_is_kept() {
        let less = golden::settled_record(300_000).smaller().unwrap();
        let Content::Response(response) = less.outcome.unwrap().answer.unwrap().content else { panic!("a response") };
        assert_eq!((response.body.len(), response.truncated), (150_000, true));
    }

    #[test]
    fn a_pending_record_keeps_its_requests() {
        let mut record = golden::settled_record(0);
        record.outcome = None;
        while let Some(less) = record.smaller() {
            record = *less;
        }
        assert!(!record.branches[0].contender.request.headers.is_empty());
    }
}

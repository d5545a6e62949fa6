//! Whether a broker that did not make something said so for good, or only cannot answer at the moment.

use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind};
use async_nats::jetstream::stream::{
    ConsumerCreateStrictError, ConsumerCreateStrictErrorKind, ConsumerError, ConsumerErrorKind,
};
use async_nats::jetstream::{Error, ErrorCode};

/// A cluster that elects a leader, or has not enough servers for the moment, says so: the same request can succeed later.
const WHILE_IT_ELECTS: [ErrorCode; 3] =
    [ErrorCode::CLUSTER_NOT_AVAILABLE, ErrorCode::CLUSTER_NOT_LEADER, ErrorCode::CLUSTER_NO_PEERS];

/// What can be asked of an error of the client library.
pub(crate) trait ForNow {
    /// Whether it says nothing about what was to be made.
    fn is_for_now(&self) -> bool;
}

impl ForNow for Error {
    fn is_for_now(&self) -> bool {
        WHILE_IT_ELECTS.contains(&self.error_code())
    }
}

impl ForNow for CreateStreamError {
    fn is_for_now(&self) -> bool {
        match self.kind() {
            CreateStreamErrorKind::JetStream(error) => error.is_for_now(),
            CreateStreamErrorKind::TimedOut
            | CreateStreamErrorKind::JetStreamUnavailable
            | CreateStreamErrorKind::Response => true,
            CreateStreamErrorKind::EmptyStreamName
            | CreateStreamErrorKind::InvalidStreamName
            | CreateStreamErrorKind::DomainAndExternalSet
            | CreateStreamErrorKind::NotFound
            | CreateStreamErrorKind::ResponseParse => false,
        }
    }
}

impl ForNow for ConsumerError {
    fn is_for_now(&self) -> bool {
        match self.kind() {
            ConsumerErrorKind::JetStream(error) => error.is_for_now(),
            ConsumerErrorKind::TimedOut | ConsumerErrorKind::Request => true,
            ConsumerErrorKind::InvalidConsumerType | ConsumerErrorKind::InvalidName | ConsumerErrorKind::Other => false,
        }
    }
}

impl ForNow for ConsumerCreateStrictError {
    fn is_for_now(&self) -> bool {
        match self.kind() {
            ConsumerCreateStrictErrorKind::JetStream(error) => error.is_for_now(),
            ConsumerCreateStrictErrorKind::TimedOut | ConsumerCreateStrictErrorKind::Request => true,
            ConsumerCreateStrictErrorKind::InvalidConsumerType
            | ConsumerCreateStrictErrorKind::InvalidName
            | ConsumerCreateStrictErrorKind::AlreadyExists
            | ConsumerCreateStrictErrorKind::Other => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

    use super::*;

    fn said(code: u64) -> Error {
        let answer = format!(r#"{{"code": 503, "err_code": {code}, "description": "said by the broker"}}"#);
        serde_json::from_str(&answer).unwrap()
    }

    #[test]
    fn an_election_is_for_now_and_a_refusal_is_not() {
        for code in [10005, 10008, 10009] {
            assert!(CreateStreamError::new(CreateStreamErrorKind::JetStream(said(code))).is_for_now(), "{code}");
            assert!(ConsumerError::new(ConsumerErrorKind::JetStream(said(code))).is_for_now(), "{code}");
        }
        // The name is in use with another configuration; too little storage; not authorised.
        for code in [10058, 10047, 10074] {
            assert!(!CreateStreamError::new(CreateStreamErrorKind::JetStream(said(code))).is_for_now(), "{code}");
        }
    }

    #[test]
    fn no_answer_is_for_now() {
        assert!(CreateStreamError::new(CreateStreamErrorKind::TimedOut).is_for_now());
        assert!(ConsumerCreateStrictError::new(ConsumerCreateStrictErrorKind::Request).is_for_now());
        assert!(!ConsumerCreateStrictError::new(ConsumerCreateStrictErrorKind::AlreadyExists).is_for_now());
    }
}

//! The subjects of a job's messages: `<prefix>.<stage>.<shard>.<queue>.<job>.<incarnation>.<token>`.

use std::fmt;

use crate::domain::id::{Incarnation, JobId, QueueName, Token};

/// Which of the three subject families a job's message is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// `later`: a timer that waits in the broker.
    Later,
    /// `due`: a timer that fired, or a signal.
    Due,
    /// `jobs`: work that a queue's consumer hands out.
    Work,
}

impl Stage {
    /// Its subject token.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Later => "later",
            Self::Due => "due",
            Self::Work => "jobs",
        }
    }
}

/// What a job's message is about, apart from its stage: the address that all stages of a chain share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JobSubject {
    /// The shard of the queue.
    pub shard: u16,
    /// The queue; signals live under the queue of branch 0.
    pub queue: QueueName,
    /// The job.
    pub job: JobId,
    /// Which life of the job's key.
    pub incarnation: Incarnation,
    /// The branch or the signal.
    pub token: Token,
}

/// A subject that no version of this program publishes to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no subject of a job's message")]
pub struct UnknownSubject(String);

impl JobSubject {
    /// The subject of this address in a stage.
    #[must_use]
    pub fn at(&self, prefix: &str, stage: Stage) -> String {
        format!("{prefix}.{}.{self}", stage.as_str())
    }

    /// The address with the stage left open: what expectations compare, the same string for all publishers.
    #[must_use]
    pub fn any_stage(&self, prefix: &str) -> String {
        format!("{prefix}.*.{self}")
    }

    /// Reads a subject back.
    ///
    /// # Errors
    /// Where the subject is not of this form under this prefix.
    pub fn parse(prefix: &str, subject: &str) -> Result<(Stage, Self), UnknownSubject> {
        // Numbers can be written in more ways than one; messages are on the subject that is published to, and no other.
        let as_published =
            |address: &Self| subject.strip_suffix(&address.to_string()).is_some_and(|head| head.ends_with('.'));
        let read = Self::parts(prefix, subject).filter(|(_, address)| as_published(address));
        read.ok_or_else(|| UnknownSubject(subject.to_owned()))
    }

    fn parts(prefix: &str, subject: &str) -> Option<(Stage, Self)> {
        let mut tokens = subject.strip_prefix(prefix)?.strip_prefix('.')?.split('.');
        let stage = match tokens.next()? {
            "later" => Stage::Later,
            "due" => Stage::Due,
            "jobs" => Stage::Work,
            _ => return None,
        };
        let address = Self {
            shard: tokens.next()?.parse().ok()?,
            queue: tokens.next()?.parse().ok()?,
            job: tokens.next()?.parse().ok()?,
            incarnation: tokens.next()?.parse().ok()?,
            token: tokens.next()?.parse().ok()?,
        };
        tokens.next().is_none().then_some((stage, address))
    }
}

impl fmt::Display for JobSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}.{}", self.shard, self.queue, self.job, self.incarnation, self.token)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed parse fails the test")]

    use super::*;
    use crate::domain::id::{BranchId, Destination, Tenant};

    fn address(token: Token) -> JobSubject {
        let destination = Destination::of(&url::Url::parse("https://api.example.com/x").unwrap()).unwrap();
        JobSubject {
            shard: 3,
            queue: QueueName::of(&Tenant::default(), &destination, None),
            job: JobId::derive(&Tenant::default(), "k"),
            incarnation: Incarnation::from_random(7),
            token,
        }
    }

    #[test]
    fn a_subject_reads_back_as_what_it_was() {
        for stage in [Stage::Later, Stage::Due, Stage::Work] {
            for token in [Token::Branch(BranchId(2)), Token::Start(BranchId(1)), Token::Deadline] {
                let subject = address(token).at("sluice", stage);
                assert_eq!(JobSubject::parse("sluice", &subject).unwrap(), (stage, address(token)));
            }
        }
    }

    #[test]
    fn other_subjects_are_refused() {
        let good = address(Token::Cancel).at("sluice", Stage::Due);
        assert!(JobSubject::parse("other", &good).is_err());
        assert!(JobSubject::parse("sluice", &format!("{good}.more")).is_err());
        assert!(JobSubject::parse("sluice", "sluice.due.3").is_err());
        assert!(JobSubject::parse("sluice", &good.replace(".due.3.", ".due.03.")).is_err());
        assert!(JobSubject::parse("sluice", &good.replace(".due.", ".events.")).is_err());
    }
}

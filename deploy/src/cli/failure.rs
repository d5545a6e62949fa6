//! How the command ends when it does not end well: the exit codes, and what is said.

use std::process::ExitCode;

use crate::broker::BrokerError;

/// Why the command ends, by who can do something about it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something went wrong on the way: 1.
    Failed(anyhow::Error),
    /// The command line or the configuration is wrong: 2, as for what clap refuses.
    Usage(anyhow::Error),
    /// There is no broker, or none that can be reached: 3.
    Broker(anyhow::Error),
}

/// What `--help` says about exit codes.
pub(crate) const EXIT_CODES: &str = "Exit codes:
  0  done, or stopped by Ctrl-C or SIGTERM
  1  failed
  2  the command line or the configuration is wrong
  3  no broker: nats-server not found, not started or not reachable";

impl Failure {
    /// Says why on standard error, with the causes, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let (code, why) = match self {
            Self::Failed(why) => (1, why),
            Self::Usage(why) => (2, why),
            Self::Broker(why) => (3, why),
        };
        eprintln!("sluice: {why:#}");
        ExitCode::from(code)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(why: anyhow::Error) -> Self {
        Self::Failed(why)
    }
}

impl From<BrokerError> for Failure {
    fn from(why: BrokerError) -> Self {
        Self::Broker(why.into())
    }
}

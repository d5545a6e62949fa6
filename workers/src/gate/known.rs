//! A gate's state as this process knows it, and the one loop that changes it by compare-and-swap.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sluice_shared::clock;
use sluice_shared::domain::gate::{GateState, Nanos};
use sluice_shared::domain::id::{Destination, GateName};
use sluice_shared::nats::bucket::{Bucket, BucketError, Entry, Written};
use tokio::sync::OnceCell;

use super::inbox::Inbox;

/// What is known of a gate.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) state: Arc<GateState>,
    /// 0 where the gate has no entry, or nothing is known yet.
    pub(super) revision: u64,
}

/// A gate's entry in the broker.
pub(super) struct Shared {
    pub(super) name: GateName,
    /// Told when what is known changes.
    pub(super) inbox: Arc<Inbox>,
    bucket: Bucket<GateState>,
    known: RwLock<Known>,
    read_once: OnceCell<()>,
}

/// What became of a swap.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Swapped {
    /// It is written.
    Done,
    /// Somebody else wrote first; what is known now is theirs.
    Lost,
    /// It may be written: what it reserved is given up.
    Unknown,
}

impl Shared {
    pub(super) fn new(
        name: GateName,
        bucket: Bucket<GateState>,
        destination: Destination,
        account: Option<String>,
    ) -> Self {
        let known = RwLock::new(Known { state: GateState::new(destination, account).into(), revision: 0 });
        Self { name, inbox: Arc::default(), bucket, known, read_once: OnceCell::new() }
    }

    pub(super) fn known(&self) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces what is known where this gives another, and tells of it.
    fn replace(&self, another: impl FnOnce(&Known) -> Option<Known>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let Some(another) = another(&known) else { return };
        *known = another;
        drop(known);
        self.inbox.tell();
    }

    /// Takes in what the watch or a read says, unless it is older than what is known.
    pub(super) fn saw(&self, entry: Entry<GateState>) {
        let Entry { value, revision } = entry;
        self.replace(|known| (revision > known.revision).then(|| Known { state: value.into(), revision }));
    }

    /// The entry was removed: the gate is as if new.
    pub(super) fn removed(&self) {
        self.replace(|known| {
            let state = GateState::new(known.state.destination.clone(), known.state.account.clone());
            Some(Known { state: state.into(), revision: 0 })
        });
    }

    /// Reads the entry unless it was read before; from then on the watch and the swaps tell.
    pub(super) async fn ensure_read(&self) -> Result<(), BucketError> {
        self.read_once.get_or_try_init(|| Box::pin(self.read())).await.copied()
    }

    /// Reads the entry from the leader. What it says holds, also where it is older: the broker may have lost something.
    pub(super) async fn read(&self) -> Result<(), BucketError> {
        match self.bucket.get(self.name.as_str()).await? {
            Some(Entry { value, revision }) => self.replace(|_| Some(Known { state: value.into(), revision })),
            None => self.removed(),
        }
        Ok(())
    }

    /// Writes a state made from what was known at `revision`.
    pub(super) async fn swap(&self, state: GateState, revision: u64) -> Result<Swapped, BucketError> {
        let key = self.name.as_str();
        let written = match revision {
            0 => self.bucket.create(key, &state).await?,
            revision => self.bucket.swap(key, &state, revision).await?,
        };
        match written {
            Written::At(revision) => {
                self.saw(Entry { value: state, revision });
                Ok(Swapped::Done)
            }
            Written::Changed => {
                self.read().await?;
                Ok(Swapped::Lost)
            }
            Written::Unknown => {
                self.read().await?;
                Ok(Swapped::Unknown)
            }
        }
    }

    /// Changes the state until it is as `change` wants it (`None`: it is already). Gives up after some tries and says
    /// whether it is so.
    pub(super) async fn change(&self, change: impl Fn(&GateState, Nanos) -> Option<GateState>) -> bool {
        for _ in 0..TRIES {
            let known = self.known();
            let Some(wanted) = change(&known.state, clock::nanos()) else { return true };
            match self.swap(wanted, known.revision).await {
                Ok(Swapped::Done) => return true,
                // An unknown swap was followed by a read: whether it was written shows when it is decided again.
                Ok(Swapped::Lost | Swapped::Unknown) => {}
                Err(error) => tracing::warn!(gate = %self.name, %error, "a gate could not be changed, trying again"),
            }
            tokio::time::sleep(jitter(Duration::from_millis(2))).await;
        }
        false
    }
}

const TRIES: u32 = 50;

/// A random time from a tenth of `most` up to it.
pub(super) fn jitter(most: Duration) -> Duration {
    most.mul_f64(rand::random_range(0.1..1.0))
}

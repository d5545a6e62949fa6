//! Which queues this worker pulls: all that have an entry and may run where it is. Follows the watched sets of queues and of
//! regions that have workers, and runs one task a queue.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sluice_shared::domain::id::QueueName;
use sluice_shared::domain::region::Standpoint;
use sluice_shared::nats::bucket::Entry;
use sluice_shared::places::Places;
use sluice_shared::queues::QueueEntry;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::dispatch::Dispatcher;
use crate::gate::Gates;
use crate::pause::{PauseTeller, pause};
use crate::queue::Pull;

/// Of its time a worker spends one part in so many at most on looking through the queues, be they ever so many that change.
const LOOKS: u32 = 10;

/// The queues that this worker pulls.
pub(crate) struct Fleet {
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) gates: Gates,
    /// Messages that this worker may have in hand.
    pub(crate) places: Places,
    /// Consumers that it may be making.
    pub(crate) makers: Places,
}

/// A queue that is pulled. Dropping it stops that.
struct Pulled {
    shard: u16,
    pause: PauseTeller,
    _stop: DropGuard,
}

impl Fleet {
    /// Pulls every queue that exists until told to stop.
    pub(crate) async fn run(self) {
        let queues = self.dispatcher.handler.effects().queues();
        let stop = &self.dispatcher.stop.begun;
        let own = self.dispatcher.settings.region.as_ref();
        let (mut version, mut regions) = (queues.version(), queues.regions().changes());
        let mut pulled = HashMap::<QueueName, Pulled>::new();
        loop {
            let began = Instant::now();
            version.mark_unchanged();
            regions.mark_unchanged();
            let live = queues.regions().live();
            let standpoint = Standpoint { own, live: &live };
            queues.look(|all| {
                let takes = |entry: &Entry<QueueEntry>| standpoint.takes(&entry.value.place);
                pulled.retain(|name, one| {
                    all.get(name).is_some_and(|entry| takes(entry) && entry.value.shard == one.shard)
                });
                for (name, entry) in all.iter().filter(|(_, entry)| takes(entry)) {
                    match pulled.get(name) {
                        Some(one) => one.pause.tell(entry.value.paused_since.is_some()),
                        None => drop(pulled.insert(name.clone(), self.start(name.clone(), &entry.value))),
                    }
                }
            });
            let changed = async {
                tokio::select! {
                    changed = version.changed() => changed.is_ok(),
                    changed = regions.changed() => changed.is_ok(),
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                goes_on = next_look(began, began.elapsed(), changed) => if !goes_on { return },
            }
        }
    }

    fn start(&self, name: QueueName, entry: &QueueEntry) -> Pulled {
        let stop: CancellationToken = self.dispatcher.stop.begun.child_token();
        let (teller, pause) = pause(entry.paused_since.is_some());
        let (shard, gates) = (entry.shard, self.gates.of_queue(entry).paused_by(pause.clone()));
        let (dispatcher, places, makers) = (Arc::clone(&self.dispatcher), self.places.clone(), self.makers.clone());
        let tenant = entry.tenant.clone();
        let pull = Pull { dispatcher, name, tenant, shard, gates, pause, places, makers, stop: stop.clone() };
        self.dispatcher.tasks.spawn(pull.run());
        Pulled { shard, pause: teller, _stop: stop.drop_guard() }
    }
}

/// Resolves when something has changed since a look that began then and took so long, and the worker has rested from it. Says
/// whether anything can change still.
async fn next_look(began: Instant, took: Duration, changed: impl Future<Output = bool>) -> bool {
    let goes_on = changed.await;
    let rested = began + took * LOOKS;
    // A change after a while is seen at once; a timer rounds up to a millisecond, also where its time has come.
    if rested > Instant::now() {
        sleep_until(rested).await;
    }
    goes_on
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::time::sleep;

    use super::*;

    const TOOK: Duration = Duration::from_millis(30);

    /// How long after a look the next one begins, where a change comes so long after it.
    async fn pause(change: Duration) -> Duration {
        let began = Instant::now();
        sleep(TOOK).await;
        let ended = Instant::now();
        let changed = async {
            sleep(change).await;
            true
        };
        assert!(next_look(began, ended - began, changed).await);
        ended.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn however_much_changes_a_worker_looks_for_a_tenth_of_its_time_at_most() {
        for change in [Duration::ZERO, TOOK, TOOK * 9] {
            assert_eq!(pause(change).await, TOOK * 9, "{change:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_after_a_while_is_seen_at_once() {
        let change = TOOK * 9 + Duration::from_millis(1);
        assert_eq!(pause(change).await, change);
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_changes_any_more_there_is_no_next_look() {
        assert!(!next_look(Instant::now(), Duration::ZERO, ready(false)).await);
    }
}

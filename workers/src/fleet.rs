//! Which queues this worker pulls: all that have an entry and may run where it is. Follows the watched sets of queues and of
//! regions that have workers, and runs one task a queue.

use std::collections::HashMap;
use std::sync::Arc;

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
            let looks = Instant::now();
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
            let rested = looks + looks.elapsed() * LOOKS;
            tokio::select! {
                () = stop.cancelled() => return,
                changed = version.changed() => if changed.is_err() { return },
                changed = regions.changed() => if changed.is_err() { return },
            }
            // A change after a while is seen at once; a timer rounds up to a millisecond, also where its time has come.
            if rested > Instant::now() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep_until(rested) => {}
                }
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

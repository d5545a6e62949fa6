//! Takes in what the watch of the bucket tells: states, and the broker's time.

use std::sync::Weak;

use sluice_shared::clock;
use sluice_shared::domain::gate::GateState;
use sluice_shared::nats::bucket::Change;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::handle::Context;

pub(super) async fn follow(
    context: Weak<Context>,
    mut changes: mpsc::Receiver<Change<GateState>>,
    shutdown: CancellationToken,
) {
    // What was written before the watch began says nothing about the time now.
    let mut current = false;
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = shutdown.cancelled() => return,
        };
        let (Some(change), Some(context)) = (change, context.upgrade()) else { return };
        match change {
            Change::Anew => {
                current = false;
                for gate in context.all() {
                    if let Err(error) = gate.shared.read().await {
                        tracing::debug!(gate = %gate.shared.name, %error, "a gate could not be read again");
                    }
                }
            }
            Change::Current => current = true,
            // Somebody newer wrote it: a swap on it is refused, and says so.
            Change::Unreadable { .. } => {}
            Change::Put { key, entry, at } => {
                if current {
                    clock::heard(at.into());
                }
                if let Some(gate) = context.get(&key) {
                    gate.shared.saw(entry);
                }
            }
            Change::Removed { key } => {
                if let Some(gate) = context.get(&key) {
                    gate.shared.removed();
                }
            }
        }
    }
}

//! The stream of events lives in the broker's memory: after a restart of a single server it is gone, and made again.

use sluice_shared::nats::Nats;
use tokio_util::sync::CancellationToken;

/// Sees to it from now on, at every new connection, until told to stop.
pub(super) fn keep_events(nats: &Nats, stop: CancellationToken) {
    let nats = nats.clone();
    tokio::spawn(stop.run_until_cancelled_owned(async move {
        let mut connections = nats.connections();
        while connections.changed().await.is_ok() {
            if let Err(error) = nats.topology().create_events(&nats).await {
                tracing::warn!(%error, "what happens to jobs is not told until the next connection");
            }
        }
    }));
}

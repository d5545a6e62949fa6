//! Who may post to an endpoint now: so many at a time, some after a moment, everybody else later.
//!
//! Waiting a moment smooths bursts at an endpoint that answers; at one that does not, nobody waits who can know. Invariant:
//! an endpoint that hangs holds its own seats for as long as its posts take, and anything else for a moment only; a tenant
//! whose endpoints hang, one or a thousand, leaves seats to others at each of them, and in this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sluice_shared::domain::id::Tenant;
use tokio_util::sync::CancellationToken;

use super::seats::{Seat, Seats};

/// The shortest time that a post is put off; it doubles each time.
const SHORTEST: Duration = Duration::from_secs(1);
/// How often it doubles.
const DOUBLINGS: u32 = 8;

/// The endpoints of this process, by scheme, host and port, or by NATS subject.
pub(super) struct Endpoints {
    seats: usize,
    places: Mutex<HashMap<String, Arc<Seats>>>,
    stopping: CancellationToken,
}

impl Endpoints {
    /// So many seats at each endpoint; none is given once `stopping`.
    pub(super) fn new(seats: usize, stopping: CancellationToken) -> Self {
        Self { seats, places: Mutex::default(), stopping }
    }

    /// A seat at an endpoint for a tenant, at once or in a moment; `None` where the post must be put off.
    pub(super) async fn enter(&self, endpoint: &str, tenant: &Tenant) -> Option<Seat> {
        Seats::enter(&self.place(endpoint), tenant, 1, &self.stopping).await
    }

    fn place(&self, endpoint: &str) -> Arc<Seats> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get(endpoint) {
            return Arc::clone(place);
        }
        // What nobody uses goes when something new comes.
        if places.len() >= 64 && places.len() == places.capacity() {
            places.retain(|_, place| Arc::strong_count(place) > 1);
        }
        let place = Arc::new(Seats::new(self.seats));
        places.insert(endpoint.to_owned(), Arc::clone(&place));
        place
    }
}

/// How long a post is put off that was put off so often before; `share` is random from 0 to 1 and spreads those that
/// were put off together.
pub(super) fn put_off(before: u32, share: f64) -> Duration {
    (SHORTEST * (1 << before.min(DOUBLINGS))).mul_f64(0.5 + share.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a seat that is refused fails the test")]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_endpoint_holds_up_no_other() {
        let (endpoints, tenant) = (Endpoints::new(1, CancellationToken::new()), Tenant::default());
        let seat = endpoints.enter("a", &tenant).await.unwrap();
        assert!(endpoints.enter("a", &tenant).await.is_none());
        assert!(endpoints.enter("b", &tenant).await.is_some());
        drop(seat);
        assert!(endpoints.enter("a", &tenant).await.is_some());
    }

    #[test]
    fn endpoints_that_nobody_uses_are_forgotten() {
        let endpoints = Endpoints::new(1, CancellationToken::new());
        let used = endpoints.place("used");
        for number in 0..10_000 {
            drop(endpoints.place(&number.to_string()));
        }
        let places = endpoints.places.lock().unwrap();
        assert!(places.len() < 500, "{}", places.len());
        assert!(places.contains_key("used") && Arc::strong_count(&used) == 2);
    }

    #[test]
    fn what_is_put_off_again_is_put_off_for_longer_up_to_some_minutes() {
        assert_eq!(put_off(0, 0.5), SHORTEST);
        assert_eq!(put_off(1, 0.0), SHORTEST);
        assert_eq!(put_off(3, 1.0), Duration::from_secs(12));
        assert_eq!(put_off(u32::MAX, 1.0), Duration::from_secs(384));
    }
}

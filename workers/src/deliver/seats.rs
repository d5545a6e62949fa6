//! Seats that tenants share: taken at once, or after a moment where one may be expected, or not at all.
//!
//! Each tenant's own posts tell how long one takes. Invariant: nobody waits longer than a moment, nor where they can know that
//! it is in vain; what one tenant holds leaves some for others (see `domain::shares`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_shared::domain::id::Tenant;
use sluice_shared::places::{Place, Places};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a post waits for a seat.
const PATIENCE: Duration = Duration::from_millis(250);

/// So many seats.
pub(super) struct Seats {
    seats: u32,
    places: Places,
    paces: Mutex<HashMap<Tenant, Pace>>,
}

/// How fast the posts of a tenant lately were, and how many of them wait for a seat.
#[derive(Default)]
struct Pace {
    /// What a post takes, the latest counting for a quarter.
    post: Duration,
    waiting: u32,
    /// Somebody has waited in vain, and no post has ended since.
    stuck: bool,
}

impl Pace {
    /// Whether one more may expect to get a seat within its patience.
    fn may_wait(&self, seats: u32) -> bool {
        !self.stuck && self.post * (self.waiting + 1) / seats <= PATIENCE
    }

    fn ended(&mut self, took: Duration) {
        self.post = (self.post * 3 + took) / 4;
        self.stuck = false;
    }
}

/// A seat, free again when this is dropped.
#[must_use = "the seat is free again when this is dropped"]
pub(super) struct Seat {
    seats: Arc<Seats>,
    tenant: Tenant,
    since: Instant,
    _place: Place,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let took = self.since.elapsed();
        self.seats.with(&self.tenant, |pace| pace.ended(took));
    }
}

/// Somebody who waits for a seat, until this is dropped.
struct Waiting<'a>(&'a Seats, &'a Tenant);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.with(self.1, |pace| pace.waiting -= 1);
    }
}

impl Seats {
    /// So many, one at least.
    pub(super) fn new(seats: usize) -> Self {
        let seats = u32::try_from(seats).unwrap_or(u32::MAX).clamp(1, 1 << 16);
        Self { seats, places: Places::new(seats as usize), paces: Mutex::default() }
    }

    /// So many of them as `weight` says for one post of a tenant, at once or in a moment; `None` where it must be put off, and
    /// once `stopping`.
    pub(super) async fn enter(
        this: &Arc<Self>,
        tenant: &Tenant,
        weight: usize,
        stopping: &CancellationToken,
    ) -> Option<Seat> {
        if stopping.is_cancelled() {
            return None;
        }
        let place = match this.places.try_take_weighing(tenant, weight) {
            Some(place) => place,
            None => this.wait(tenant, weight, stopping).await?,
        };
        Some(Seat { seats: Arc::clone(this), tenant: tenant.clone(), since: Instant::now(), _place: place })
    }

    async fn wait(&self, tenant: &Tenant, weight: usize, stopping: &CancellationToken) -> Option<Place> {
        let may_wait = |pace: &mut Pace| {
            let may = pace.may_wait(self.seats);
            pace.waiting += u32::from(may);
            may
        };
        let _waiting = self.with(tenant, may_wait).then(|| Waiting(self, tenant))?;
        tokio::select! {
            place = self.places.take_weighing(tenant, weight) => Some(place),
            () = stopping.cancelled() => None,
            () = tokio::time::sleep(PATIENCE) => {
                self.with(tenant, |pace| pace.stuck = true);
                None
            }
        }
    }

    fn with<T>(&self, tenant: &Tenant, what: impl FnOnce(&mut Pace) -> T) -> T {
        let mut paces = self.paces();
        if let Some(pace) = paces.get_mut(tenant) {
            return what(pace);
        }
        // Whoever has not been seen for long is learned anew: those who wait are kept, or they would be counted wrong.
        if paces.len() >= 64 && paces.len() == paces.capacity() {
            paces.retain(|_, pace| pace.waiting > 0);
        }
        what(paces.entry(tenant.clone()).or_default())
    }

    fn paces(&self) -> MutexGuard<'_, HashMap<Tenant, Pace>> {
        self.paces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a seat that is refused fails the test")]

    use futures_util::future::join_all;

    use super::*;

    struct Room(Arc<Seats>, CancellationToken);

    impl Room {
        fn with(seats: usize) -> Self {
            Self(Arc::new(Seats::new(seats)), CancellationToken::new())
        }

        async fn enter(&self, tenant: &str) -> Option<Seat> {
            Seats::enter(&self.0, &tenant.parse().unwrap(), 1, &self.1).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn full_seats_are_left_alone_after_a_moment_and_from_then_on_at_once_until_a_post_ends() {
        let room = Room::with(2);
        let seats = room.enter("a").await.unwrap();
        let begin = Instant::now();
        assert!(room.enter("a").await.is_none());
        assert_eq!(begin.elapsed(), PATIENCE);
        assert!(room.enter("a").await.is_none());
        assert_eq!(begin.elapsed(), PATIENCE, "nobody waits where somebody has waited in vain");
        drop(seats);
        assert!(room.enter("a").await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_that_is_answered_is_served_one_after_the_other() {
        let room = Room::with(1);
        let posts = (0..20).map(|_| async {
            let seat = room.enter("a").await;
            tokio::time::sleep(PATIENCE / 25).await;
            seat.is_some()
        });
        assert_eq!(join_all(posts).await, [true; 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn where_posts_are_slow_only_those_wait_who_may_expect_a_seat() {
        let room = Room::with(3);
        let slow = [room.enter("a").await.unwrap(), room.enter("a").await.unwrap()];
        tokio::time::sleep(PATIENCE).await;
        drop(slow);
        // Two posts of 250 ms weigh a quarter each.
        let post = room.0.with(&"a".parse().unwrap(), |pace| pace.post);
        assert!(post > PATIENCE / 4 && post < PATIENCE / 2, "{post:?}");
        let expected = 3 * PATIENCE.as_millis() / post.as_millis();
        let _full = [room.enter("a").await.unwrap(), room.enter("a").await.unwrap()];
        let begin = Instant::now();
        let waited = join_all((0..10).map(|_| async {
            assert!(room.enter("a").await.is_none());
            !begin.elapsed().is_zero()
        }));
        assert_eq!(waited.await.into_iter().filter(|waited| *waited).count() as u128, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_stop_nobody_enters_and_nobody_waits() {
        let room = Room::with(1);
        let _seat = room.enter("a").await.unwrap();
        let begin = Instant::now();
        let stop = async { room.1.cancel() };
        let (waited, ()) = tokio::join!(room.enter("a"), stop);
        assert!(waited.is_none() && room.enter("b").await.is_none());
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_hangs_leaves_a_seat_to_others_who_wait_for_nothing() {
        let room = Room::with(8);
        let mut hanging = Vec::new();
        while let Some(seat) = room.enter("hangs").await {
            hanging.push(seat);
        }
        let begin = Instant::now();
        for _ in 0..3 {
            drop(room.enter("other").await.unwrap());
        }
        assert_eq!((hanging.len(), begin.elapsed()), (7, Duration::ZERO));
    }

    #[test]
    fn tenants_that_are_not_seen_any_more_are_forgotten() {
        let seats = Seats::new(1);
        for number in 0..10_000 {
            seats.with(&format!("t{number}").parse().unwrap(), |pace| pace.stuck = true);
        }
        assert!(seats.paces().len() < 500, "{}", seats.paces().len());
    }
}

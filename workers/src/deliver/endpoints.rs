//! Who may post to an endpoint now: so many at a time, some after a moment, everybody else later.
//!
//! Waiting a moment smooths bursts at an endpoint that answers; at one that does not, nobody waits who can know. Invariant:
//! an endpoint that hangs holds its own seats for as long as its posts take, and anything else for a moment only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a post waits here for a seat.
const PATIENCE: Duration = Duration::from_millis(250);
/// The shortest time that a post is put off; it doubles each time.
const SHORTEST: Duration = Duration::from_secs(1);
/// How often it doubles.
const DOUBLINGS: u32 = 8;

/// The endpoints of this process, by scheme, host and port, or by NATS subject.
pub(super) struct Endpoints {
    seats: u32,
    places: Mutex<HashMap<String, Arc<Place>>>,
    stopping: CancellationToken,
}

struct Place {
    seats: Arc<Semaphore>,
    pace: Mutex<Pace>,
}

/// How fast an endpoint lately was, and how many wait for a seat there.
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

/// A seat at an endpoint, free again when this is dropped.
#[must_use = "the seat is free again when this is dropped"]
pub(super) struct Seat {
    place: Arc<Place>,
    since: Instant,
    _seat: OwnedSemaphorePermit,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.place.pace().ended(self.since.elapsed());
    }
}

/// Somebody who waits for a seat, until this is dropped.
struct Waiting<'a>(&'a Place);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.pace().waiting -= 1;
    }
}

impl Place {
    fn new(seats: u32) -> Self {
        Self { seats: Arc::new(Semaphore::new(seats as usize)), pace: Mutex::default() }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, seats: u32) -> Option<Waiting<'_>> {
        let mut pace = self.pace();
        pace.may_wait(seats).then(|| {
            pace.waiting += 1;
            Waiting(self)
        })
    }
}

impl Endpoints {
    /// So many seats at each endpoint; none is given once `stopping`.
    pub(super) fn new(seats: usize, stopping: CancellationToken) -> Self {
        let seats = u32::try_from(seats).unwrap_or(u32::MAX).clamp(1, 1 << 16);
        Self { seats, places: Mutex::default(), stopping }
    }

    /// A seat at an endpoint, at once or in a moment; `None` where the post must be put off.
    pub(super) async fn enter(&self, endpoint: &str) -> Option<Seat> {
        let place = self.place(endpoint);
        if self.stopping.is_cancelled() {
            return None;
        }
        let seat = match Arc::clone(&place.seats).try_acquire_owned() {
            Ok(seat) => seat,
            Err(_) => self.wait(&place).await?,
        };
        Some(Seat { place, since: Instant::now(), _seat: seat })
    }

    async fn wait(&self, place: &Place) -> Option<OwnedSemaphorePermit> {
        let _waiting = place.wait(self.seats)?;
        tokio::select! {
            seat = Arc::clone(&place.seats).acquire_owned() => seat.ok(),
            () = self.stopping.cancelled() => None,
            () = tokio::time::sleep(PATIENCE) => {
                place.pace().stuck = true;
                None
            }
        }
    }

    fn place(&self, endpoint: &str) -> Arc<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get(endpoint) {
            return Arc::clone(place);
        }
        // What nobody uses goes when something new comes.
        if places.len() >= 64 && places.len() == places.capacity() {
            places.retain(|_, place| Arc::strong_count(place) > 1);
        }
        let place = Arc::new(Place::new(self.seats));
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

    use futures_util::future::join_all;

    use super::*;

    fn endpoints(seats: usize) -> Endpoints {
        Endpoints::new(seats, CancellationToken::new())
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_endpoint_is_left_alone_after_a_moment_and_from_then_on_at_once_until_a_post_ends() {
        let endpoints = endpoints(2);
        let seats = [endpoints.enter("a").await.unwrap(), endpoints.enter("a").await.unwrap()];
        let begin = Instant::now();
        assert!(endpoints.enter("a").await.is_none());
        assert_eq!(begin.elapsed(), PATIENCE);
        assert!(endpoints.enter("a").await.is_none());
        assert_eq!(begin.elapsed(), PATIENCE, "nobody waits where somebody has waited in vain");
        assert!(endpoints.enter("b").await.is_some());
        drop(seats);
        assert!(endpoints.enter("a").await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_at_an_endpoint_that_answers_is_served_one_after_the_other() {
        let endpoints = endpoints(1);
        let posts = (0..20).map(|_| async {
            let seat = endpoints.enter("a").await;
            tokio::time::sleep(PATIENCE / 25).await;
            seat.is_some()
        });
        assert_eq!(join_all(posts).await, [true; 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn where_posts_are_slow_only_those_wait_who_may_expect_a_seat() {
        let endpoints = endpoints(2);
        let slow = [endpoints.enter("a").await.unwrap(), endpoints.enter("a").await.unwrap()];
        tokio::time::sleep(PATIENCE).await;
        drop(slow);
        // Two posts of 250 ms weigh a quarter each.
        let post = endpoints.place("a").pace().post;
        assert!(post > PATIENCE / 4 && post < PATIENCE / 2, "{post:?}");
        let expected = 2 * PATIENCE.as_millis() / post.as_millis();
        let _full = [endpoints.enter("a").await.unwrap(), endpoints.enter("a").await.unwrap()];
        let begin = Instant::now();
        let waited = join_all((0..10).map(|_| async {
            assert!(endpoints.enter("a").await.is_none());
            !begin.elapsed().is_zero()
        }));
        assert_eq!(waited.await.into_iter().filter(|waited| *waited).count() as u128, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_stop_nobody_enters_and_nobody_waits() {
        let endpoints = endpoints(1);
        let _seat = endpoints.enter("a").await.unwrap();
        let begin = Instant::now();
        let stop = async { endpoints.stopping.cancel() };
        let (waited, ()) = tokio::join!(endpoints.enter("a"), stop);
        assert!(waited.is_none() && endpoints.enter("b").await.is_none());
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }

    #[test]
    fn endpoints_that_nobody_uses_are_forgotten() {
        let endpoints = endpoints(1);
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

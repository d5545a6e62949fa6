//! Places that tenants, or lanes, share: each is waited for in turn, and none of them can hold all.
//!
//! How many one may hold is [`Shares`]; here is the waiting. Of those who wait one tenant after the other gets a place, and of
//! one tenant whoever came first. Invariant: a place that is given back is given to whoever waits and may have it.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::domain::id::Tenant;
use crate::domain::shares::Shares;

/// So many places, of tenants where nothing else is said. Cheap to clone.
#[derive(Debug)]
pub struct Places<K: Key = Tenant>(Arc<Mutex<Inner<K>>>);

/// What tells those who share places from each other.
pub trait Key: Clone + Eq + Hash {}

impl<K: Clone + Eq + Hash> Key for K {}

impl<K: Key> Clone for Places<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Inner<K: Key> {
    shares: Shares<K>,
    waiting: HashMap<K, VecDeque<Waiter<K>>>,
    /// The tenants that wait, the next one first.
    turns: VecDeque<K>,
}

#[derive(Debug)]
struct Waiter<K: Key> {
    weight: usize,
    tell: oneshot::Sender<Place<K>>,
}

/// A place, free again when this is dropped.
#[derive(Debug)]
#[must_use = "the place is free again when this is dropped"]
pub struct Place<K: Key = Tenant> {
    /// Nothing once it was taken back.
    held: Option<(Places<K>, K)>,
    weight: usize,
}

impl<K: Key> Places<K> {
    /// So many, one at least; all are free.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Inner { shares: Shares::of(most), waiting: HashMap::new(), turns: VecDeque::new() })))
    }

    /// A place for a tenant, when its turn has come. Whoever leaves before loses nothing but the turn.
    pub async fn take(&self, tenant: &K) -> Place<K> {
        self.take_weighing(tenant, 1).await
    }

    /// The same for what takes the room of `weight` places.
    pub async fn take_weighing(&self, tenant: &K, weight: usize) -> Place<K> {
        loop {
            let told = match self.now_or_later(tenant, weight) {
                Ok(place) => return place,
                Err(told) => told,
            };
            if let Ok(place) = told.await {
                return place;
            }
        }
    }

    /// A place for a tenant, if it may have one now.
    #[must_use]
    pub fn try_take(&self, tenant: &K) -> Option<Place<K>> {
        self.try_take_weighing(tenant, 1)
    }

    /// The same for what takes the room of `weight` places.
    #[must_use]
    pub fn try_take_weighing(&self, tenant: &K, weight: usize) -> Option<Place<K>> {
        let mut inner = self.inner();
        // Nobody of the same tenant is overtaken.
        let first = inner.waiting.get_mut(tenant).is_none_or(|waiting| {
            while waiting.front().is_some_and(|one| one.tell.is_closed()) {
                waiting.pop_front();
            }
            waiting.is_empty()
        });
        (first && inner.shares.may_take(tenant, weight)).then(|| self.place(&mut inner, tenant, weight))
    }

    /// How much of them a tenant holds.
    #[must_use]
    pub fn held_by(&self, tenant: &K) -> usize {
        self.inner().shares.held_by(tenant)
    }

    /// The room of `weight` places for a tenant, at once and whatever is free: for what cannot wait. What is taken beyond all
    /// that there is, is missing to everybody until it is given back.
    pub fn take_anyway(&self, tenant: &K, weight: usize) -> Place<K> {
        self.place(&mut self.inner(), tenant, weight)
    }

    fn now_or_later(&self, tenant: &K, weight: usize) -> Result<Place<K>, oneshot::Receiver<Place<K>>> {
        if let Some(place) = self.try_take_weighing(tenant, weight) {
            return Ok(place);
        }
        let (tell, told) = oneshot::channel();
        let mut inner = self.inner();
        let waiting = inner.waiting.entry(tenant.clone()).or_default();
        // Those who have left go when somebody comes, or many that never get a place would pile up.
        if waiting.len() == waiting.capacity() {
            waiting.retain(|one| !one.tell.is_closed());
        }
        waiting.push_back(Waiter { weight, tell });
        if waiting.len() == 1 && !inner.turns.contains(tenant) {
            inner.turns.push_back(tenant.clone());
        }
        // One may have been given back since.
        self.hand_on(&mut inner);
        Err(told)
    }

    /// Gives what is free to those who wait, one tenant after the other.
    fn hand_on(&self, inner: &mut Inner<K>) {
        let mut passed_over = 0;
        while passed_over < inner.turns.len() {
            let Some(tenant) = inner.turns.pop_front() else { return };
            let Some(weight) = inner.next_weighs(&tenant) else { continue };
            if !inner.shares.may_take(&tenant, weight) {
                inner.turns.push_back(tenant);
                passed_over += 1;
                continue;
            }
            let Some(waiter) = inner.waiting.get_mut(&tenant).and_then(VecDeque::pop_front) else { continue };
            let place = self.place(inner, &tenant, waiter.weight);
            match waiter.tell.send(place) {
                Ok(()) => passed_over = 0,
                // Whoever it was for has left at this very moment.
                Err(mut place) => place.take_back(inner),
            }
            inner.turns.push_back(tenant);
        }
    }

    fn place(&self, inner: &mut Inner<K>, tenant: &K, weight: usize) -> Place<K> {
        inner.shares.take(tenant, weight);
        Place { held: Some((self.clone(), tenant.clone())), weight }
    }

    fn inner(&self) -> MutexGuard<'_, Inner<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Key> Inner<K> {
    /// What the first of a tenant who waits still wants; where nobody does, nothing is kept of it.
    fn next_weighs(&mut self, tenant: &K) -> Option<usize> {
        let waiting = self.waiting.get_mut(tenant)?;
        while waiting.front().is_some_and(|one| one.tell.is_closed()) {
            waiting.pop_front();
        }
        let first = waiting.front().map(|one| one.weight);
        if first.is_none() {
            self.waiting.remove(tenant);
        }
        first
    }
}

impl<K: Key> Place<K> {
    /// The room of so many places that it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// A place of its own for a part of its room; all of it where that is less.
    pub fn split(&mut self, weight: usize) -> Self {
        let part = weight.min(self.weight);
        self.weight -= part;
        Self { held: self.held.clone(), weight: part }
    }

    /// Gives it back to places that are locked.
    fn take_back(&mut self, inner: &mut Inner<K>) {
        if let Some((_, tenant)) = self.held.take() {
            inner.shares.give_back(&tenant, self.weight);
        }
    }
}

impl<K: Key> Drop for Place<K> {
    fn drop(&mut self) {
        let Some((places, tenant)) = self.held.take() else { return };
        let mut inner = places.inner();
        inner.shares.give_back(&tenant, self.weight);
        places.hand_on(&mut inner);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a place that is not had fails the test")]

    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const A_MOMENT: Duration = Duration::from_millis(20);

    fn tenant(name: &str) -> Tenant {
        name.parse().unwrap()
    }

    fn all_of(places: &Places, tenant: &Tenant) -> Vec<Place> {
        std::iter::from_fn(|| places.try_take(tenant)).collect()
    }

    #[tokio::test]
    async fn whoever_floods_leaves_a_place_to_others() {
        let (places, flood, quiet) = (Places::new(64), tenant("flood"), tenant("quiet"));
        let held = all_of(&places, &flood);
        assert_eq!(held.len(), 56);
        let waiting: Vec<_> = (0..100)
            .map(|_| {
                tokio::spawn({
                    let (places, flood) = (places.clone(), flood.clone());
                    async move { places.take(&flood).await }
                })
            })
            .collect();
        let one = timeout(A_MOMENT, places.take(&quiet)).await.unwrap();
        drop((one, held, waiting));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_get_what_is_given_back_one_tenant_after_the_other() {
        let (places, a, b, other) = (Places::new(1), tenant("a"), tenant("b"), tenant("other"));
        let first = places.try_take(&other).unwrap();
        let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
        for (name, who) in [("a1", &a), ("a2", &a), ("a3", &a), ("b1", &b), ("b2", &b)] {
            let (places, who, told) = (places.clone(), who.clone(), told.clone());
            tokio::spawn(async move {
                let place = places.take(&who).await;
                told.send(name).unwrap();
                drop(place);
            });
            tokio::time::sleep(A_MOMENT).await;
        }
        drop((first, told));
        let mut got = Vec::new();
        while let Some(name) = order.recv().await {
            got.push(name);
        }
        assert_eq!(got, ["a1", "b1", "a2", "b2", "a3"]);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_leaves_keeps_nothing_and_holds_up_nobody() {
        let (places, a) = (Places::new(1), tenant("a"));
        let held = places.try_take(&a).unwrap();
        for _ in 0..50 {
            assert!(timeout(A_MOMENT, places.take(&a)).await.is_err());
        }
        assert!(places.inner().waiting[&a].len() <= 8);
        let last = tokio::spawn({
            let (places, a) = (places.clone(), a.clone());
            async move { places.take(&a).await }
        });
        tokio::time::sleep(A_MOMENT).await;
        drop(held);
        drop(last.await.unwrap());
        assert_eq!(places.inner().shares.held_by(&a), 0);
        let inner = places.inner();
        assert!(inner.turns.len() <= 1);
    }

    #[tokio::test]
    async fn a_place_that_was_on_its_way_to_whoever_left_is_free_again() {
        let (places, a) = (Places::new(1), tenant("a"));
        let held = places.try_take(&a).unwrap();
        let mut waits = Box::pin(places.take(&a));
        assert!(futures_util::poll!(&mut waits).is_pending());
        drop(held);
        drop(waits);
        assert!(places.try_take(&a).is_some());
    }

    #[tokio::test]
    async fn a_place_in_parts_is_given_back_in_parts_and_what_is_taken_anyway_is_missing_to_all() {
        let (places, a, b) = (Places::new(16), tenant("a"), tenant("b"));
        let mut whole = places.try_take_weighing(&a, 10).unwrap();
        let parts = [whole.split(3), whole.split(4), whole.split(9)];
        assert_eq!((whole.weight(), parts.each_ref().map(Place::weight)), (0, [3, 4, 3]));
        drop(whole);
        assert_eq!(places.inner().shares.held_by(&a), 10);
        drop(parts);
        assert_eq!(places.inner().shares.held_by(&a), 0);
        let beyond = places.take_anyway(&a, 20);
        assert!(places.try_take(&b).is_none() && places.try_take(&a).is_none());
        assert_eq!((places.held_by(&a), places.held_by(&b)), (20, 0));
        drop(beyond);
        assert!(places.try_take(&b).is_some());
    }

    #[tokio::test]
    async fn what_weighs_more_takes_more_room() {
        let (places, a, b) = (Places::new(64), tenant("a"), tenant("b"));
        let heavy: Vec<Place> = std::iter::from_fn(|| places.try_take_weighing(&a, 10)).collect();
        assert_eq!(heavy.len(), 6, "60 of 64");
        assert!(places.try_take(&b).is_some());
    }
}

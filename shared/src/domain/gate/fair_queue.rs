//! Who goes next of those who wait at a gate: fair shares of its slots, whatever the length of each one's line.
//!
//! Tenants have equal shares, within a tenant its accounts there, within an account its priorities by weight. Each level is a
//! self-clocked fair queue (Golestani, "A self-clocked fair queueing scheme for broadband applications", INFOCOM 1994): a line
//! that comes to wait is stamped with the time at which it would have been served at its weight, and the least stamp goes
//! first. Nothing is saved up by not waiting, nothing that others do not use is lost, and nobody starves: of two lines of equal
//! weight that both wait none is served twice more than the other.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;

use crate::domain::id::Tenant;
use crate::domain::job::Priority;

/// The line that something waits in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Line {
    /// Whose it is.
    pub tenant: Tenant,
    /// The account at the destination.
    pub account: Option<String>,
    /// How much of the account's share it has.
    pub priority: Priority,
}

/// The accounts of a tenant.
type Accounts<T> = Level<Option<String>, Priorities<T>>;

/// The lines of an account.
type Priorities<T> = Level<Priority, VecDeque<T>>;

/// All that waits at a gate.
#[derive(Debug)]
pub struct FairQueue<T> {
    tenants: Level<Tenant, Accounts<T>>,
    waiting: usize,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { tenants: Level::default(), waiting: 0 }
    }
}

impl<T> FairQueue<T> {
    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Puts somebody at the end of a line.
    pub fn push(&mut self, line: &Line, waiter: T) {
        let of_account = self.tenants.line(&line.tenant).line(&line.account);
        of_account.line(&line.priority).push_back(waiter);
        self.waiting += 1;
    }

    /// Takes out whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        let next = self.tenants.next(|accounts| accounts.next(|lines| lines.next(VecDeque::pop_front)));
        self.waiting -= usize::from(next.is_some());
        self.keep_nothing_if_empty();
        next
    }

    /// Takes out all but those who are wanted.
    pub fn retain(&mut self, wanted: impl Fn(&T) -> bool) {
        self.tenants.retain(|accounts| accounts.retain(|lines| lines.retain(|line| line.retain(&wanted))));
        self.waiting =
            self.tenants.lines.values().flat_map(Level::lines).flat_map(Level::lines).map(VecDeque::len).sum();
        self.keep_nothing_if_empty();
    }

    /// There may be ten thousand gates at which nobody waits, and empty maps keep their memory.
    fn keep_nothing_if_empty(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// Takes out everybody.
    pub fn clear(&mut self) -> Vec<T> {
        std::iter::from_fn(|| self.pop()).collect()
    }
}

/// What has a share in a level.
trait Share {
    /// How far a turn puts it back: the inverse of its weight.
    fn stride(&self) -> u64 {
        1
    }
}

impl Share for Tenant {}

impl Share for Option<String> {}

/// 8:4:1. Of its account's slots one of high priority that has come to the front lets two go to others at most, one of low
/// priority twelve: that is late, but within sight.
impl Share for Priority {
    fn stride(&self) -> u64 {
        match self {
            Self::High => 1,
            Self::Normal => 2,
            Self::Low => 8,
        }
    }
}

/// What can be empty, and is not kept then.
trait Empty {
    fn is_empty(&self) -> bool;
}

impl<T> Empty for VecDeque<T> {
    fn is_empty(&self) -> bool {
        Self::is_empty(self)
    }
}

impl<K, L> Empty for Level<K, L> {
    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// Lines that share what the level gets. Only those in which somebody waits are kept.
#[derive(Debug)]
struct Level<K, L> {
    lines: HashMap<K, L>,
    /// By the time at which each will have been served, and among equals by who was stamped first.
    order: BTreeMap<(u64, u64), K>,
    /// The stamp of whoever was served last.
    now: u64,
    stamps: u64,
}

impl<K, L> Default for Level<K, L> {
    fn default() -> Self {
        Self { lines: HashMap::new(), order: BTreeMap::new(), now: 0, stamps: 0 }
    }
}

impl<K: Clone + Eq + Hash + Share, L: Default + Empty> Level<K, L> {
    /// The line of this key, which somebody is about to join.
    fn line(&mut self, key: &K) -> &mut L {
        if !self.lines.contains_key(key) {
            self.stamp(key.clone());
        }
        self.lines.entry(key.clone()).or_default()
    }

    fn stamp(&mut self, key: K) {
        self.stamps += 1;
        self.order.insert((self.now.saturating_add(key.stride()), self.stamps), key);
    }

    /// Takes from the line whose turn it is.
    fn next<T>(&mut self, take: impl FnOnce(&mut L) -> Option<T>) -> Option<T> {
        let ((at, _), key) = self.order.pop_first()?;
        self.now = at;
        let line = self.lines.get_mut(&key)?;
        let taken = take(line);
        if line.is_empty() {
            self.lines.remove(&key);
        } else {
            self.stamp(key);
        }
        taken
    }

    fn retain(&mut self, only: impl Fn(&mut L)) {
        self.lines.retain(|_, line| {
            only(line);
            !line.is_empty()
        });
        self.order.retain(|_, key| self.lines.contains_key(key));
    }

    fn lines(&self) -> impl Iterator<Item = &L> {
        self.lines.values()
    }
}

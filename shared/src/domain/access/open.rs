//! Which jobs are open for which keys: what a watched bucket tells, counted.
//!
//! While a new watch tells what is there, the old count stands, and what this process is about to write counts already.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::domain::id::{JobId, KeyId};

/// How long an entry without a job is kept: whoever made it may be about to store the job.
const ABOUT_TO: Duration = Duration::from_secs(60);

/// What is known of a job that is open for a key, in the bucket under [`OpenName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenJob {
    /// When it was about to be stored.
    pub at: Millis,
}

/// A key and a job: `<key>.<job>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OpenName {
    /// The key that it was submitted with, or one that that was made with.
    pub key: KeyId,
    /// The job.
    pub job: JobId,
}

/// No name of an open job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no key and job")]
pub struct NoOpenName;

/// An entry, as far as this process knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its revision; 0 where it is being written.
    pub revision: u64,
    /// When it was made.
    pub at: Millis,
    /// Whether this process made it.
    pub ours: bool,
}

/// All open jobs that count for some key.
#[derive(Debug, Default)]
pub struct Open {
    jobs: HashMap<JobId, HashMap<KeyId, Place>>,
    counts: HashMap<KeyId, u32>,
}

impl Open {
    /// How many a key has.
    #[must_use]
    pub fn count(&self, key: &KeyId) -> u32 {
        self.counts.get(key).copied().unwrap_or_default()
    }

    /// Begins an entry that is about to be written, unless its key has as many as it may; whether it has begun.
    pub fn begin(&mut self, name: &OpenName, most: u32, at: Millis) -> bool {
        let room = self.count(&name.key) < most;
        if room {
            self.put(name.clone(), Place { revision: 0, at, ours: true });
        }
        room
    }

    /// Whether an entry of this revision is among the first `most` that are open for a key. Those that are being written come
    /// later.
    #[must_use]
    pub fn is_within(&self, key: &KeyId, most: u32, revision: u64) -> bool {
        if self.count(key) <= most {
            return true;
        }
        let places = self.jobs.values().filter_map(|keys| keys.get(key));
        let before = places.filter(|place| (1..revision).contains(&place.revision)).count();
        u32::try_from(before).is_ok_and(|before| before < most)
    }

    /// What is known of one.
    #[must_use]
    pub fn get(&self, name: &OpenName) -> Option<Place> {
        self.jobs.get(&name.job)?.get(&name.key).copied()
    }

    /// The keys that a job counts for.
    pub fn of(&self, job: &JobId) -> impl Iterator<Item = (&KeyId, &Place)> {
        self.jobs.get(job).into_iter().flatten()
    }

    /// All jobs, in no order.
    pub fn jobs(&self) -> impl Iterator<Item = &JobId> {
        self.jobs.keys()
    }

    /// One that is there. One that this process made stays its own.
    pub fn put(&mut self, name: OpenName, place: Place) {
        let keys = self.jobs.entry(name.job).or_default();
        match keys.get_mut(&name.key) {
            Some(there) => *there = Place { ours: there.ours || place.ours, ..place },
            None => {
                *self.counts.entry(name.key.clone()).or_default() += 1;
                keys.insert(name.key, place);
            }
        }
    }

    /// One that is gone.
    pub fn remove(&mut self, name: &OpenName) {
        let Some(keys) = self.jobs.get_mut(&name.job) else { return };
        if keys.remove(&name.key).is_none() {
            return;
        }
        if keys.is_empty() {
            self.jobs.remove(&name.job);
        }
        if let Some(count) = self.counts.get_mut(&name.key) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&name.key);
            }
        }
    }

    /// Takes the place of what was known before a new watch: what this process was writing meanwhile is not lost.
    pub fn replace(&mut self, fresh: Self) {
        let before = std::mem::replace(self, fresh);
        for (job, keys) in before.jobs {
            for (key, place) in keys.into_iter().filter(|(_, place)| place.ours) {
                let name = OpenName { key, job: job.clone() };
                match self.get(&name) {
                    Some(there) => self.put(name, Place { ours: true, ..there }),
                    None if place.revision == 0 => self.put(name, place),
                    None => {}
                }
            }
        }
    }
}

impl Place {
    /// Whether nothing will come of an entry that has no job.
    #[must_use]
    pub fn is_left_behind(&self, now: Millis) -> bool {
        now.since(self.at) > ABOUT_TO
    }
}

impl fmt::Display for OpenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.key, self.job)
    }
}

impl FromStr for OpenName {
    type Err = NoOpenName;

    fn from_str(name: &str) -> Result<Self, NoOpenName> {
        let (key, job) = name.split_once('.').ok_or(NoOpenName)?;
        let (key, job) = (key.parse().map_err(|_| NoOpenName)?, job.parse().map_err(|_| NoOpenName)?);
        Ok(Self { key, job })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a name that cannot be read fails the test")]

    use super::*;

    fn name(key: &str, job: &str) -> OpenName {
        format!("{key}.{job}").parse().unwrap()
    }

    fn place(revision: u64, ours: bool) -> Place {
        Place { revision, at: Millis(1), ours }
    }

    #[test]
    fn each_job_counts_once_for_each_key() {
        let (mut open, a, b): (Open, KeyId, KeyId) = (Open::default(), "a".parse().unwrap(), "b".parse().unwrap());
        for (key, job) in [("a", "1"), ("a", "2"), ("b", "2"), ("a", "1")] {
            open.put(name(key, job), place(1, false));
        }
        assert_eq!((open.count(&a), open.count(&b)), (2, 1));
        open.remove(&name("a", "2"));
        open.remove(&name("a", "2"));
        open.remove(&name("b", "1"));
        assert_eq!((open.count(&a), open.count(&b)), (1, 1));
        assert_eq!(open.of(&"2".parse().unwrap()).map(|(key, _)| key).collect::<Vec<_>>(), [&b]);
        open.remove(&name("a", "1"));
        assert!(open.counts.len() == 1 && open.jobs.len() == 1);
    }

    #[test]
    fn no_more_are_begun_than_there_is_room_for() {
        let (mut open, names) = (Open::default(), ["1", "2", "3"].map(|job| name("a", job)));
        let begun: Vec<bool> = names.iter().map(|name| open.begin(name, 2, Millis(1))).collect();
        assert_eq!((begun, open.get(&names[1])), (vec![true, true, false], Some(place(0, true))));
    }

    #[test]
    fn the_first_entries_of_a_key_are_within_its_quota_and_no_others() {
        let (mut open, a): (Open, KeyId) = (Open::default(), "a".parse().unwrap());
        for (key, job, revision) in [("a", "1", 7), ("b", "2", 8), ("a", "3", 9), ("a", "4", 12), ("a", "5", 0)] {
            open.put(name(key, job), place(revision, false));
        }
        let within: Vec<bool> = [7, 9, 12].iter().map(|revision| open.is_within(&a, 2, *revision)).collect();
        assert_eq!(within, [true, true, false]);
        assert!(open.is_within(&a, 4, 12), "there is room for all");
        open.remove(&name("a", "3"));
        assert!(open.is_within(&a, 2, 12));
    }

    #[test]
    fn what_is_being_written_is_not_lost_to_a_new_watch_and_what_was_removed_is() {
        let mut open = Open::default();
        open.put(name("a", "written"), place(1, true));
        open.put(name("a", "removed"), place(2, true));
        open.put(name("a", "writing"), place(0, true));
        let mut fresh = Open::default();
        fresh.put(name("a", "written"), place(7, false));
        fresh.put(name("a", "another"), place(8, false));
        open.replace(fresh);
        assert_eq!(open.get(&name("a", "written")), Some(place(7, true)));
        assert_eq!(open.get(&name("a", "another")), Some(place(8, false)));
        assert_eq!(open.get(&name("a", "writing")), Some(place(0, true)));
        assert_eq!(open.get(&name("a", "removed")), None);
        assert_eq!(open.count(&"a".parse().unwrap()), 3);
    }

    #[test]
    fn a_name_reads_back_and_others_are_none() {
        assert_eq!(name("a", "b").to_string(), "a.b");
        for other in ["", "a", "a.", ".b", "a.b.c"] {
            assert!(other.parse::<OpenName>().is_err(), "{other}");
        }
    }
}

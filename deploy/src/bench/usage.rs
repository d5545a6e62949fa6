//! What a process has used so far: processor time and memory, as the kernel counts them.
//!
//! Where there is no `/proc` everything is 0.

use std::ops::{Add, Sub};

use serde_json::{Value, json};

/// Microseconds in a tick of `/proc/<pid>/stat`: it has a hundred a second on every Linux that is in use.
const TICK_US: u64 = 10_000;

/// What a process, or several together, has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Processor time, in microseconds.
    pub(super) cpu_us: u64,
    /// Memory in use, in KiB.
    pub(super) rss_kib: u64,
}

impl Usage {
    /// That of this process id; nothing where it does not run.
    pub(super) fn of(pid: Option<u32>) -> Self {
        let read = |what| pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/{what}")).ok());
        let cpu_us = read("stat").and_then(|stat| ticks(&stat)).unwrap_or_default() * TICK_US;
        Self { cpu_us, rss_kib: read("status").and_then(|status| rss(&status)).unwrap_or_default() }
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { cpu_us: self.cpu_us + other.cpu_us, rss_kib: self.rss_kib + other.rss_kib }
    }
}

/// What was used since an earlier look: the processor time between, the memory as it is.
impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { cpu_us: self.cpu_us.saturating_sub(before.cpu_us), ..self }
    }
}

/// What each role used, all its processes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) nats: Usage,
    pub(super) gateway: Usage,
    pub(super) worker: Usage,
    pub(super) delivery: Usage,
}

impl Used {
    fn each(self) -> [(&'static str, Usage); 4] {
        [("nats", self.nats), ("gateway", self.gateway), ("worker", self.worker), ("delivery", self.delivery)]
    }

    /// Processor time for each job, in whole microseconds, by role.
    pub(super) fn cpu_us_per_job(self, jobs: u32) -> Value {
        let jobs = u64::from(jobs.max(1));
        self.each().map(|(role, usage)| (role.to_owned(), json!(usage.cpu_us / jobs))).into_iter().collect()
    }

    /// Memory in whole MiB, by role.
    pub(super) fn rss_mb(self) -> Value {
        self.each().map(|(role, usage)| (role.to_owned(), json!(usage.rss_kib / 1024))).into_iter().collect()
    }
}

impl Sub for Used {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            nats: self.nats - before.nats,
            gateway: self.gateway - before.gateway,
            worker: self.worker - before.worker,
            delivery: self.delivery - before.delivery,
        }
    }
}

/// User and system time of `/proc/<pid>/stat`: fields 14 and 15, counted behind the name, which may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

fn rss(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_name_with_spaces_and_brackets() {
        let stat = "42 (a b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1 0 100";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("nonsense"), None);
    }

    #[test]
    fn memory_is_found_by_its_name() {
        assert_eq!(rss("VmPeak:\t  900 kB\nVmRSS:\t  512 kB\n"), Some(512));
        assert_eq!(rss(""), None);
    }

    #[test]
    fn this_process_uses_memory_and_one_that_is_not_there_nothing() {
        assert!(Usage::of(Some(std::process::id())).rss_kib > 0 || !cfg!(target_os = "linux"));
        assert_eq!(Usage::of(None), Usage::default());
    }

    #[test]
    fn between_two_looks_the_time_is_a_difference_and_the_memory_is_not() {
        let look = |cpu_us| Used { worker: Usage { cpu_us, rss_kib: 2048 }, ..Used::default() };
        let used = look(5000) - look(1000);
        assert_eq!(used.cpu_us_per_job(4), json!({"nats": 0, "gateway": 0, "worker": 1000, "delivery": 0}));
        assert_eq!(used.rss_mb()["worker"], 2);
    }
}

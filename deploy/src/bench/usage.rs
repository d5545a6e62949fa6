//! What a process has used so far: processor time and memory, as the kernel counts them.
//!
//! Where there is no `/proc` everything is 0.

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
}

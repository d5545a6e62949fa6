//! The machine that something was measured on, for whoever reads the figures.

use serde::Serialize;

/// What figures depend on most.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's name, where the system tells it.
    pub cpu: String,
    /// How many processors this process may use.
    pub cpus: usize,
    /// Memory, in MiB; 0 where the system does not tell it.
    pub memory_mib: u64,
    /// The operating system.
    pub system: String,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let kernel = read("/proc/sys/kernel/osrelease");
        Self {
            cpu: value_of(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: value_of(&read("/proc/meminfo"), "MemTotal").map_or(0, |kib| kib_of(&kib) / 1024),
            system: format!("{} {}", std::env::consts::OS, kernel.trim()).trim_end().to_owned(),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} x {}, {} MiB, {}", self.cpus, self.cpu, self.memory_mib, self.system)
    }
}

/// The value of the first line `name : value`.
fn value_of(text: &str, name: &str) -> Option<String> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned()).next()
}

/// `24576 kB` as a number.
fn kib_of(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_the_kernel_writes_them() {
        let text = "processor\t: 0\nmodel name\t: A Processor: 3 GHz\nmodel name\t: another\n";
        assert_eq!(value_of(text, "model name"), Some("A Processor: 3 GHz".into()));
        assert_eq!(value_of(text, "cache"), None);
        assert_eq!((kib_of("24576 kB"), kib_of("")), (24_576, 0));
    }
}

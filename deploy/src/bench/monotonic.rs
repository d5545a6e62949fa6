//! A clock that all processes of this machine share and nobody sets.

use nix::time::{ClockId, clock_gettime};

/// Microseconds since some moment before every process of a benchmark was started.
pub(super) fn micros() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).ok();
    let micros = now.map(|now| now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000);
    micros.and_then(|micros| u64::try_from(micros).ok()).unwrap_or_default()
}

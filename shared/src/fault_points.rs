//! Places where a test can make this program panic, to see what becomes of a job whose handling has a defect.
//!
//! Inert unless the process has asked for it, which no product does: a job then panics at the places that its key names,
//! `panic at <place>`. Invariant: nothing that comes from outside turns this on.

use std::sync::OnceLock;

static ON: OnceLock<()> = OnceLock::new();

/// From now on, jobs of this process panic where their keys say so. For the binary that tests start.
pub fn obey_keys() {
    let _ = ON.set(());
}

/// Panics where that was asked for by the key of a job.
///
/// # Panics
/// That is what it is for.
#[inline]
pub fn point(place: &str, key: &str) {
    if ON.get().is_some() {
        let asked = key.split("panic at ").skip(1).any(|asked| asked.split([',', ' ']).next() == Some(place));
        assert!(!asked, "asked for by the key {key}");
    }
}

//! How much the embedded server may store: what it has stored already, and most of what is free beside that.
//!
//! The server by itself would take three quarters of what is free at its start, whatever it holds already: a store that
//! fills most of a disk would come back with less than it holds, and take nothing any more.

use std::path::Path;

/// Of each ten bytes that are free, this many may be stored; the rest is for what a store needs beside its messages.
const OF_TEN: u64 = 9;

/// How much the server that keeps its store in this directory may store from now on, in bytes; `None` where nobody says how
/// much is free.
pub(super) fn limit(store: &Path) -> Option<u64> {
    let existing = store.ancestors().find(|dir| dir.exists())?;
    Some(of(stored(store), free(existing)?))
}

fn of(stored: u64, free: u64) -> u64 {
    stored.saturating_add(free / 10 * OF_TEN)
}

/// What is free for this user on the file system of a directory, in bytes.
#[must_use]
pub fn free(dir: &Path) -> Option<u64> {
    let disk = nix::sys::statvfs::statvfs(dir).ok()?;
    disk.blocks_available().checked_mul(disk.fragment_size())
}

/// The sizes of all files under a directory, links not followed; what vanishes meanwhile counts nothing.
fn stored(dir: &Path) -> u64 {
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => stored(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    std::fs::read_dir(dir).map_or(0, |entries| entries.flatten().map(size).sum())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a directory that cannot be made fails the test")]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_counts_and_a_tenth_of_what_is_free_is_left_alone() {
        assert_eq!(of(70, 30), 97);
        assert_eq!(of(0, 0), 0);
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("a");
        let empty = limit(&store).unwrap();
        std::fs::create_dir_all(store.join("b")).unwrap();
        std::fs::write(store.join("b").join("c"), [0; 1000]).unwrap();
        assert_eq!(stored(&store), 1000);
        assert!(empty > 0 && free(dir.path()).unwrap() > empty / 10);
    }
}

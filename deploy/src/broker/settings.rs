//! The configuration file that the embedded nats-server is started with. Pure.

use std::path::{Path, PathBuf};

/// The largest payload the embedded server takes, in bytes: all limits on jobs derive from it.
pub const MAX_PAYLOAD: usize = 8 * 1024 * 1024;
/// The log is rotated at this size, in bytes, and one older file is kept.
const LOG_LIMIT: usize = 16 * 1024 * 1024;

/// How often the server makes sure that what it acknowledged is on the disk. A kill of the process loses nothing either
/// way: this is about power cuts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SyncInterval {
    /// The server's own default, two minutes.
    #[default]
    Server,
    /// Before every acknowledgement: safe, and slow.
    Always,
    /// Every so many seconds.
    Seconds(u64),
}

/// Where the embedded server keeps everything: one directory of its own.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    dir: PathBuf,
}

impl Layout {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
    /// Locked as long as a server runs here; holds its process id.
    pub(super) fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }
    /// Where the server keeps what it stores, within the directory.
    pub(super) fn store(&self) -> PathBuf {
        self.dir.join("jetstream")
    }
    pub(super) fn config(&self) -> PathBuf {
        self.dir.join("nats-server.conf")
    }
    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("nats-server.log")
    }
    /// Where the server writes which port it got.
    pub(super) fn ports(&self) -> PathBuf {
        self.dir.join("ports")
    }
    /// Which port it had last, so that it stays the same over restarts.
    pub(super) fn last_port(&self) -> PathBuf {
        self.dir.join("port")
    }
}

/// The text of the file. Without a port the server chooses a free one; without a limit it stores as much as it thinks fit.
pub(super) fn server_config(layout: &Layout, port: Option<u16>, sync: &SyncInterval, max_store: Option<u64>) -> String {
    let store = max_store.map(|bytes| format!("  max_file_store: {bytes}\n")).unwrap_or_default();
    let port = port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
    let sync = match sync {
        SyncInterval::Server => String::new(),
        SyncInterval::Always => "  sync_interval: always\n".to_owned(),
        SyncInterval::Seconds(seconds) => format!("  sync_interval: \"{seconds}s\"\n"),
    };
    format!(
        "# Written at every start: changes are lost.\n\
         server_name: sluice\nhost: \"127.0.0.1\"\nport: {port}\nmax_payload: {MAX_PAYLOAD}\n\
         log_file: {log}\nlogfile_size_limit: {LOG_LIMIT}\nlogfile_max_num: 2\nports_file_dir: {ports}\n\
         jetstream {{\n  store_dir: {dir}\n{store}{sync}}}\n",
        log = quoted(&layout.log()),
        ports = quoted(&layout.ports()),
        dir = quoted(layout.dir()),
    )
}

fn quoted(path: &Path) -> String {
    let escaped = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_listens_on_loopback_only_and_chooses_its_port() {
        let text = server_config(&Layout::new(Path::new("/d")), None, &SyncInterval::Server, None);
        assert!(text.contains("host: \"127.0.0.1\"\nport: -1\n"), "{text}");
        assert!(!text.contains("sync_interval") && !text.contains("max_file_store"), "{text}");
    }

    #[test]
    fn a_path_with_quotes_stays_one_string() {
        let text = server_config(&Layout::new(Path::new("/a \"b\"")), Some(4333), &SyncInterval::Always, Some(7));
        assert!(text.contains(r#"store_dir: "/a \"b\"""#), "{text}");
        assert!(text.contains("  max_file_store: 7\n"), "{text}");
        assert!(text.contains("port: 4333\n") && text.contains("sync_interval: always\n"), "{text}");
    }
}

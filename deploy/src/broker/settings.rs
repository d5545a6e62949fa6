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

/// What makes a server one of a cluster on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The server's name: one of its own in the cluster.
    pub name: String,
    /// The port where the others reach it.
    pub port: u16,
    /// Those of all members.
    pub routes: Vec<u16>,
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
/// Its cache of who listens to a subject is off: nearly every message has a subject of its own, that of a job or an inbox.
pub(super) fn server_config(
    layout: &Layout,
    port: Option<u16>,
    sync: &SyncInterval,
    max_store: Option<u64>,
    member: Option<&Member>,
) -> String {
    let store = max_store.map(|bytes| format!("  max_file_store: {bytes}\n")).unwrap_or_default();
    let port = port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
    let sync = match sync {
        SyncInterval::Server => String::new(),
        SyncInterval::Always => "  sync_interval: always\n".to_owned(),
        SyncInterval::Seconds(seconds) => format!("  sync_interval: \"{seconds}s\"\n"),
    };
    format!(
        "# Written at every start: changes are lost.\n\
         server_name: {name}\nhost: \"127.0.0.1\"\nport: {port}\nmax_payload: {MAX_PAYLOAD}\n\
         disable_sublist_cache: true\n\
         log_file: {log}\nlogfile_size_limit: {LOG_LIMIT}\nlogfile_max_num: 2\nports_file_dir: {ports}\n\
         jetstream {{\n  store_dir: {dir}\n{store}{sync}}}\n{cluster}",
        name = member.map_or("sluice", |member| member.name.as_str()),
        cluster = member.map(cluster).unwrap_or_default(),
        log = quoted(&layout.log()),
        ports = quoted(&layout.ports()),
        dir = quoted(layout.dir()),
    )
}

/// Clients are told of no other server: whoever is given one address, or several, keeps to them.
fn cluster(member: &Member) -> String {
    let routes: Vec<String> = member.routes.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
    format!(
        "cluster {{\n  name: sluice\n  listen: \"127.0.0.1:{}\"\n  no_advertise: true\n  routes: [{}]\n}}\n",
        member.port,
        routes.join(", ")
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
        let text = server_config(&Layout::new(Path::new("/d")), None, &SyncInterval::Server, None, None);
        assert!(text.contains("host: \"127.0.0.1\"\nport: -1\n"), "{text}");
        assert!(!text.contains("sync_interval") && !text.contains("max_file_store"), "{text}");
    }

    #[test]
    fn a_member_of_a_cluster_has_a_name_of_its_own_and_knows_the_others() {
        let member = Member { name: "two".into(), port: 6002, routes: vec![6001, 6002] };
        let text = server_config(&Layout::new(Path::new("/d")), None, &SyncInterval::Server, None, Some(&member));
        assert!(text.contains("server_name: two\n") && text.contains("listen: \"127.0.0.1:6002\"\n"), "{text}");
        assert!(text.contains("routes: [\"nats://127.0.0.1:6001\", \"nats://127.0.0.1:6002\"]"), "{text}");
    }

    #[test]
    fn a_path_with_quotes_stays_one_string() {
        let text = server_config(&Layout::new(Path::new("/a \"b\"")), Some(4333), &SyncInterval::Always, Some(7), None);
        assert!(text.contains(r#"store_dir: "/a \"b\"""#), "{text}");
        assert!(text.contains("  max_file_store: 7\n"), "{text}");
        assert!(text.contains("port: 4333\n") && text.contains("sync_interval: always\n"), "{text}");
    }
}

//! The process between us and the embedded nats-server: it runs the server as its child, and kills it when its own
//! standard input closes. The other end of that pipe is held by the process that wanted the server, so the server ends
//! with it, however it ends.
//!
//! Invariant: the lock on the store lives exactly as long as the server. The locked file is the server's standard input,
//! so the lock outlasts even a guard that was killed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

use super::settings::Layout;

/// How long a server of a parent that was killed a moment ago may still hold the store.
const LOCK_WAIT: Duration = Duration::from_secs(3);
/// How long the server may take to end by itself. A large one takes minutes; a kill loses nothing.
const GRACE: Duration = Duration::from_secs(5);

/// The name of the hidden subcommand that runs this.
pub const SUBCOMMAND: &str = "embedded-nats";

/// What the guard runs.
#[derive(Clone, Debug, clap::Args)]
pub struct GuardOptions {
    /// The nats-server to run.
    #[arg(long)]
    pub server: PathBuf,
    /// The directory where it keeps everything.
    #[arg(long)]
    pub dir: PathBuf,
    /// Its configuration file, which is moved into the directory once the directory is ours.
    #[arg(long)]
    pub config: PathBuf,
}

/// What the guard tells its parent, one a line on its standard output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// Another server holds the store: its process id, where known.
    InUse(Option<u32>),
    /// The server was started and has this process id.
    Running(u32),
    /// There is no server, or no longer one; why.
    Ended(String),
}

impl Report {
    fn line(&self) -> String {
        match self {
            Self::InUse(pid) => format!("in-use {}", pid.unwrap_or_default()),
            Self::Running(pid) => format!("running {pid}"),
            Self::Ended(why) => format!("ended {}", why.replace('\n', " ")),
        }
    }

    pub(super) fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.trim_end().split_once(' ')?;
        match word {
            "in-use" => Some(Self::InUse(rest.parse().ok().filter(|pid| *pid != 0))),
            "running" => rest.parse().ok().map(Self::Running),
            "ended" => Some(Self::Ended(rest.to_owned())),
            _ => None,
        }
    }

    /// A parent that is gone cannot be told, and need not be.
    fn tell(&self) {
        let _ = writeln!(io::stdout(), "{}", self.line());
    }
}

/// Runs the server until it ends, or until the parent closes our standard input, says `stop` there, or sends SIGTERM.
pub async fn guard(options: GuardOptions) -> ExitCode {
    let (report, code) = match run(&options).await {
        Ok(ended) => (ended, ExitCode::SUCCESS),
        Err(error) => (Report::Ended(error.to_string()), ExitCode::FAILURE),
    };
    report.tell();
    code
}

async fn run(options: &GuardOptions) -> io::Result<Report> {
    // Signals first: one that comes while the server starts must not end us alone.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut parent = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
    let layout = Layout::new(&options.dir);
    let Some(mut lock) = locked(&layout.lock()).await? else {
        return Ok(Report::InUse(holder(&layout.lock())));
    };
    forget_ports(&layout.ports());
    std::fs::rename(&options.config, layout.config())?;
    let mut server = spawn(&options.server, &layout, &lock)?;
    let pid = server.id().ok_or_else(|| io::Error::other("the server ended at once"))?;
    lock.set_len(0)?;
    writeln!(lock, "{pid}")?;
    Report::Running(pid).tell();
    let mut word = [0_u8; 16];
    let ended = tokio::select! {
        ended = server.wait() => ended?,
        said = parent.read(&mut word) => match said {
            Ok(length) if length > 0 => end_gently(&mut server, pid).await?,
            Ok(_) | Err(_) => end_now(&mut server).await?,
        },
        _ = terminate.recv() => end_gently(&mut server, pid).await?,
        _ = interrupt.recv() => end_gently(&mut server, pid).await?,
    };
    Ok(Report::Ended(ended.to_string()))
}

/// The locked file, or nothing where another process keeps the lock.
async fn locked(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(Duration::from_millis(20)).await,
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn holder(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Removes what servers that were killed have left behind: one of them may have had the process id of the next.
fn forget_ports(ports: &Path) {
    for entry in std::fs::read_dir(ports).into_iter().flatten().flatten() {
        let _ = std::fs::remove_file(entry.path());
    }
}

fn spawn(server: &Path, layout: &Layout, lock: &File) -> io::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(layout.log())?;
    Command::new(server)
        .arg("-c")
        .arg(layout.config())
        .stdin(Stdio::from(lock.try_clone()?))
        .stdout(Stdio::null())
        .stderr(Stdio::from(log))
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{} cannot be run: {error}", server.display())))
}

async fn end_gently(server: &mut Child, pid: u32) -> io::Result<std::process::ExitStatus> {
    if let Ok(pid) = i32::try_from(pid) {
        // It fails only for a server that has ended by itself, which the wait below sees.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    match timeout(GRACE, server.wait()).await {
        Ok(ended) => ended,
        Err(_) => end_now(server).await,
    }
}

async fn end_now(server: &mut Child) -> io::Result<std::process::ExitStatus> {
    server.start_kill()?;
    server.wait().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_read_back_as_what_they_were() {
        for report in
            [Report::InUse(Some(7)), Report::InUse(None), Report::Running(12), Report::Ended("exit status: 1".into())]
        {
            assert_eq!(Report::parse(&report.line()), Some(report));
        }
        assert_eq!(Report::parse("usage: something else"), None);
    }
}

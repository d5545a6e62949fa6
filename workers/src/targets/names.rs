//! Addresses of names, by the resolver of the machine; or by a script, where a test has given one.
//!
//! Inert unless the process has asked for it, which no product does. Invariant: nothing that comes from outside turns the
//! script on.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, OnceLock, PoisonError};

static SCRIPT: OnceLock<Mutex<Script>> = OnceLock::new();

/// What each name answers, in turn; the last answer again and again.
type Script = BTreeMap<String, Turns>;

struct Turns {
    answers: Vec<Vec<IpAddr>>,
    next: usize,
}

/// From now on, the names of this script answer as it says. For the binary that tests start.
///
/// Each line is a name and its answers in turn, each a list of addresses: `rebinding.example 203.0.113.7 127.0.0.1,::1`.
pub fn follow(script: &str) {
    let turns = script.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?.to_owned();
        let answers = words.map(|answer| answer.split(',').filter_map(|address| address.parse().ok()).collect());
        Some((name, Turns { answers: answers.collect(), next: 0 }))
    });
    let _ = SCRIPT.set(Mutex::new(turns.collect()));
}

/// The addresses of a name, each with port 0.
pub(super) async fn look_up(name: &str) -> io::Result<Vec<SocketAddr>> {
    if let Some(addresses) = scripted(name) {
        return Ok(addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect());
    }
    Ok(tokio::net::lookup_host((name, 0)).await?.collect())
}

fn scripted(name: &str) -> Option<Vec<IpAddr>> {
    let mut script = SCRIPT.get()?.lock().unwrap_or_else(PoisonError::into_inner);
    let turns = script.get_mut(name)?;
    let answer = turns.answers.get(turns.next).or(turns.answers.last()).cloned();
    turns.next += 1;
    tracing::debug!(name, turn = turns.next, "a scripted name was looked up");
    Some(answer.unwrap_or_default())
}

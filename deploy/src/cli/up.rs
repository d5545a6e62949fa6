//! `sluice up`: broker and all roles in one process tree, on loopback, with everything kept in one directory.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use serde_json::json;
use sluice_shared::config::{Auth, Config};
use sluice_shared::nats::ConnectOptions;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::args::UpArgs;
use super::failure::Failure;
use super::stop::{self, unless_stopped};
use super::{configuration, say, start_log};
use crate::broker::{Broker, BrokerOptions, SyncInterval};
use crate::roles::{Ground, Roles};
use crate::sealing;

/// Runs everything until a signal comes or something fails.
pub(crate) async fn up(args: UpArgs) -> Result<(), Failure> {
    configuration::open_on_loopback_only(args.auth, args.listen)?;
    loopback(args.metrics, "--metrics")?;
    let mut config = configuration::load_for_one_machine(args.config.as_deref())?;
    Arc::make_mut(&mut config).gateway.auth = args.auth;
    start_log(&config)?;
    let data = args.data.clone().map_or_else(data_dir, Ok)?;
    let shutdown = stop::on_signal().context("signals cannot be listened to")?;
    let options = BrokerOptions { sync: args.sync_interval.clone(), ..BrokerOptions::new(data.join("nats")) };
    let listeners = (super::bind(args.listen).await?, super::bind(args.metrics).await?);
    let Some(broker) = unless_stopped(&shutdown, Box::pin(Broker::start(options))).await else { return Ok(()) };
    let mut broker = broker?;
    let data = broker.is_ours().then_some(data);
    let ended = roles_on(&mut broker, listeners, (config, data), &args, &shutdown).await;
    broker.stop().await;
    ended
}

async fn roles_on(
    broker: &mut Broker,
    (http, metrics): (TcpListener, TcpListener),
    (config, data): (Arc<Config>, Option<PathBuf>),
    args: &UpArgs,
    shutdown: &CancellationToken,
) -> Result<(), Failure> {
    let options = if broker.is_ours() {
        // Credentials that are configured are for another server.
        ConnectOptions { url: broker.url().to_owned(), name: "sluice up".to_owned(), ..ConnectOptions::default() }
    } else {
        configuration::connect_options(&config, broker.url(), "sluice up")
    };
    // On somebody else's broker others may have to open what is sealed here: a key of our own would be no use to them.
    let sealing = match &data {
        Some(data) => sealing::configured_or_own(&config.secrets, data)?,
        None => sealing::configured(&config.secrets)?,
    };
    sealing::has_a_key_for_accounts(&config.gate, &sealing)?;
    let connecting = Ground::connect(options, config, shutdown.clone());
    let Some(ground) = unless_stopped(shutdown, Box::pin(connecting)).await else { return Ok(()) };
    let listening = Listening::of(broker, data, &http, &metrics).context("a listener has no address")?;
    let mut roles = Roles::on(ground?.on(broker).sealed_by(sealing));
    roles.gateway(http).await?;
    roles.worker()?;
    roles.delivery()?;
    roles.admin(metrics);
    say(&if args.json { listening.json(args.auth) } else { listening.text(&args.sync_interval, args.auth) });
    roles.until_stopped(Some(broker)).await
}

/// Where everything is to be found.
struct Listening {
    http: SocketAddr,
    metrics: SocketAddr,
    nats: String,
    server: Option<String>,
    dir: Option<PathBuf>,
}

impl Listening {
    fn of(broker: &Broker, dir: Option<PathBuf>, http: &TcpListener, metrics: &TcpListener) -> std::io::Result<Self> {
        Ok(Self {
            http: http.local_addr()?,
            metrics: metrics.local_addr()?,
            nats: broker.shown_url(),
            server: broker.version().map(|version| version.to_string()),
            dir,
        })
    }

    fn json(&self, auth: Auth) -> String {
        let Self { http, metrics, nats, server, dir } = self;
        let dir = dir.as_ref().map(|dir| dir.display().to_string());
        json!({
            "http": format!("http://{http}"), "nats": nats, "metrics": [format!("http://{http}/metrics"),
            format!("http://{metrics}/metrics")], "nats_server": server, "data": dir, "auth": auth.as_str(),
            "loopback_targets": true, "pid": std::process::id(),
        })
        .to_string()
    }

    fn text(&self, sync: &SyncInterval, auth: Auth) -> String {
        let Self { http, metrics, nats, server, dir } = self;
        let server =
            server.as_ref().map_or_else(|| " (not ours)".to_owned(), |version| format!(" (nats-server {version})"));
        let data = dir.as_ref().map_or_else(|| "in that NATS".to_owned(), |dir| dir.display().to_string());
        let risk = power_cut(sync, dir.is_some());
        let (door, bearer) = match auth {
            Auth::Open => ("It asks nobody for a key, and listens to this machine only.".to_owned(), ""),
            Auth::Keys => (
                format!("It asks for API keys. The first one: sluice keys create --admin --nats {nats}"),
                " -H \"authorization: Bearer $KEY\"",
            ),
        };
        format!(
            "sluice {version} is up. Ctrl-C stops it.
  HTTP     http://{http}
  NATS     {nats}{server}
  metrics  http://{http}/metrics (gateway), http://{metrics}/metrics (worker, delivery)
  data     {data}
  targets  this machine may be called too (127.0.0.0/8, ::1), unlike by roles started one by one
{door}
{risk}
A first job, and its outcome:
  curl -s http://{http}/v1/jobs{bearer} -H 'content-type: application/json' \\
    -d '{{\"url\": \"https://example.com/\", \"method\": \"GET\", \"idempotent_key\": \"first\"}}'
  curl -s 'http://{http}/v1/jobs/JOB_ID?wait=30s'{bearer}",
            version = env!("CARGO_PKG_VERSION"),
        )
    }
}

/// What a single server may lose. Somebody else's server is somebody else's matter.
fn power_cut(sync: &SyncInterval, ours: bool) -> String {
    let lost = match sync {
        SyncInterval::Server => "two minutes".to_owned(),
        SyncInterval::Seconds(seconds) => format!("{seconds} s"),
        SyncInterval::Always => return String::new(),
    };
    let advice = "--sync-interval always prevents it, a cluster of three NATS servers is the way to run it for real";
    if ours { format!("A power cut can lose up to the last {lost}: {advice}.\n") } else { String::new() }
}

/// Counts and health are for this machine.
fn loopback(address: SocketAddr, option: &str) -> Result<(), Failure> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(Failure::Usage(anyhow!(
        "{option} {address} is not a loopback address: use 127.0.0.1:{port}, or run `sluice worker` and `sluice delivery` \
         with a --metrics of their own",
        port = address.port()
    )))
}

/// Where this user's programs keep their data.
fn data_dir() -> Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_DATA_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local").join("share")))
        .map(|dir| dir.join("sluice"))
        .ok_or_else(|| Failure::Usage(anyhow!("there is no HOME to keep data in: say where with --data DIR")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loopback_address_will_do_and_the_refusal_says_what_to_do() {
        assert!(loopback(SocketAddr::from(([127, 0, 0, 1], 0)), "--metrics").is_ok());
        assert!(loopback(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 80)), "--metrics").is_ok());
        let refused = loopback(SocketAddr::from(([0, 0, 0, 0], 8080)), "--metrics");
        assert!(matches!(refused, Err(Failure::Usage(why)) if why.to_string().contains("use 127.0.0.1:8080")));
    }

    #[test]
    fn what_a_power_cut_can_lose_is_said_where_it_can() {
        assert!(power_cut(&SyncInterval::Server, true).contains("two minutes"));
        assert!(power_cut(&SyncInterval::Seconds(5), true).contains("5 s"));
        assert_eq!(power_cut(&SyncInterval::Always, true), "");
        assert_eq!(power_cut(&SyncInterval::Server, false), "");
    }
}

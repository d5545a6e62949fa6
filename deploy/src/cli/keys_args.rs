//! What can be asked for with `sluice keys`, and the help about it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use sluice_shared::config::Bytes;
use sluice_shared::domain::access::Scope;
use sluice_shared::domain::id::{KeyId, Tenant};

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Makes a key and shows it, once
    #[command(after_help = CREATE_HELP)]
    Create(CreateArgs),
    /// Lists keys, without their secrets
    #[command(after_help = LIST_HELP)]
    List(ListArgs),
    /// Revokes a key: no gateway takes it any more, within a second
    #[command(after_help = REVOKE_HELP)]
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Whose key it is
    #[arg(long, value_name = "NAME", default_value_t = Tenant::default(), conflicts_with_all = ["operator", "admin"])]
    pub(crate) tenant: Tenant,
    /// A key of the operator, which reaches all tenants
    #[arg(long, conflicts_with = "admin")]
    pub(crate) operator: bool,
    /// A key of the operator with all scopes: the first one
    #[arg(long, conflicts_with = "scope")]
    pub(crate) admin: bool,
    /// What it allows: `submit`, `read`, `operate`, `admin`; several separated by commas
    #[arg(long, value_name = "SCOPES", value_delimiter = ',', required_unless_present = "admin")]
    pub(crate) scope: Vec<Scope>,
    /// What you call it
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) label: String,
    /// After what time it is not taken any more, such as `90d` [default: never]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) expires_in: Option<Duration>,
    /// New jobs a second, over all gateways
    #[arg(long, value_name = "NUMBER")]
    pub(crate) jobs_per_second: Option<u32>,
    /// New jobs a day (UTC), over all gateways
    #[arg(long, value_name = "NUMBER")]
    pub(crate) jobs_per_day: Option<u64>,
    /// Jobs that have not ended
    #[arg(long, value_name = "NUMBER")]
    pub(crate) open_jobs: Option<u32>,
    /// The JSON of one job, such as `64 KiB`
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) body_bytes: Option<Bytes>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Those of this tenant only
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<Tenant>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// What names it: the part of the key between `sluice_` and the secret
    #[arg(value_name = "ID")]
    pub(crate) id: KeyId,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

/// Where the keys are.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// Where NATS is; several addresses separated by commas [default: SLUICE_NATS_URL, then as configured]
    #[arg(long, value_name = "URL")]
    pub(crate) nats: Option<String>,
    /// A configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Answer as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn size(text: &str) -> Result<Bytes, String> {
    Bytes::parse(text).ok_or_else(|| "write 65536, \"64 KiB\" or \"1 MiB\"".to_owned())
}

pub(crate) const KEYS_HELP: &str = "Example:
  sluice keys create --admin --nats nats://127.0.0.1:4222
  sluice keys list

Keys are kept in NATS, and made there directly: whoever reaches it as the roles do can make any key.

Exit codes: 0 done, 1 failed, or there is no such key, 2 wrong usage or configuration, 3 NATS cannot be reached, or there is
no Sluice in it.";

const CREATE_HELP: &str = "Example:
  sluice keys create --admin
  sluice keys create --tenant acme --scope submit,read --label 'the app' --jobs-per-second 50 --jobs-per-day 100000
  sluice keys create --operator --scope read --expires-in 30d --json | jq -r .key

The key is shown once, and kept by nobody but you. A gateway must have been started on this NATS before.

Exit codes: 0 made, 1 failed, 2 wrong usage or configuration, 3 NATS cannot be reached, or there is no Sluice in it.";

const LIST_HELP: &str = "Example:
  sluice keys list
  sluice keys list --tenant acme --json | jq -r '.keys[] | select(.expired) | .id'

Exit codes: 0 listed, 1 failed, 2 wrong usage or configuration, 3 NATS cannot be reached, or there is no Sluice in it.";

const REVOKE_HELP: &str = "Example:
  sluice keys revoke 7q2m0c5vk1s8e3ab

Exit codes: 0 revoked, 1 failed, or there is no such key, 2 wrong usage or configuration, 3 NATS cannot be reached, or there
is no Sluice in it.";

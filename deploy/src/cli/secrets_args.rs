//! What can be asked for with `sluice secrets`, and the help about it.

use clap::{Args, Subcommand};
use sluice_shared::domain::named_secret::{NAME_RULE, Name};

#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Sets a secret that jobs may name: its value is read from standard input
    #[command(after_help = SET_HELP)]
    Set(OneArgs),
    /// Lists secrets, without their values
    #[command(after_help = LIST_HELP)]
    List(ListArgs),
    /// Deletes a secret: jobs that name it fail
    #[command(after_help = DELETE_HELP)]
    Delete(OneArgs),
}

#[derive(Debug, Args)]
pub(crate) struct OneArgs {
    /// What jobs call it: {{secret:NAME}}
    #[arg(value_name = "NAME", value_parser = name)]
    pub(crate) name: Name,
    #[command(flatten)]
    pub(crate) gateway: GatewayAt,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Answer as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) gateway: GatewayAt,
}

/// Which gateway is asked, and as whom: SLUICE_API_KEY, where it wants to know.
#[derive(Debug, Args)]
pub(crate) struct GatewayAt {
    /// Where the gateway is
    #[arg(long = "gateway", value_name = "URL", env = "SLUICE_GATEWAY", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse(text).ok_or_else(|| NAME_RULE.to_owned())
}

pub(crate) const SECRETS_HELP: &str = "Example:
  sluice secrets set openai < openai.key
  sluice secrets list

A job that says {{secret:openai}} in a header or its body is sent with the value; nobody but the worker that sends it sees
that. Asks a gateway, with the API key of SLUICE_API_KEY where that is set.

Exit codes: 0 done, 1 failed or refused, 2 wrong usage.";

const SET_HELP: &str = "Example:
  sluice secrets set openai < openai.key
  pass show openai | sluice secrets set openai --gateway https://sluice.example

The value is printable ASCII, without the line's end. Setting it again replaces it, for all workers within a second.

Exit codes: 0 set, 1 failed or refused, 2 wrong usage.";

const LIST_HELP: &str = "Example:
  sluice secrets list
  sluice secrets list --json | jq -r '.secrets[].name'

Exit codes: 0 listed, 1 failed or refused, 2 wrong usage.";

const DELETE_HELP: &str = "Example:
  sluice secrets delete openai

Exit codes: 0 it is not there any more, 1 failed or refused, 2 wrong usage.";

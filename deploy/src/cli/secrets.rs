//! `sluice secrets`: secrets that jobs name, set, listed and deleted through a gateway, which has the key to seal them.
//!
//! Invariant: a value comes from standard input, so that it is in no list of processes and no history of a shell, and is
//! not shown.

use std::io::Read as _;

use anyhow::{Context as _, anyhow};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use super::failure::Failure;
use super::say;
use super::secrets_args::{GatewayAt, ListArgs, OneArgs, SecretsCommand};

/// The variable that holds an API key.
const API_KEY: &str = "SLUICE_API_KEY";
/// What is read of a value at most, in bytes: more than any may have.
const MOST: u64 = 64 * 1024;

/// Does what was asked for.
pub(crate) async fn secrets(command: SecretsCommand) -> Result<(), Failure> {
    match command {
        SecretsCommand::Set(args) => set(&args).await,
        SecretsCommand::List(args) => list(&args).await,
        SecretsCommand::Delete(args) => delete(&args).await,
    }
}

async fn set(OneArgs { name, gateway }: &OneArgs) -> Result<(), Failure> {
    let mut value = String::new();
    std::io::stdin().take(MOST).read_to_string(&mut value).context("the value cannot be read from standard input")?;
    let value = value.trim_end_matches(['\r', '\n']);
    ask(gateway, Method::PUT, &format!("/v1/secrets/{name}"), Some(json!({ "value": value }))).await?;
    say(&format!("The secret {name} is set. Jobs name it by {{{{secret:{name}}}}}."));
    Ok(())
}

async fn list(args: &ListArgs) -> Result<(), Failure> {
    let answer = ask(&args.gateway, Method::GET, "/v1/secrets", None).await?;
    let body: Value = answer.json().await.context("the gateway's answer cannot be read")?;
    let names = body["secrets"].as_array().into_iter().flatten().filter_map(|secret| secret["name"].as_str());
    let names: Vec<&str> = names.collect();
    say(&match (args.json, names.as_slice()) {
        (true, _) => body.to_string(),
        (false, []) => "There are no secrets. One is set by: sluice secrets set NAME < FILE".to_owned(),
        (false, names) => names.join("\n"),
    });
    Ok(())
}

async fn delete(OneArgs { name, gateway }: &OneArgs) -> Result<(), Failure> {
    ask(gateway, Method::DELETE, &format!("/v1/secrets/{name}"), None).await?;
    say(&format!("The secret {name} is deleted."));
    Ok(())
}

/// Asks the gateway; an answer that is none of success is a failure that says what the gateway says.
async fn ask(gateway: &GatewayAt, method: Method, path: &str, body: Option<Value>) -> Result<Response, Failure> {
    let mut request = Client::new().request(method, format!("{}{path}", gateway.url.trim_end_matches('/')));
    if let Some(key) = std::env::var(API_KEY).ok().filter(|key| !key.is_empty()) {
        request = request.bearer_auth(key);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.map_err(|error| {
        anyhow!(error.without_url()).context("the gateway does not answer: say where it is with --gateway URL")
    })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let problem: Value = answer.json().await.unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("it does not say why");
    Err(Failure::Failed(anyhow!("the gateway answered {}: {detail}", status.as_u16())))
}

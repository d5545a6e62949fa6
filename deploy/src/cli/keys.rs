//! `sluice keys`: API keys made, listed and revoked in NATS itself, without a gateway.

use anyhow::anyhow;
use serde_json::json;
use sluice_gateway::keys::{CreatedBody, KeyBody, KeyList};
use sluice_shared::clock;
use sluice_shared::domain::access::{Quotas, Scope, Scopes, Wish};
use sluice_shared::keys::{KeyError, Keys};
use sluice_shared::nats::{ConnectError, Nats, broker_error};
use sluice_shared::topology::{Party, Topology};

use super::failure::Failure;
use super::keys_args::{CreateArgs, KeysCommand, ListArgs, PlaceArgs, RevokeArgs};
use super::{configuration, say};

/// Does what was asked for.
pub(crate) async fn keys(command: KeysCommand) -> Result<(), Failure> {
    match command {
        KeysCommand::Create(args) => create(args).await,
        KeysCommand::List(args) => list(args).await,
        KeysCommand::Revoke(args) => revoke(args).await,
    }
}

async fn create(args: CreateArgs) -> Result<(), Failure> {
    let (keys, json) = (open(&args.place).await?, args.place.json);
    let (api_key, key) = keys.create(wish(args), None).await.map_err(of_keys)?;
    let created = CreatedBody::new(&api_key, &key, clock::now());
    say(&if json {
        as_json(&created)?
    } else {
        format!("{}\n\nThis is the only time that it is shown. {}", created.key, described(&created.about))
    });
    Ok(())
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let all = open(&args.place).await?.all().await.map_err(of_keys)?;
    let wanted = all.iter().filter(|(_, key)| args.tenant.is_none() || key.tenant == args.tenant);
    let keys: Vec<KeyBody> = wanted.map(|(id, key)| KeyBody::new(id, key, clock::now())).collect();
    say(&if args.place.json {
        as_json(&KeyList { keys })?
    } else if keys.is_empty() {
        "There are no keys. The first one: sluice keys create --admin".to_owned()
    } else {
        keys.iter().map(line).collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

async fn revoke(args: RevokeArgs) -> Result<(), Failure> {
    open(&args.place).await?.revoke(&args.id, None).await.map_err(of_keys)?;
    say(&if args.place.json {
        json!({ "revoked": args.id.as_str() }).to_string()
    } else {
        format!("The key {} is revoked.", args.id)
    });
    Ok(())
}

/// The keys of the deployment that is there.
async fn open(place: &PlaceArgs) -> Result<Keys, Failure> {
    let config = configuration::load(place.config.as_deref())?;
    let url = place.nats.clone().unwrap_or_else(|| config.nats.url.clone());
    let mut options = configuration::connect_options(&config, &url, "sluice keys");
    // What a gateway may do is enough.
    options.party = Some(Party::Gateway);
    let topology = Topology::new(configuration::topology(&config));
    let nats = Nats::connect(options, topology).await.map_err(|error| match error {
        ConnectError::Credentials { .. } => Failure::Usage(error.into()),
        ConnectError::Unreachable { .. } => Failure::Broker(error.into()),
    })?;
    let missing =
        nats.topology().missing(&nats).await.map_err(|error| Failure::Broker(anyhow!(broker_error(&error))))?;
    if missing.contains(&Topology::stream_of(&nats.topology().keys_bucket())) {
        return Err(Failure::Broker(anyhow!(
            "there is no Sluice with the prefix `{}` in this NATS: start a gateway on it once, then make keys",
            nats.prefix()
        )));
    }
    nats.keep_time().await;
    Ok(Keys::new(&nats))
}

fn wish(args: CreateArgs) -> Wish {
    let operator = args.operator || args.admin;
    let scopes = if args.admin { Scopes::from(Scope::ALL) } else { args.scope.into_iter().collect() };
    Wish {
        tenant: (!operator).then_some(args.tenant),
        scopes,
        label: args.label,
        expires_at: args.expires_in.map(|time| clock::now().after(time)),
        quotas: Quotas {
            jobs_per_second: args.jobs_per_second,
            jobs_per_day: args.jobs_per_day,
            open_jobs: args.open_jobs,
            body_bytes: args.body_bytes.map(|size| size.0),
        },
    }
}

fn of_keys(error: KeyError) -> Failure {
    match error {
        KeyError::MayNot(_) => Failure::Usage(error.into()),
        KeyError::NotFound => {
            Failure::Failed(anyhow!("there is no such key: `sluice keys list` shows those there are"))
        }
        KeyError::Unknown | KeyError::Bucket(_) => Failure::Failed(error.into()),
    }
}

fn as_json<T: serde::Serialize>(body: &T) -> Result<String, Failure> {
    serde_json::to_string(body).map_err(|error| Failure::Failed(error.into()))
}

/// What a key is, as a sentence.
fn described(key: &KeyBody) -> String {
    let whose =
        key.tenant.as_ref().map_or_else(|| "of the operator".to_owned(), |tenant| format!("of tenant {tenant}"));
    format!("It is a key {whose}, allows {}, and is revoked by: sluice keys revoke {}", scopes(key), key.id)
}

/// What a key is, as a line of a table.
fn line(key: &KeyBody) -> String {
    let whose = key.tenant.as_deref().unwrap_or("(operator)");
    let ends = match (key.expired, key.expires_at) {
        (true, _) => "expired".to_owned(),
        (false, Some(end)) => format!("until {}", humantime::format_rfc3339_seconds(moment(end.0))),
        (false, None) => "no end".to_owned(),
    };
    let quotas: Vec<String> = key.quotas.each().map(|(name, most)| format!("{name}={most}")).collect();
    let rest = [key.label.clone(), quotas.join(" ")].into_iter().filter(|part| !part.is_empty());
    let rest = rest.collect::<Vec<_>>().join("  ");
    format!("{}  {whose:<16}  {:<25}  {ends:<26}  {rest}", key.id, scopes(key)).trim_end().to_owned()
}

fn moment(millis: u64) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + std::time::Duration::from_millis(millis)
}

fn scopes(key: &KeyBody) -> String {
    key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",")
}

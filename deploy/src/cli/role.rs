//! `sluice gateway`, `worker`, `delivery`: one role against a NATS that runs already.

use std::net::SocketAddr;

use anyhow::Context as _;
use serde_json::json;
use sluice_shared::topology::Party;

use super::args::{CommonArgs, GatewayArgs, RoleArgs};
use super::failure::Failure;
use super::{bind, configuration, say, start_log, stop};
use crate::roles::{Ground, Role, Roles};
use crate::sealing;

/// Runs a gateway until a signal comes or it fails.
pub(crate) async fn gateway(args: GatewayArgs) -> Result<(), Failure> {
    run(Role::Gateway, args.listen, &args.common).await
}

/// Runs a worker or a delivery until a signal comes or it fails.
pub(crate) async fn behind_the_door(role: Role, args: RoleArgs) -> Result<(), Failure> {
    run(role, args.metrics, &args.common).await
}

async fn run(role: Role, address: Option<SocketAddr>, args: &CommonArgs) -> Result<(), Failure> {
    let config = configuration::load(args.config.as_deref())?;
    start_log(&config)?;
    let sealing = sealing::configured(&config.secrets)?;
    sealing::has_a_key_for_accounts(&config.gate, &sealing)?;
    let shutdown = stop::on_signal().context("signals cannot be listened to")?;
    let listen = address.unwrap_or_else(|| configuration::listen_address(&config, role));
    if role == Role::Gateway {
        configuration::open_on_loopback_only(config.gateway.auth, listen)?;
    }
    let listener = bind(listen).await?;
    let url = args.nats.clone().unwrap_or_else(|| config.nats.url.clone());
    let mut options = configuration::connect_options(&config, &url, &format!("sluice {role}"));
    options.party = party(role);
    let address = listener.local_addr().context("the listener has no address")?;
    let ground = tokio::select! {
        ground = Ground::connect(options, config, shutdown.clone()) => ground?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let mut roles = Roles::on(ground.sealed_by(sealing));
    match role {
        Role::Gateway => roles.gateway(listener).await?,
        Role::Worker => {
            roles.worker()?;
            roles.admin(listener);
        }
        Role::Delivery => {
            roles.delivery()?;
            roles.admin(listener);
        }
        Role::Admin => roles.admin(listener),
    }
    say(&if args.json {
        json!({ "role": role.to_string(), "http": format!("http://{address}"), "pid": std::process::id() }).to_string()
    } else {
        format!("sluice {role} {} answers on http://{address}", env!("CARGO_PKG_VERSION"))
    });
    roles.until_stopped(None).await
}

/// Who the role is to NATS.
fn party(role: Role) -> Option<Party> {
    match role {
        Role::Gateway => Some(Party::Gateway),
        Role::Worker => Some(Party::Worker),
        Role::Delivery => Some(Party::Delivery),
        Role::Admin => None,
    }
}

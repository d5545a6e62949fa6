//! `sluice nats-config`: the accounts, users and permissions that a nats-server enforces.

use sluice_shared::topology::Topology;

use super::args::NatsConfigArgs;
use super::failure::Failure;
use super::{configuration, say};
use crate::accounts::{self, Kept, Wanted};

/// Brings the directory up to date, and says what to do with it.
pub(crate) fn nats_config(args: NatsConfigArgs) -> Result<(), Failure> {
    let config = configuration::load(args.config.as_deref())?;
    let wanted = Wanted {
        topology: Topology::new(configuration::topology(&config)),
        max_wait: config.gateway.max_wait,
        passwords: args.passwords,
        add: args.tenant,
        remove: args.remove,
    };
    say(&told(&accounts::keep(&args.dir, &wanted)?));
    Ok(())
}

fn told(kept: &Kept) -> String {
    let Kept { file, seeds, tenants } = kept;
    let dir = file.parent().unwrap_or(file).display();
    let mut lines =
        vec![format!("{}: to be included by every server; then nats-server --signal reload", file.display())];
    if seeds.is_empty() {
        lines.push("NATS_<ROLE>_PASSWORD in the servers' environment: what each role logs in with".to_owned());
    }
    for seed in seeds {
        lines.push(format!("{}: the seed of one role (SLUICE_NATS__NKEY_SEED_FILE)", seed.display()));
    }
    for tenant in tenants {
        lines.push(format!("{dir}/tenants/{tenant}.*: a tenant"));
    }
    lines.join("\n")
}

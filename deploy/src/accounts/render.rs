//! The text that a nats-server includes: an account for Sluice, with a user for each role, and an account for each tenant.
//!
//! Pure.

use std::fmt::Write as _;
use std::time::Duration;

use sluice_shared::domain::id::Tenant;
use sluice_shared::topology::{Access, Party, Topology};

use super::keys::PublicKey;

const HEAD: &str = "\
# Who may do what. Written by `sluice nats-config`: run it again instead of changing this.
# Belongs into the configuration of every server: include \"accounts.conf\"
";

/// How a user proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    Key(PublicKey),
    /// The password is in the server's environment.
    Password {
        user: String,
    },
}

/// Everybody who is let in.
pub(crate) struct Accounts {
    pub(crate) roles: Vec<(Party, Login)>,
    /// Sees how the server is, and nothing of what it carries.
    pub(crate) system: Login,
    pub(crate) tenants: Vec<(Tenant, PublicKey)>,
    /// How long an answer across accounts is waited for.
    pub(crate) threshold: Duration,
}

/// The text of the file.
pub(crate) fn render(topology: &Topology, accounts: &Accounts) -> String {
    let mut text = format!("{HEAD}\naccounts {{\n");
    own(&mut text, topology, accounts);
    for (tenant, key) in &accounts.tenants {
        of_tenant(&mut text, topology, tenant, key);
    }
    let _ = write!(text, "\n  SYS {{\n    users: [\n      {{ {} }}\n    ]\n  }}\n}}\n", login(&accounts.system));
    text.push_str("\nsystem_account: SYS\n");
    text
}

/// The account that everything of Sluice's own is in.
fn own(text: &mut String, topology: &Topology, accounts: &Accounts) {
    let name = own_name(topology);
    let _ = write!(text, "  {name} {{\n    jetstream: enabled\n    users: [\n");
    for (party, how) in &accounts.roles {
        let Access { publish, subscribe } = topology.access(*party);
        let _ = write!(text, "      # {}\n      {{ {}, permissions: {{\n", party.as_str(), login(how));
        let _ = write!(text, "        publish: {{ allow: [\n{}        ] }}\n", lines(&publish));
        let _ = write!(text, "        subscribe: {{ allow: [\n{}        ] }}\n      }} }}\n", lines(&subscribe));
    }
    text.push_str("    ]\n");
    let threshold = accounts.threshold.as_secs();
    let (mut exports, mut imports) = (String::new(), String::new());
    for (tenant, _) in &accounts.tenants {
        let (access, theirs) = (topology.tenant_access(tenant), tenant_name(topology, tenant));
        for request in &access.requests {
            let service = format!("service: \"{request}\", accounts: [\"{theirs}\"], threshold: \"{threshold}s\"");
            let _ = writeln!(exports, "      {{ {service} }}");
        }
        let outcomes = &access.outcomes;
        let _ = writeln!(imports, "      {{ service: {{ account: \"{theirs}\", subject: \"{outcomes}\" }} }}");
    }
    let _ = write!(text, "    exports: [\n{exports}    ]\n    imports: [\n{imports}    ]\n  }}\n");
}

/// The account of a tenant, who needs nothing but requests and outcomes.
fn of_tenant(text: &mut String, topology: &Topology, tenant: &Tenant, key: &PublicKey) {
    let (access, name, own) = (topology.tenant_access(tenant), tenant_name(topology, tenant), own_name(topology));
    let outcomes = access.outcomes;
    let _ = write!(text, "\n  \"{name}\" {{\n    users: [\n      {{ nkey: {key}, permissions: {{\n");
    let _ = write!(text, "        publish: {{ allow: [\n{}        ] }}\n", lines(&access.requests));
    let hears = ["_INBOX.>".to_owned(), outcomes.clone()];
    let _ = write!(text, "        subscribe: {{ allow: [\n{}        ] }}\n", lines(&hears));
    text.push_str("        # To say that it has an outcome.\n");
    text.push_str("        allow_responses: { max: 1, expires: \"1m\" }\n      } }\n    ]\n");
    let _ =
        write!(text, "    exports: [\n      {{ service: \"{outcomes}\", accounts: [{own}] }}\n    ]\n    imports: [\n");
    for request in &access.requests {
        let _ = writeln!(text, "      {{ service: {{ account: {own}, subject: \"{request}\" }} }}");
    }
    text.push_str("    ]\n  }\n");
}

fn own_name(topology: &Topology) -> String {
    topology.prefix().to_uppercase()
}

/// No prefix has a `_`, so no two deployments share a name.
fn tenant_name(topology: &Topology, tenant: &Tenant) -> String {
    format!("{}_{tenant}", own_name(topology))
}

fn login(how: &Login) -> String {
    match how {
        Login::Key(key) => format!("nkey: {key}"),
        Login::Password { user } => format!("user: {user}, password: $NATS_{}_PASSWORD", user.to_uppercase()),
    }
}

fn lines(subjects: &[String]) -> String {
    subjects.iter().map(|subject| format!("          \"{subject}\"\n")).collect()
}

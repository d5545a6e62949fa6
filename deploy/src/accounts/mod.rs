//! The nats-server's accounts, users and permissions, as `sluice nats-config` keeps them in a directory.
//!
//! The directory is the state: a seed for each role, `tenants/<name>.nk` (a seed that was made here) or
//! `tenants/<name>.pub` (the public key of a tenant who keeps its seed) for each tenant. `accounts.conf` follows from
//! these and is written anew each time. Invariant: it holds no secret, and a seed that is there is never written over.

mod keys;
mod render;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use sluice_shared::domain::id::Tenant;
use sluice_shared::topology::{Party, Topology};

pub(crate) use keys::PublicKey;
pub(crate) use render::{Accounts, Login, render};

/// What the file is called that the server's configuration includes.
const FILE: &str = "accounts.conf";
/// Who may see how the server is.
const SYSTEM: &str = "system";
/// The least time that an answer across accounts is waited for: the server's own default.
const LEAST_WAIT: Duration = Duration::from_secs(120);
/// What an answer may take beyond the longest wait.
const ON_TOP: Duration = Duration::from_secs(60);

/// A tenant that is to be let in: by a seed that is made here, or by a public key of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewTenant {
    pub(crate) name: Tenant,
    pub(crate) key: Option<PublicKey>,
}

/// What is to be in the directory.
pub(crate) struct Wanted {
    pub(crate) topology: Topology,
    /// The longest that a request may wait for the end of a job.
    pub(crate) max_wait: Duration,
    /// Whether roles have passwords from the server's environment instead of keys.
    pub(crate) passwords: bool,
    pub(crate) add: Vec<NewTenant>,
    pub(crate) remove: Vec<Tenant>,
}

/// What is there then.
pub(crate) struct Kept {
    pub(crate) file: PathBuf,
    /// The seeds of roles, where they have any.
    pub(crate) seeds: Vec<PathBuf>,
    pub(crate) tenants: Vec<Tenant>,
}

/// Brings the directory up to date.
///
/// # Errors
/// Where a file cannot be read or written, or holds no key.
pub(crate) fn keep(dir: &Path, wanted: &Wanted) -> anyhow::Result<Kept> {
    let tenants_dir = dir.join("tenants");
    std::fs::create_dir_all(&tenants_dir).with_context(|| format!("{} cannot be made", tenants_dir.display()))?;
    for tenant in &wanted.remove {
        remove(&tenants_dir, tenant)?;
    }
    for tenant in &wanted.add {
        add(&tenants_dir, tenant)?;
    }
    let mut seeds = Vec::new();
    let mut login = |name: &str| -> anyhow::Result<Login> {
        if wanted.passwords {
            return Ok(Login::Password { user: name.to_owned() });
        }
        let file = dir.join(format!("{name}.nk"));
        let key = keys::of_seed_file(&file)?;
        seeds.push(file);
        Ok(Login::Key(key))
    };
    let roles = Party::ALL.iter().map(|party| Ok((*party, login(party.as_str())?)));
    let roles = roles.collect::<anyhow::Result<Vec<_>>>()?;
    let system = login(SYSTEM)?;
    let tenants = tenants(&tenants_dir)?;
    let names = tenants.iter().map(|(name, _)| name.clone()).collect();
    let threshold = (wanted.max_wait + ON_TOP).max(LEAST_WAIT);
    let file = dir.join(FILE);
    replace(&file, &render(&wanted.topology, &Accounts { roles, system, tenants, threshold }))?;
    Ok(Kept { file, seeds, tenants: names })
}

/// One file for a tenant; what is there already stays.
fn add(dir: &Path, tenant: &NewTenant) -> anyhow::Result<()> {
    let (seed, public) = files(dir, &tenant.name);
    let Some(key) = &tenant.key else {
        if public.exists() {
            return Ok(()); // it is let in by its own key
        }
        return keys::of_seed_file(&seed).map(|_| ());
    };
    if seed.exists() {
        bail!("{} is there: remove the tenant first (--remove {})", seed.display(), tenant.name);
    }
    replace(&public, &format!("{key}\n"))
}

fn remove(dir: &Path, tenant: &Tenant) -> anyhow::Result<()> {
    let (seed, public) = files(dir, tenant);
    let there: Vec<PathBuf> = [seed, public].into_iter().filter(|file| file.exists()).collect();
    if there.is_empty() {
        return Err(anyhow!("there is no tenant {tenant} in {}", dir.display()));
    }
    there.iter().try_for_each(|file| {
        std::fs::remove_file(file).with_context(|| format!("{} cannot be removed", file.display()))
    })
}

fn files(dir: &Path, tenant: &Tenant) -> (PathBuf, PathBuf) {
    (dir.join(format!("{tenant}.nk")), dir.join(format!("{tenant}.pub")))
}

/// All tenants that are there, by name.
fn tenants(dir: &Path) -> anyhow::Result<Vec<(Tenant, PublicKey)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("{} cannot be read", dir.display()))? {
        let file = entry?.path();
        let key = match file.extension().and_then(|extension| extension.to_str()) {
            Some("nk") => keys::of_seed_file(&file)?,
            Some("pub") => keys::of_public_file(&file)?,
            Some(_) | None => continue,
        };
        let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let name: Tenant = name.parse().with_context(|| format!("{} is not named after a tenant", file.display()))?;
        found.push((name, key));
    }
    found.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    if let Some(twice) = found.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        bail!("the tenant {} has a seed and a public key in {}: remove one of them", twice[0].0, dir.display());
    }
    Ok(found)
}

/// Written whole or not at all: a server may read it at any moment.
fn replace(file: &Path, text: &str) -> anyhow::Result<()> {
    let write = || {
        let mut draft = tempfile::NamedTempFile::new_in(file.parent().unwrap_or(Path::new(".")))?;
        draft.write_all(text.as_bytes())?;
        draft.as_file().set_permissions(readable())?;
        draft.persist(file).map_err(|error| error.error)?;
        std::io::Result::Ok(())
    };
    write().with_context(|| format!("{} cannot be written", file.display()))
}

/// A nats-server runs as another user.
fn readable() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

#[cfg(test)]
mod tests;

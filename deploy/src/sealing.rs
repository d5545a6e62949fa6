//! Where the keys come from that callers' secrets are sealed with: the configuration, a file, or for `up` one of its own.
//!
//! Invariant: no error and no line of the log holds a key.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use sluice_shared::config;
use sluice_shared::seal::{Seal, SealKey, Sealing};

use crate::cli::Failure;

/// The file of a key of `up`, in its data directory.
const OWN_KEY: &str = "secrets.key";

/// As configured; nothing is sealed, and that is said, where there is no key.
pub(crate) fn configured(secrets: &config::Secrets) -> Result<Sealing, Failure> {
    let current = key("secrets.key", secrets.key.as_deref(), secrets.key_file.as_deref())?;
    let previous = key("secrets.previous_key", secrets.previous_key.as_deref(), secrets.previous_key_file.as_deref())?;
    let seal = match current {
        Some(current) => Seal::new(current, previous),
        None => Seal::none(),
    };
    match seal.key() {
        Some(key) => tracing::info!(%key, "secrets are sealed before they enter NATS"),
        None => tracing::warn!(
            "nothing is sealed: headers with credentials and webhook secrets are in NATS as they are. Set secrets.key, the \
             same for all roles (openssl rand -base64 32)"
        ),
    }
    Ok(Sealing::new(seal, secrets.seal_headers.iter().cloned()))
}

/// Refuses accounts that are told by credentials where there is no key to name them by.
pub(crate) fn has_a_key_for_accounts(gate: &config::Gate, sealing: &Sealing) -> Result<(), Failure> {
    let derived = gate.destinations.iter().find(|(_, one)| one.account_from.is_some());
    match (derived, sealing.seal().key()) {
        (Some((name, _)), None) => Err(Failure::Usage(anyhow!(
            "gate.destinations.\"{name}\".account_from needs secrets.key, which accounts are named by so that their names tell \
             nothing of credentials: set that, the same for all roles (openssl rand -base64 32)"
        ))),
        (_, _) => Ok(()),
    }
}

/// The same, with a key of its own in this directory where none is configured. It is made once.
pub(crate) fn configured_or_own(secrets: &config::Secrets, data: &Path) -> Result<Sealing, Failure> {
    if secrets.key.is_some() || secrets.key_file.is_some() {
        return configured(secrets);
    }
    let file = data.join(OWN_KEY);
    make(&file).with_context(|| format!("the key {} cannot be made", file.display()))?;
    configured(&config::Secrets { key_file: Some(file), ..secrets.clone() })
}

/// Makes a key that this user alone can read, where there is none: under another name first, so that what is there is
/// whole, and whoever is first wins.
fn make(file: &Path) -> std::io::Result<()> {
    if file.exists() {
        return Ok(());
    }
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir)?;
    }
    let new = file.with_extension(format!("new-{}", std::process::id()));
    let mut made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    writeln!(made, "{}", SealKey::generate())?;
    made.sync_all()?;
    let linked = fs::hard_link(&new, file);
    fs::remove_file(&new)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn key(name: &str, given: Option<&str>, file: Option<&Path>) -> Result<Option<SealKey>, Failure> {
    let text = match (given, file) {
        (Some(given), _) => given.to_owned(),
        (None, Some(file)) => fs::read_to_string(file)
            .map_err(|error| Failure::Usage(anyhow!("{name}_file {} cannot be read: {error}", file.display())))?,
        (None, None) => return Ok(None),
    };
    SealKey::parse(&text).map(Some).map_err(|why| Failure::Usage(anyhow!("{name} {why}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a file that cannot be made fails the test")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn up_makes_a_key_that_only_its_user_can_read_once_and_keeps_it() {
        let (dir, secrets) = (tempfile::tempdir().unwrap(), config::Config::default().secrets);
        let data = dir.path().join("data");
        let id = |sealing: Sealing| sealing.seal().key().unwrap().to_string();
        let first = id(configured_or_own(&secrets, &data).unwrap());
        let file = data.join(OWN_KEY);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(id(configured_or_own(&secrets, &data).unwrap()), first);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
    }

    #[test]
    fn a_configured_key_comes_first_and_without_any_nothing_is_sealed() {
        let (dir, secrets) = (tempfile::tempdir().unwrap(), config::Config::default().secrets);
        assert_eq!(configured(&secrets).unwrap().seal().key(), None);
        let key = SealKey::generate();
        let given = config::Secrets { key: Some(key.clone()), ..secrets };
        let sealing = configured_or_own(&given, dir.path()).unwrap();
        assert_eq!(sealing.seal().key(), Some(SealKey::parse(&key).unwrap().id()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn accounts_that_are_told_by_credentials_need_a_key() {
        let toml = "[gate.destinations.\"a.example\"]\naccount_from = \"authorization\"";
        let (gate, plain) = (config::Config::from_toml(toml).unwrap().gate, config::Config::default().gate);
        let keyed = Sealing::new(Seal::new(SealKey::of_bytes([1; 32]), None), []);
        let without = Sealing::default();
        assert!(has_a_key_for_accounts(&gate, &keyed).is_ok() && has_a_key_for_accounts(&plain, &without).is_ok());
        assert!(matches!(has_a_key_for_accounts(&gate, &without), Err(Failure::Usage(_))));
    }

    #[test]
    fn a_file_that_holds_no_key_is_refused_without_its_content() {
        let (dir, secrets) = (tempfile::tempdir().unwrap(), config::Config::default().secrets);
        let file = dir.path().join("key");
        fs::write(&file, "canary").unwrap();
        let refused = configured(&config::Secrets { key_file: Some(file), ..secrets });
        let Err(Failure::Usage(why)) = refused else { panic!("taken") };
        assert!(why.to_string().contains("secrets.key must be 32") && !why.to_string().contains("canary"), "{why}");
    }
}

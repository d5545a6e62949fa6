//! Keys of users: seeds in files that only their owner can read, and the public keys that the server is told of.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, anyhow};
use nkeys::{KeyPair, KeyPairType};

/// The public key of a user: `U…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey(String);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match KeyPair::from_public_key(text) {
            Ok(pair) if pair.key_pair_type() == KeyPairType::User => Ok(Self(text.to_owned())),
            // What was given is not repeated: it may be a seed.
            Ok(_) | Err(_) => Err("no public nkey of a user, which begins with U".to_owned()),
        }
    }
}

/// The public key of the seed in a file; the seed is made where there is no file.
///
/// # Errors
/// Where the file cannot be read or written, or holds no seed of a user.
pub(super) fn of_seed_file(file: &Path) -> anyhow::Result<PublicKey> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    match made {
        Ok(mut empty) => {
            let pair = KeyPair::new_from_raw(KeyPairType::User, rand::random())?;
            let written = empty.write_all(format!("{}\n", pair.seed()?).as_bytes()).and_then(|()| empty.sync_all());
            written.with_context(|| format!("{} cannot be written", file.display()))?;
            Ok(PublicKey(pair.public_key()))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(file),
        Err(error) => Err(error).with_context(|| format!("{} cannot be written", file.display())),
    }
}

fn read(file: &Path) -> anyhow::Result<PublicKey> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    match KeyPair::from_seed(text.trim()) {
        Ok(pair) if pair.key_pair_type() == KeyPairType::User => Ok(PublicKey(pair.public_key())),
        Ok(_) | Err(_) => Err(anyhow!("{} holds no seed of a user: remove it, and another is made", file.display())),
    }
}

/// The public key in a file.
///
/// # Errors
/// Where the file cannot be read, or holds none.
pub(super) fn of_public_file(file: &Path) -> anyhow::Result<PublicKey> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    text.trim().parse().map_err(|why| anyhow!("{} holds {why}", file.display()))
}

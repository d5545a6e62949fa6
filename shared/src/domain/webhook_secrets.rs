//! The secrets that a tenant's webhooks are signed with, and by which schemes.
//!
//! Pure. Invariant: a secret is shown masked alone, by `Debug` not at all.

use std::collections::BTreeSet;
use std::fmt;

use data_encoding::BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a secret of Standard Webhooks begins with; its key follows in base64.
const PREFIX: &str = "whsec_";
/// Bytes of such a key (Standard Webhooks 1.0, "Signature scheme").
const KEY: std::ops::RangeInclusive<usize> = 24..=64;
/// Characters of any other secret.
const TEXT: std::ops::RangeInclusive<usize> = 16..=256;
/// Characters that a masked secret shows of its beginning, and of its end.
const SHOWN: usize = 4;

/// A secret, as it was given.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WebhookSecret(String);

/// How posts are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// Standard Webhooks: `webhook-signature`.
    Standard,
    /// `X-EZThrottle-Signature`.
    Ezthrottle,
}

/// What a tenant's webhooks are signed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookSecrets {
    /// Signs.
    pub primary: WebhookSecret,
    /// Signs too, where a scheme has room for several signatures: the one before, or the one to come.
    pub secondary: Option<WebhookSecret>,
    /// The schemes; at least one.
    pub schemes: BTreeSet<Scheme>,
}

/// What is written is no secret. It is not quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// Behind `whsec_` there is no key.
    #[error("must have {} to {} bytes in base64 behind `{PREFIX}`", KEY.start(), KEY.end())]
    NoKey,
    /// Too short, too long, or not printable.
    #[error("must have {} to {} printable ASCII characters, or be `{PREFIX}` and base64", TEXT.start(), TEXT.end())]
    NoText,
}

impl WebhookSecret {
    /// A secret as it is written: `whsec_` and a key in base64, or any other text.
    ///
    /// # Errors
    /// Where it is neither.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        if let Some(key) = text.strip_prefix(PREFIX) {
            let key = BASE64.decode(key.as_bytes()).map_err(|_| InvalidSecret::NoKey)?;
            return if KEY.contains(&key.len()) { Ok(Self(text.to_owned())) } else { Err(InvalidSecret::NoKey) };
        }
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let is_text = printable && TEXT.contains(&text.len()) && text.trim() == text;
        if is_text { Ok(Self(text.to_owned())) } else { Err(InvalidSecret::NoText) }
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The key that Standard Webhooks signs with: what is behind `whsec_`, else the text itself.
    #[must_use]
    pub fn standard_key(&self) -> Vec<u8> {
        let key = self.0.strip_prefix(PREFIX).and_then(|key| BASE64.decode(key.as_bytes()).ok());
        key.unwrap_or_else(|| self.0.as_bytes().to_vec())
    }

    /// For people: `abcd****wxyz`.
    #[must_use]
    pub fn masked(&self) -> String {
        let (begin, end) = (self.0.get(..SHOWN), self.0.get(self.0.len().saturating_sub(SHOWN)..));
        format!("{}****{}", begin.unwrap_or_default(), end.unwrap_or_default())
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(not shown)")
    }
}

impl Scheme {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Standard, Self::Ezthrottle];

    /// As the wire says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Ezthrottle => "ezthrottle",
        }
    }

    /// The scheme of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a secret that is refused fails the test")]

    use super::*;

    #[test]
    fn a_secret_is_a_text_of_some_length_or_a_key_behind_its_prefix() {
        let key = format!("whsec_{}", BASE64.encode(&[7; 24]));
        assert_eq!(WebhookSecret::parse(&key).unwrap().standard_key(), [7; 24]);
        assert_eq!(WebhookSecret::parse("0123456789abcdef").unwrap().standard_key(), b"0123456789abcdef");
        for text in
            ["", "0123456789abcde", " 123456789abcdef", "0123456789abcde\n", &"x".repeat(257), "0123456789abcdé"]
        {
            assert_eq!(WebhookSecret::parse(text), Err(InvalidSecret::NoText), "{text:?}");
        }
        for text in ["whsec_", "whsec_0123456789abcdef", "whsec_!!!!", &format!("whsec_{}", BASE64.encode(&[7; 65]))] {
            assert_eq!(WebhookSecret::parse(text), Err(InvalidSecret::NoKey), "{text:?}");
        }
    }

    #[test]
    fn a_secret_is_shown_masked_and_refused_without_being_quoted() {
        let secret = WebhookSecret::parse("abcd-canary-canary-wxyz").unwrap();
        assert_eq!(secret.masked(), "abcd****wxyz");
        assert!(!format!("{secret:?}").contains("canary"));
        assert!(!WebhookSecret::parse("canary").unwrap_err().to_string().contains("canary"));
    }
}

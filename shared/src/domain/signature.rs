//! The signatures of a webhook's post, as headers.
//!
//! Pure: the same post at the same second has the same signatures. Sources: Standard Webhooks 1.0
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>), and the
//! `X-EZThrottle-Signature` of the EZThrottle clients.

use data_encoding::{BASE64, HEXLOWER};
use ring::hmac;

use super::webhook_secrets::{Scheme, WebhookSecret, WebhookSecrets};

/// `v1,<base64>` for each secret, separated by spaces.
pub const STANDARD: &str = "webhook-signature";
/// `t=<seconds>,v1=<hexadecimal>`.
pub const EZTHROTTLE: &str = "X-EZThrottle-Signature";

/// What of a post is signed.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// The `webhook-id`.
    pub id: &'a str,
    /// The `webhook-timestamp`, seconds since the epoch.
    pub timestamp: &'a str,
    /// The body, as it is sent.
    pub body: &'a [u8],
}

impl WebhookSecrets {
    /// The headers that sign a post.
    ///
    /// Standard Webhooks has a signature for each secret, so that receivers may change theirs before or after. That of
    /// EZThrottle has room for one, by the primary: its receivers try both of their secrets.
    #[must_use]
    pub fn sign(&self, post: Signed<'_>) -> Vec<(&'static str, String)> {
        let header = |scheme: &Scheme| match scheme {
            Scheme::Standard => (STANDARD, self.standard(post)),
            Scheme::Ezthrottle => (EZTHROTTLE, ezthrottle(&self.primary, post)),
        };
        self.schemes.iter().map(header).collect()
    }

    fn standard(&self, Signed { id, timestamp, body }: Signed<'_>) -> String {
        let secrets = std::iter::once(&self.primary).chain(&self.secondary);
        let signatures = secrets.map(|secret| {
            let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
            format!("v1,{}", BASE64.encode(hmac_sha256(&secret.standard_key(), &parts).as_ref()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

/// Its key is the text of the secret as it is, whatever that begins with.
fn ezthrottle(secret: &WebhookSecret, Signed { timestamp, body, .. }: Signed<'_>) -> String {
    let tag = hmac_sha256(secret.expose().as_bytes(), &[timestamp.as_bytes(), b".", body]);
    format!("t={timestamp},v1={}", HEXLOWER.encode(tag.as_ref()))
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    context.sign()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a secret that is refused fails the test")]

    use super::*;

    /// The example of the specification's own test vectors.
    #[test]
    fn a_post_is_signed_as_standard_webhooks_says() {
        let secrets = secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", None, &[Scheme::Standard]);
        let post =
            Signed { id: "msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp: "1614265330", body: br#"{"test": 2432232314}"# };
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(secrets.sign(post), [("webhook-signature", expected.to_owned())]);
    }

    #[test]
    fn with_two_secrets_the_standard_signature_is_there_twice_and_that_of_ezthrottle_is_by_the_primary() {
        let post = Signed { id: "a", timestamp: "1700000000", body: b"{}" };
        let (one, two) = ("0123456789abcdef", "fedcba9876543210");
        let both = secrets(one, Some(two), &Scheme::ALL).sign(post);
        let [standard, ezthrottle] = both.as_slice() else { panic!("{both:?}") };
        let alone = |secret, scheme| secrets(secret, None, &[scheme]).sign(post).remove(0).1;
        assert_eq!(standard.1, format!("{} {}", alone(one, Scheme::Standard), alone(two, Scheme::Standard)));
        assert_eq!(ezthrottle.1, alone(one, Scheme::Ezthrottle));
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef
        assert_eq!(ezthrottle.1, "t=1700000000,v1=e4f8e2ecae2295b2ddb2f0b5584c8275e226c0ebe9b3b819e70156bb67122e3e");
    }

    fn secrets(primary: &str, secondary: Option<&str>, schemes: &[Scheme]) -> WebhookSecrets {
        let parse = |text| WebhookSecret::parse(text).unwrap();
        WebhookSecrets {
            primary: parse(primary),
            secondary: secondary.map(parse),
            schemes: schemes.iter().copied().collect(),
        }
    }
}

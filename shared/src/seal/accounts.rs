//! The account of a request whose job names none: told by the credential that it is sent with, and never by what that is.
//!
//! Its name is an HMAC under a key that is not in the broker, so nobody who sees it finds the credential by trying, however
//! short that is. Invariant: without such a key no account is derived.

use super::Sealing;
use crate::domain::id::{Destination, Tenant};
use crate::domain::job::{Contender, Job};
use crate::domain::named_secret;
use crate::gate_settings::GateSettings;

/// What all names of derived accounts begin with.
const DERIVED: &str = "derived-";

impl Sealing {
    /// Gives every contender of a job and of its follow-ups that names no account the one that its headers tell, where its
    /// destination has accounts told by a header. Before these are sealed: what is sealed has its account already.
    pub fn derive_accounts(&self, settings: &GateSettings, tenant: &Tenant, job: &mut Job) {
        if !settings.derives_accounts() {
            return;
        }
        for contender in job.branches.iter_mut().filter(|contender| contender.account.is_none()) {
            contender.account = self.account(settings, tenant, contender);
        }
        for follow_up in [&mut job.on_success, &mut job.on_failure].into_iter().flatten() {
            self.derive_accounts(settings, tenant, follow_up);
        }
    }

    fn account(&self, settings: &GateSettings, tenant: &Tenant, contender: &Contender) -> Option<String> {
        let destination = Destination::of(&url::Url::parse(&contender.request.url).ok()?)?;
        let header = settings.account_from(&destination)?;
        let of_header = contender.request.headers.iter().filter(|(name, _)| name == header);
        let values: Vec<&str> = of_header.map(|(_, value)| value.as_str()).collect();
        if values.is_empty() {
            return None;
        }
        // A secret of the same name is another one for every tenant.
        let of = if values.iter().any(|value| named_secret::is_named(value)) { tenant.as_str() } else { "" };
        let parts = ["account", destination.as_str(), header, of].into_iter().chain(values);
        let parts: Vec<&[u8]> = parts.map(str::as_bytes).collect();
        self.seal().name(&parts).map(|name| format!("{DERIVED}{name}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a job that is refused fails the test")]

    use super::*;
    use crate::clock::Millis;
    use crate::config::Config;
    use crate::domain::submission::{self, Limits};
    use crate::seal::{Seal, SealKey};

    fn settings() -> GateSettings {
        let toml = "[gate.destinations.\"a.example\"]\naccount_from = \"authorization\"";
        Config::from_toml(toml).unwrap().gate.into()
    }

    fn sealing(key: u8) -> Sealing {
        Sealing::new(Seal::new(SealKey::of_bytes([key; 32]), None), ["authorization".to_owned()])
    }

    fn derived(sealing: &Sealing, tenant: &str, json: &str) -> Job {
        let tenant = tenant.parse().unwrap();
        let mut job =
            submission::read(json.as_bytes(), &Limits::new(1 << 20, Millis(0), "sluice", &Tenant::default())).unwrap();
        sealing.derive_accounts(&settings(), &tenant, &mut job);
        job
    }

    fn account(sealing: &Sealing, tenant: &str, url: &str, credential: &str) -> Option<String> {
        let json = format!(r#"{{"url": "{url}", "headers": {{"Authorization": "{credential}"}}}}"#);
        derived(sealing, tenant, &json).branches[0].account.clone()
    }

    const URL: &str = "https://a.example/x";

    #[test]
    fn a_credential_is_an_account_whoever_sends_it_and_its_name_tells_nothing_of_it() {
        let one = account(&sealing(1), "t", URL, "Bearer canary").unwrap();
        assert_eq!(Some(&one), account(&sealing(1), "u", "https://a.example/y", "Bearer canary").as_ref());
        assert_ne!(Some(&one), account(&sealing(1), "t", URL, "Bearer other").as_ref());
        assert_ne!(Some(&one), account(&sealing(2), "t", URL, "Bearer canary").as_ref());
        assert!(one.starts_with(DERIVED) && !one.contains("canary"), "{one}");
    }

    #[test]
    fn where_nothing_says_so_or_nothing_tells_them_apart_there_is_none() {
        assert_eq!(account(&sealing(1), "t", "https://b.example/", "Bearer canary"), None);
        assert_eq!(account(&Sealing::new(Seal::none(), []), "t", URL, "Bearer canary"), None);
        let without = r#"{"url": "https://a.example/", "headers": {"x-a": "1"}}"#;
        assert_eq!(derived(&sealing(1), "t", without).branches[0].account, None);
    }

    #[test]
    fn an_account_that_the_job_names_is_that_and_fallbacks_and_follow_ups_have_theirs() {
        let json = r#"{"url": "https://a.example/", "headers": {"authorization": "x"}, "account": "mine",
            "fallback_job": {"url": "https://a.example/", "headers": {"authorization": "x"}},
            "on_success": {"url": "https://a.example/", "headers": {"authorization": "x"}}}"#;
        let job = derived(&sealing(1), "t", json);
        let name = account(&sealing(1), "t", URL, "x");
        assert_eq!((job.branches[0].account.as_deref(), &job.branches[1].account), (Some("mine"), &name));
        assert_eq!((job.on_success.unwrap().branches[0].account.clone(), name.is_some()), (name, true));
    }

    #[test]
    fn a_secret_that_is_named_is_the_account_of_its_tenant_alone() {
        let of = |tenant| account(&sealing(1), tenant, URL, "Bearer {{secret:key}}").unwrap();
        assert_eq!(of("t"), of("t"));
        assert_ne!(of("t"), of("u"));
    }
}

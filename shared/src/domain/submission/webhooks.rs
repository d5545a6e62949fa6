//! Where an outcome goes: URLs and NATS subjects, and how many of them count.

use super::fault::Code;
use super::fields::{Fields, Reading, Value};
use super::{Limits, regions, url};
use crate::domain::job::Webhook;

/// Webhooks of one job at most.
pub(super) const MOST_WEBHOOKS: usize = 16;
/// Longest subject, in bytes.
pub(super) const LONGEST_SUBJECT: usize = 256;

/// The webhooks of a job and its quorum.
pub(super) fn read(job: &mut Fields<'_>, rd: &mut Reading<'_>) -> (Vec<Webhook>, u16) {
    let items = job.take("webhooks").map(|value| value.list(MOST_WEBHOOKS, rd)).unwrap_or_default();
    let webhooks: Vec<Webhook> = items.iter().map(|item| webhook(item, rd)).collect();
    let quorum = quorum(job, &webhooks, rd);
    (webhooks, quorum)
}

/// Those that are valid by themselves, whatever else is wrong with the submission.
pub(super) fn valid(job: &mut Fields<'_>, limits: &Limits<'_>) -> Vec<Webhook> {
    let Some(list) = job.take("webhooks") else { return Vec::new() };
    let items = list.list(MOST_WEBHOOKS, &mut Reading::new(limits));
    let alone = |item: &Value<'_>| {
        let mut rd = Reading::new(limits);
        let webhook = webhook(item, &mut rd);
        rd.conclude(Some(webhook)).ok()
    };
    items.iter().filter_map(alone).collect()
}

/// The webhook, with something in the place of what is wrong, so that votes can be counted.
fn webhook(value: &Value<'_>, rd: &mut Reading<'_>) -> Webhook {
    let mut webhook = Webhook { url: String::new(), regions: Vec::new(), has_quorum_vote: true };
    let Some(mut fields) = value.object(rd) else { return webhook };
    if let Some(url) = fields.require("url", "an http or https URL, or `nats:<subject>`", rd) {
        webhook.url = target(&url, rd).unwrap_or_default();
    }
    webhook.regions = regions::of_webhook(&mut fields, rd);
    if let Some(vote) = fields.take_either("has_quorum_vote", "hasQuorumVote", rd) {
        webhook.has_quorum_vote = vote.flag(rd).unwrap_or(true);
    }
    fields.finish(rd);
    webhook
}

fn target(value: &Value<'_>, rd: &mut Reading<'_>) -> Option<String> {
    if !value.raw().starts_with("\"nats:") {
        return url::read(value, "check the webhook's signature instead, or put a token into the path", rd);
    }
    let text = value.text(rd)?;
    let subject = text.strip_prefix("nats:").unwrap_or_default();
    match check_subject(subject, rd.limits) {
        Ok(()) => Some(text),
        Err(message) => {
            rd.fault(&value.path, Code::InvalidSubject, message);
            None
        }
    }
}

/// Whether the tenant may have outcomes published there.
fn check_subject(subject: &str, limits: &Limits<'_>) -> Result<(), String> {
    let plain =
        |token: &str| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic() && b != b'*' && b != b'>');
    if subject.len() > LONGEST_SUBJECT || !subject.split('.').all(plain) {
        return Err(format!(
            "must be `nats:` and a subject of at most {LONGEST_SUBJECT} characters: words joined by `.`, without spaces, `*` and `>`"
        ));
    }
    let first = subject.split('.').next().unwrap_or_default();
    let of_the_broker = ["$", "_INBOX", "_R_", "_GR_"].iter().any(|own| first.starts_with(own));
    if of_the_broker {
        return Err("must not be a subject of the broker itself (`$…`, `_INBOX…`, `_R_…`)".to_owned());
    }
    let (prefix, tenant) = (limits.prefix, limits.tenant);
    let own = subject.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('.'));
    let outcomes = format!(".outcomes.{tenant}.");
    match own {
        Some(rest) if !rest.starts_with(&outcomes) => {
            Err(format!("must not begin with `{prefix}.`, except `{prefix}{outcomes}…`"))
        }
        Some(_) | None => Ok(()),
    }
}

/// How many of the voting webhooks must be delivered; without a word of it one, where there is one that votes.
fn quorum(job: &mut Fields<'_>, webhooks: &[Webhook], rd: &mut Reading<'_>) -> u16 {
    let voting = webhooks.iter().filter(|webhook| webhook.has_quorum_vote).count() as u64;
    let Some(value) = job.take("webhook_quorum") else { return u16::from(voting > 0 || webhooks.is_empty()) };
    let quorum = value.number(0..=MOST_WEBHOOKS as u64, rd).unwrap_or_default();
    // Clients write 1 although there is no webhook at all.
    let most = if webhooks.is_empty() { 1 } else { voting };
    if quorum > most {
        let message = format!("must not be above the number of webhooks that have a vote, here {voting}");
        rd.fault(&value.path, Code::InvalidValue, message);
    }
    u16::try_from(quorum).unwrap_or_default()
}

//! The timeline of the race, made from what was seen and nothing else.
//!
//! Pure. Invariant: while the race goes on, more is added after the lines that are `ready`; those never change.

use std::time::Duration;

use serde::Serialize;

use super::seen::{Exchange, RaceSeen, UNDER_WAY, Webhook};
use crate::demo::cast::PROVIDERS;
use crate::show::millis;

/// How late the last of what happened may be noticed.
const NOTICED_WITHIN: Duration = Duration::from_millis(150);

/// One thing that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Line {
    /// When, milliseconds since the submission.
    #[serde(rename = "at_ms", serialize_with = "in_millis")]
    pub(crate) at: Duration,
    /// By whom.
    pub(crate) who: &'static str,
    /// What.
    pub(crate) what: String,
}

/// A contender that did not win, and how it was seen to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Cancelled {
    /// Which provider.
    pub(crate) who: &'static str,
    /// How its end was seen.
    pub(crate) how: &'static str,
    /// When, milliseconds since the submission.
    #[serde(rename = "at_ms", serialize_with = "in_millis")]
    pub(crate) at: Duration,
}

/// All that was seen, in the order in which it happened.
pub(crate) fn timeline(seen: &RaceSeen) -> Vec<Line> {
    let mut lines = vec![line(Duration::ZERO, "client", "submits the job")];
    lines.push(line(seen.receipt, "client", "has its receipt"));
    for branch in 0..PROVIDERS.len() {
        lines.extend(of_provider(seen, branch));
    }
    lines.extend(seen.webhooks.iter().map(of_webhook));
    let cancelled = cancelled(seen).into_iter();
    lines.extend(cancelled.map(|one| line(one.at, one.who, format!("cancelled, {}", one.how))));
    lines.sort_by_key(|line| line.at);
    lines
}

/// How many of the lines will stay as they are. Who has won is not known before the events say so.
pub(crate) fn ready(lines: &[Line], seen: &RaceSeen, now: Duration) -> usize {
    if seen.watched.is_some() {
        return lines.len();
    }
    let successes = seen.providers.iter().flatten().filter_map(Exchange::success);
    let open_question = if seen.settled().is_none() { successes.min() } else { None };
    let until = now.saturating_sub(NOTICED_WITHIN).min(open_question.unwrap_or(Duration::MAX));
    lines.iter().take_while(|line| line.at < until).count()
}

/// The losers, as far as their end was seen.
pub(crate) fn cancelled(seen: &RaceSeen) -> Vec<Cancelled> {
    let losers = (0..PROVIDERS.len()).filter(|branch| seen.winner().is_some_and(|winner| winner != *branch));
    losers.filter_map(|branch| end_of_loser(seen, branch)).collect()
}

fn end_of_loser(seen: &RaceSeen, branch: usize) -> Option<Cancelled> {
    let (who, won) = (PROVIDERS[branch], seen.won_at()?);
    let last = seen.providers[branch].last()?;
    match (last.closed, last.answer) {
        (Some(at), _) if at >= won => Some(Cancelled { who, how: "connection closed", at }),
        (None, Some((answered, _))) if answered <= won + UNDER_WAY => {
            Some(Cancelled { who, how: "not called again", at: seen.watched? })
        }
        _ => None,
    }
}

fn of_provider(seen: &RaceSeen, branch: usize) -> Vec<Line> {
    let (who, won) = (PROVIDERS[branch], seen.won_at());
    let mut lines = Vec::new();
    for (before, call) in seen.providers[branch].iter().enumerate() {
        let sent = if before == 0 { first_sent(seen, branch, call.sent) } else { "sent again".to_owned() };
        lines.push(line(call.sent, who, sent));
        if let Some((at, status)) = call.answer {
            let wins = seen.winner() == Some(branch) && won == Some(at);
            lines.push(line(at, who, format!("{status}{}", if wins { ", wins" } else { "" })));
        }
        // What is closed after somebody has won is told as cancelled.
        if let Some(at) = call.closed.filter(|at| won.is_none_or(|won| *at < won)) {
            lines.push(line(at, who, "connection closed"));
        }
    }
    lines
}

/// Says what the contender before had done by then.
fn first_sent(seen: &RaceSeen, branch: usize, sent: Duration) -> String {
    let Some(before) = branch.checked_sub(1) else { return "sent".to_owned() };
    let (name, calls) = (PROVIDERS[before], &seen.providers[before]);
    let mut answers = calls.iter().filter_map(|call| call.answer);
    if let Some((_, status)) = answers.rfind(|(at, _)| *at <= sent) {
        return format!("sent, because {name} answered {status}");
    }
    match calls.first() {
        Some(call) => format!("sent, because {name} was silent for {} ms", millis(sent.saturating_sub(call.sent))),
        None => "sent".to_owned(),
    }
}

fn of_webhook(webhook: &Webhook) -> Line {
    let winner = webhook.winner.and_then(|winner| PROVIDERS.get(winner));
    let from = winner.map(|name| format!(" from {name}")).unwrap_or_default();
    let answered = webhook.answered.map(|status| format!(", answered {status}")).unwrap_or_default();
    line(webhook.at, "webhook", format!("received: {}{from}{answered}", webhook.status))
}

fn line(at: Duration, who: &'static str, what: impl Into<String>) -> Line {
    Line { at, who, what: what.into() }
}

fn in_millis<S: serde::Serializer>(at: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(millis(*at))
}

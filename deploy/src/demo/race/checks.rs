//! Whether the race went as it should: openrouter is limited and retried, openai contends at once, anthropic three
//! seconds later, the first success wins, the others are cancelled, and one webhook tells it.
//!
//! Pure. No speed is asserted: only what comes before what, and waits that were asked for.

use std::time::Duration;

use sluice_shared::domain::outcome::Status;

use super::seen::{Exchange, RaceSeen, UNDER_WAY};
use crate::demo::cast::PROVIDERS;
use crate::demo::expect::Expectations;
use crate::show::millis;

/// The branches, by the names of their providers.
const OPENROUTER: usize = 0;
const OPENAI: usize = 1;
const ANTHROPIC: usize = 2;

/// Holds all that was seen against what should have happened. `patience` is how long openai may be silent before
/// anthropic contends.
pub(crate) fn check(seen: &RaceSeen, patience: Duration, expected: &mut Expectations) {
    limited_and_retried(seen, expected);
    fallbacks(seen, patience, expected);
    won(seen, expected);
    for loser in [OPENROUTER, OPENAI] {
        over(seen, loser, expected);
    }
    cancelled_on_the_wire(seen, expected);
    told(seen, expected);
}

fn limited_and_retried(seen: &RaceSeen, expected: &mut Expectations) {
    let calls = &seen.providers[OPENROUTER];
    let first = calls.first().and_then(|call| call.answer).map_or(0, |(_, status)| status);
    expected.equal("race: openrouter's first answer", first, 429);
    let before = |call: &&Exchange| seen.won_at().is_none_or(|won| call.sent < won);
    let times = calls.iter().filter(before).count();
    expected.expect(times > 1, "race: openrouter should be tried again while the others race", calls_of(times));
}

fn fallbacks(seen: &RaceSeen, patience: Duration, expected: &mut Expectations) {
    for branch in [OPENAI, ANTHROPIC] {
        let name = PROVIDERS[branch];
        let times = seen.providers[branch].len();
        expected.expect(times == 1, format_args!("race: {name} should be called once"), calls_of(times));
    }
    let openai = seen.providers[OPENAI].first().map(|call| call.sent);
    let limited = seen.providers[OPENROUTER].first().and_then(|call| call.answer).map(|(at, _)| at);
    let retried = seen.providers[OPENROUTER].get(1).map(|call| call.sent);
    let at_once = limited <= openai && retried.is_none_or(|retried| openai < Some(retried));
    expected.expect(
        at_once,
        "race: openai should be called after openrouter's 429 and before openrouter is tried again",
        format_args!("429 at {}, openai at {}, openrouter again at {}", at(limited), at(openai), at(retried)),
    );
    let waited = seen.started(OPENAI).zip(seen.started(ANTHROPIC)).map(|(openai, anthropic)| anthropic.since(openai));
    expected.expect(
        waited.is_some_and(|waited| waited >= patience),
        format_args!("race: anthropic should contend when openai is silent for {} ms", millis(patience)),
        waited.map_or("it did not contend".to_owned(), |waited| format!("{} ms", millis(waited))),
    );
}

fn won(seen: &RaceSeen, expected: &mut Expectations) {
    let status = seen.settled().map_or("no end", Status::as_str);
    expected.equal("race: the job's end", status, "success");
    expected.equal("race: the winner", winner_of(seen.winner()), PROVIDERS[ANTHROPIC]);
    let successes = seen.providers.iter().flatten().filter_map(Exchange::success).count();
    expected.equal("race: the successful answers", successes, 1);
}

/// Nothing of a loser comes once the winner is known.
fn over(seen: &RaceSeen, loser: usize, expected: &mut Expectations) {
    let Some(won) = seen.won_at() else { return };
    let name = PROVIDERS[loser];
    let late = seen.providers[loser].iter().filter(|call| call.sent > won + UNDER_WAY).count();
    expected.expect(late == 0, format_args!("race: {name} should not be called once it has lost"), calls_of(late));
    let open = seen.providers[loser].iter().filter(|call| call.answer.is_none() && call.closed.is_none()).count();
    expected.expect(open == 0, format_args!("race: no call to {name} should be left open"), calls_of(open));
}

fn cancelled_on_the_wire(seen: &RaceSeen, expected: &mut Expectations) {
    let call = seen.providers[OPENAI].first();
    let closed = call.and_then(|call| call.closed);
    let answered = call.and_then(|call| call.answer);
    expected.expect(
        answered.is_none() && closed.is_some() && closed >= seen.won_at(),
        "race: openai's connection should be closed, unanswered, when anthropic has won",
        format_args!("closed at {}", at(closed)),
    );
}

fn told(seen: &RaceSeen, expected: &mut Expectations) {
    expected.equal("race: the webhooks received", seen.webhooks.len(), 1);
    for webhook in &seen.webhooks {
        expected.equal("race: the webhook's status", webhook.status.as_str(), "success");
        expected.equal("race: the webhook's winner", winner_of(webhook.winner), PROVIDERS[ANTHROPIC]);
        expected.equal("race: the response in the webhook", webhook.response.unwrap_or_default(), 200);
        expected.equal("race: the answer to the webhook", webhook.answered.unwrap_or_default(), 200);
    }
}

fn winner_of(branch: Option<usize>) -> &'static str {
    branch.and_then(|branch| PROVIDERS.get(branch)).copied().unwrap_or("nobody")
}

fn calls_of(times: usize) -> String {
    if times == 1 { "1 call".to_owned() } else { format!("{times} calls") }
}

fn at(time: Option<Duration>) -> String {
    time.map_or("no time".to_owned(), |time| format!("{} ms", millis(time)))
}

#![allow(clippy::unwrap_used, reason = "a story that is not as written fails the test")]

use sluice_shared::clock::Millis;
use sluice_shared::domain::event::What;
use sluice_shared::domain::id::BranchId;
use sluice_shared::domain::outcome::Status;

use super::timeline::ready;
use super::*;

fn ms(at: u64) -> Duration {
    Duration::from_millis(at)
}

fn answered(sent: u64, at: u64, status: u16) -> Exchange {
    Exchange { sent: ms(sent), answer: Some((ms(at), status)), closed: None }
}

fn event(at: u64, what: What) -> Event {
    Event { at: Millis(1_000_000 + at), what }
}

/// The race as it should be.
fn good() -> RaceSeen {
    let openai = Exchange { sent: ms(104), answer: None, closed: Some(ms(3211)) };
    RaceSeen {
        receipt: ms(6),
        providers: [
            vec![answered(3, 103, 429), answered(2105, 2205, 429)],
            vec![openai],
            vec![answered(3107, 3207, 200)],
        ],
        events: vec![
            event(1, What::Accepted),
            event(104, What::Started { branch: BranchId(1) }),
            event(3105, What::Started { branch: BranchId(2) }),
            event(3208, What::Settled { status: Status::Success, winner: Some(BranchId(2)) }),
        ],
        webhooks: vec![Webhook {
            at: ms(3215),
            status: "success".into(),
            winner: Some(2),
            response: Some(200),
            answered: Some(200),
        }],
        watched: Some(ms(4505)),
    }
}

fn failed(seen: &RaceSeen) -> Vec<String> {
    let mut expected = Expectations::default();
    check(seen, &mut expected);
    expected.failed()
}

/// The good race with one thing changed is told apart, by this sentence.
fn is_told(change: impl FnOnce(&mut RaceSeen), sentence: &str) {
    let mut seen = good();
    change(&mut seen);
    let failed = failed(&seen);
    assert!(failed.iter().any(|one| one.contains(sentence)), "{sentence}: {failed:#?}");
}

fn written(seen: &RaceSeen) -> Vec<String> {
    timeline(seen).iter().map(|line| format!("{} {} {}", millis(line.at), line.who, line.what)).collect()
}

#[test]
fn the_timeline_tells_the_race_in_its_order() {
    let expected = [
        "0 client submits the job",
        "3 openrouter sent",
        "6 client has its receipt",
        "103 openrouter 429",
        "104 openai sent, because openrouter answered 429",
        "2105 openrouter sent again",
        "2205 openrouter 429",
        "3107 anthropic sent, because openai was silent for 3003 ms",
        "3207 anthropic 200, wins",
        "3211 openai cancelled, connection closed",
        "3215 webhook received: success from anthropic, answered 200",
        "4505 openrouter cancelled, not called again",
    ];
    assert_eq!(written(&good()), expected);
}

#[test]
fn a_connection_that_is_closed_before_anybody_has_won_is_no_cancellation() {
    let mut seen = good();
    seen.providers[1][0].closed = Some(ms(2000));
    assert!(written(&seen).contains(&"2000 openai connection closed".to_owned()));
    assert!(cancelled(&seen).iter().all(|one| one.who != "openai"));
}

#[test]
fn a_race_that_nobody_has_won_has_no_winner_and_nobody_cancelled() {
    let mut seen = good();
    seen.events.pop();
    assert!(cancelled(&seen).is_empty());
    assert!(!written(&seen).iter().any(|line| line.contains("wins") || line.contains("cancelled")));
}

#[test]
fn lines_that_are_ready_stay_as_they_are_whatever_comes_later() {
    let whole = timeline(&good());
    for now in (0..4600).step_by(10) {
        let seen = until(now);
        let lines = timeline(&seen);
        let shown = ready(&lines, &seen, ms(now));
        assert_eq!(lines[..shown], whole[..shown], "at {now}");
    }
    assert_eq!(ready(&whole, &good(), ms(4505)), whole.len());
}

/// The good race as it was seen at this time.
fn until(now: u64) -> RaceSeen {
    let mut seen = good();
    for calls in &mut seen.providers {
        calls.retain(|call| call.sent <= ms(now));
        for call in calls {
            call.answer = call.answer.filter(|(at, _)| *at <= ms(now));
            call.closed = call.closed.filter(|at| *at <= ms(now));
        }
    }
    // Events come late, by different times.
    seen.events.retain(|event| event.at.0 + 90 <= 1_000_000 + now);
    seen.webhooks.retain(|webhook| webhook.at <= ms(now));
    seen.watched = seen.watched.filter(|at| *at <= ms(now));
    seen
}

#[test]
fn the_race_is_watched_until_openrouter_would_have_been_called_again() {
    assert!(!is_over(&good(), ms(4400)));
    assert!(is_over(&good(), ms(4510)));
    assert!(!is_over(&until(3000), ms(7999)) && is_over(&until(3000), ms(8000)));
}

#[test]
fn the_race_as_it_should_be_meets_every_expectation() {
    assert_eq!(failed(&good()), Vec::<String>::new());
}

#[test]
fn a_race_that_was_not_seen_at_all_fails() {
    assert!(failed(&RaceSeen::default()).len() > 5);
}

#[test]
fn openrouter_that_is_not_limited_or_not_tried_again_is_told() {
    is_told(|seen| seen.providers[0][0].answer = Some((ms(103), 503)), "first answer should be 429; seen: 503");
    is_told(|seen| seen.providers[0].truncate(1), "openrouter should be tried again");
}

#[test]
fn a_fallback_that_comes_at_the_wrong_time_is_told() {
    is_told(|seen| seen.providers[1][0].sent = ms(50), "openai should be called after openrouter's 429");
    is_told(|seen| seen.providers[1][0].sent = ms(2110), "openai should be called after openrouter's 429");
    is_told(|seen| seen.events[2].at = Millis(1_003_100), "anthropic should contend when openai is silent for 3000 ms");
    is_told(|seen| seen.providers[1].push(Exchange::default()), "openai should be called once; seen: 2 calls");
    is_told(|seen| seen.providers[2].clear(), "anthropic should be called once; seen: 0 calls");
}

#[test]
fn another_end_or_winner_is_told() {
    let settled = |status, winner| event(3208, What::Settled { status, winner });
    is_told(|seen| seen.events[3] = settled(Status::Failed, None), "end should be success; seen: failed");
    is_told(|seen| seen.events[3] = settled(Status::Success, Some(BranchId(1))), "winner should be anthropic");
    is_told(|seen| seen.events.truncate(3), "end should be success; seen: no end");
    is_told(|seen| seen.providers[0][1].answer = Some((ms(2205), 200)), "successful answers should be 1; seen: 2");
}

#[test]
fn a_loser_that_goes_on_is_told() {
    is_told(|seen| seen.providers[0].push(answered(4300, 4400, 429)), "openrouter should not be called once");
    is_told(|seen| seen.providers[1][0].closed = None, "no call to openai should be left open");
    is_told(|seen| seen.providers[1][0].closed = None, "openai's connection should be closed");
    is_told(|seen| seen.providers[1][0].answer = Some((ms(3209), 200)), "openai's connection should be closed");
    is_told(|seen| seen.providers[1][0].closed = Some(ms(3000)), "openai's connection should be closed");
}

#[test]
fn a_loser_that_was_under_way_when_the_winner_was_found_is_no_fault() {
    let mut seen = good();
    let under_way = Exchange { sent: ms(3208), answer: None, closed: Some(ms(3212)) };
    seen.providers[0].push(under_way);
    assert_eq!(failed(&seen), Vec::<String>::new());
}

#[test]
fn a_webhook_that_is_missing_or_doubled_or_says_something_else_is_told() {
    is_told(|seen| seen.webhooks.clear(), "webhooks received should be 1; seen: 0");
    is_told(|seen| seen.webhooks.push(seen.webhooks[0].clone()), "webhooks received should be 1; seen: 2");
    is_told(|seen| seen.webhooks[0].status = "failed".into(), "webhook's status should be success");
    is_told(|seen| seen.webhooks[0].winner = Some(0), "webhook's winner should be anthropic; seen: openrouter");
    is_told(|seen| seen.webhooks[0].response = None, "response in the webhook should be 200");
    is_told(|seen| seen.webhooks[0].answered = None, "answer to the webhook should be 200");
}

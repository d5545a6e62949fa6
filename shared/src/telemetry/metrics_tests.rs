//! Every count by its name and labels.

use super::*;

fn has(metrics: &Metrics, line: &str) {
    let text = metrics.encode();
    assert!(text.lines().any(|one| one == line), "no line `{line}` in\n{text}");
}

#[test]
fn every_count_is_there_from_the_start() {
    let metrics = Metrics::new();
    has(&metrics, "sluice_jobs_submitted_total{via=\"follow_up\",outcome=\"unavailable\"} 0");
    has(&metrics, "sluice_jobs_settled_total{status=\"cancelled\"} 0");
    has(&metrics, "sluice_attempts_in_flight 0");
    has(&metrics, "# EOF");
}

#[test]
fn what_is_counted_is_shown_under_its_labels() {
    let metrics = Metrics::new();
    metrics.submitted(Via::Http, Submitted::Duplicate);
    metrics.denied(Denial::NoKey);
    metrics.attempted(Class::Limited, Duration::from_millis(20));
    metrics.settled(Status::Failed, Duration::from_secs(2));
    metrics.dropped();
    metrics.waited_at_gate(Duration::from_millis(2));
    metrics.gate_closed();
    metrics.circuit_opened();
    metrics.set_aside(DeadKind::Message);
    metrics.webhook(Webhook::Retry, Duration::from_secs(3));
    metrics.healed(Healed::Timer);
    metrics.nats_request(Operation::Swap, Duration::from_micros(300), 2);
    for line in [
        "sluice_jobs_submitted_total{via=\"http\",outcome=\"duplicate\"} 1",
        "sluice_requests_denied_total{reason=\"no_key\"} 1",
        "sluice_attempts_total{answer=\"limited\"} 1",
        "sluice_attempt_duration_seconds_bucket{le=\"0.025\",answer=\"limited\"} 1",
        "sluice_jobs_settled_total{status=\"failed\"} 1",
        "sluice_job_duration_seconds_sum{status=\"failed\"} 2.0",
        "sluice_messages_dropped_total 1",
        "sluice_gate_wait_seconds_count 1",
        "sluice_gates_closed_total 1",
        "sluice_circuits_opened_total 1",
        "sluice_messages_set_aside_total{kind=\"message\"} 1",
        "sluice_webhooks_total{result=\"retry\"} 1",
        "sluice_webhook_duration_seconds_sum{result=\"retry\"} 3.0",
        "sluice_sweep_healed_total{what=\"timer\"} 1",
        "sluice_nats_request_duration_seconds_count{operation=\"swap\"} 1",
        "sluice_nats_request_repeats_total{operation=\"swap\"} 2",
    ] {
        has(&metrics, line);
    }
}

#[test]
fn clones_count_together_and_a_call_is_in_flight_until_its_guard_is_dropped() {
    let metrics = Metrics::new();
    let (first, second) = (metrics.attempt_started(), metrics.clone().attempt_started());
    has(&metrics, "sluice_attempts_in_flight 2");
    drop(first);
    has(&metrics, "sluice_attempts_in_flight 1");
    drop(second);
    has(&metrics, "sluice_attempts_in_flight 0");
}

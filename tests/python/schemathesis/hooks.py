"""What no schema can say of a request: where calls may go, what depends on the time and on other fields."""

import os
import time

import schemathesis
from hypothesis import strategies as st

DESTINATION = os.environ["DESTINATION"]
OWN_KEY = os.environ["SLUICE_API_KEY"].split("_")[1]
MONTH = 29 * 24 * 60 * 60 * 1000

# URLs that may be called from where the gateway is, and end at once: one that answers, one where nobody listens, one that no
# name leads to.
URLS = st.builds(
    lambda base, path: base + path,
    st.sampled_from([DESTINATION, "http://127.0.0.1:9", "https://sluice.invalid"]),
    st.sampled_from(["/", "/ok", "/?a=b", "/%20"]),
)
schemathesis.openapi.format("uri", URLS)


def is_count(value):
    whole = isinstance(value, int) or isinstance(value, float) and value.is_integer()
    return whole and not isinstance(value, bool) and value >= 0


# How many fallbacks a job may have beside each other, and how many are made up at most.
MOST_FALLBACKS, MADE_UP = 32, 2


def timely(job):
    """A job as it is, but for what is right by itself and wrong with regard to the time or to its webhooks. What was made up as
    too many fallbacks is too many."""
    if not isinstance(job, dict):
        return job
    job = dict(job)
    if is_count(job.get("retry_at")):
        job["retry_at"] = min(job["retry_at"], int(time.time() * 1000) + MONTH)
    webhooks = job.get("webhooks")
    if is_count(job.get("webhook_quorum")) and job["webhook_quorum"] <= 16 and isinstance(webhooks, (list, type(None))):
        votes = [one for one in webhooks or [] if isinstance(one, dict) and has_vote(one)]
        job["webhook_quorum"] = min(job["webhook_quorum"], len(votes) if webhooks else 1)
    fallbacks = job.get("fallbacks")
    if isinstance(fallbacks, list) and MADE_UP < len(fallbacks) <= MOST_FALLBACKS:
        job["fallbacks"] = (fallbacks * MOST_FALLBACKS)[: MOST_FALLBACKS + 1]
    for name in ("on_success", "on_failure"):
        if name in job:
            job[name] = timely(job[name])
    return job


def has_vote(webhook):
    return webhook.get("has_quorum_vote") is not False and webhook.get("hasQuorumVote") is not False


def one_key(case):
    """The key beside a job and the one in it are the same, where both are given."""
    beside = [name for name in case.headers or {} if name.lower() == "idempotency-key"]
    if beside and case.body.get("idempotent_key") is not None:
        case.body = {**case.body, "idempotent_key": case.headers[beside[0]]}


def wish(body):
    """A wish for a key of somebody, for a time that is not over."""
    if not isinstance(body, dict):
        return body
    body = dict(body)
    if body.get("tenant") is None and body.get("operator") in (None, False):
        body["tenant"] = "acme"
    if is_count(body.get("expires_at")):
        body["expires_at"] = max(body["expires_at"], int(time.time() * 1000) + MONTH)
    return body


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Jobs in jobs in jobs are too large to be made up in any time: one of each kind inside of another is enough here."""
    deeper = {
        "Fallback": ["fallback_job", "fallbacks"],
        "FollowUp": ["fallback_job", "fallbacks", "on_success", "on_failure", "on_failure_timeout_ms"],
    }
    for name, schema in raw_schema["components"]["schemas"].items():
        for field in deeper.get(name.removeprefix("EzThrottle"), []):
            del schema["properties"][field]
        schema.get("properties", {}).get("fallbacks", {})["maxItems"] = MADE_UP


@schemathesis.hook
def before_call(context, case, kwargs):
    """The key that all of this is done with is not revoked; hooks of bodies are not asked about all that is made up."""
    if case.operation.method.upper() == "POST" and case.operation.path in ("/v1/jobs", "/api/v1/jobs"):
        case.body = timely(case.body)
        if case.meta.generation.mode.is_positive and isinstance(case.body, dict):
            one_key(case)
    if case.operation.method.upper() == "POST" and case.operation.path == "/v1/keys":
        case.body = wish(case.body)
    if case.operation.path == "/v1/keys/{id}" and case.path_parameters.get("id") == OWN_KEY:
        case.path_parameters["id"] = "none"

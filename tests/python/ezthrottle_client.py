"""Code on the published client, as its users have it: python ezthrottle_client.py SCENARIO < {"sluice", "key", "api", "hook"}

Only the base URLs are those of Sluice. Prints what the client gave back, as JSON.
"""

import json
import sys
import time

from ezthrottle import EZThrottle, EZThrottleError, ForwardToEZThrottle, IdempotentStrategy, Step, StepType, auto_forward

at = json.load(sys.stdin)
client = EZThrottle(at["key"], tracktags_url=at["sluice"], ezthrottle_url=at["sluice"])
hooks = [{"url": at["hook"], "has_quorum_vote": True}]


def basic():
    return client.submit_job(
        url=at["api"] + "/ok", method="post", body=json.dumps({"a": 1}), metadata={"order": "7"}, webhooks=hooks,
        headers={"X-Own": "1"}, retry_policy={"max_retries": 2, "retry_codes": [503]},
    )


def duplicate():
    return [client.submit_job(url=at["api"] + "/ok", method="POST", body="x", webhooks=hooks) for _ in range(2)]


def unique():
    step = Step(client).url(at["api"] + "/ok").idempotent_strategy(IdempotentStrategy.UNIQUE).webhooks(hooks)
    return [step.execute() for _ in range(2)]


def race():
    slow = Step().url(at["api"] + "/slow")
    fast = Step().url(at["api"] + "/ok").metadata({"ignored": "here"}).webhooks(hooks)
    return slow.webhooks(hooks).fallback(fast, trigger_on_timeout=300).execute(client)


def chain():
    # Another host, which has a gate of its own: that of the first is closed by then.
    other = at["api"].replace("127.0.0.1", "localhost")
    limited, broken, ok = Step().url(at["api"] + "/limited"), Step().url(other + "/broken"), Step().url(other + "/ok")
    broken.retry_policy({"max_retries": 0})
    limited.webhooks(hooks).fallback(broken, trigger_on_error=[429]).fallback(ok, trigger_on_error=[500])
    return limited.execute(client)


def workflow():
    after = Step().url(at["api"] + "/after").method("POST")
    return Step(client).url(at["api"] + "/ok").webhooks(hooks).on_success(after).execute()


def frugal():
    step = Step(client).url(at["api"] + "/broken_once").type(StepType.FRUGAL).webhooks(hooks).idempotent_key("frugal")
    return step.execute()


def forward():
    @auto_forward(client)
    def order():
        raise ForwardToEZThrottle(url=at["api"] + "/ok", method="POST", body="y", webhooks=hooks, metadata={"n": "1"})

    return order()


def later():
    at_ms = int(time.time() * 1000) + 1500
    return {"at": at_ms, **client.submit_job(url=at["api"] + "/ok", body="later", webhooks=hooks, retry_at=at_ms)}


def secrets():
    said = []
    for step in (
        client.get_webhook_secret,
        lambda: client.create_webhook_secret("a secret of some length"),
        client.get_webhook_secret,
        lambda: client.rotate_webhook_secret("another of some length"),
        lambda: client.create_webhook_secret("a third of some length", "another of some length"),
        client.get_webhook_secret,
        client.delete_webhook_secret,
        client.get_webhook_secret,
    ):
        try:
            said.append(step())
        except EZThrottleError as error:
            said.append(str(error))
    return said


def secret():
    return client.create_webhook_secret("a secret of some length")


def refused():
    try:
        return client.submit_job(url="ftp://api.example.com/")
    except EZThrottleError as error:
        return {"error": str(error), "retry_at": error.retry_at}


print(json.dumps(globals()[sys.argv[1]]()))

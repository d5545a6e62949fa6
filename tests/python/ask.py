"""Submits a job by request, asks about it, cancels it and waits for its end: python ask.py URL"""

import asyncio
import json
import os
import sys

import nats


class Refused(Exception):
    """What was wrong, as problem details (RFC 9457): `status`, `code`, `detail`."""


async def ask(nc, operation: str, request: dict, timeout: float = 5) -> dict:
    answer = await nc.request(f"sluice.api.{operation}.acme", json.dumps(request).encode(), timeout=timeout)
    if "Nats-Service-Error-Code" in (answer.headers or {}):
        raise Refused(json.loads(answer.data))
    return json.loads(answer.data)


async def main(url: str) -> None:
    nc = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
    receipt = await ask(nc, "submit", {"url": url, "idempotent_key": "order-8", "deadline_ms": 60_000})
    print("submitted:", receipt["status"])
    again = await ask(nc, "submit", {"url": url, "idempotent_key": "order-8", "deadline_ms": 60_000})
    print("again:", "the same job" if again["job_id"] == receipt["job_id"] and again["duplicate"] else again)

    job = await ask(nc, "get", {"idempotent_key": "order-8"})
    print("attempts so far:", job["attempts"])
    job = await ask(nc, "cancel", {"job_id": receipt["job_id"]})
    print("cancelled:", job["status"])
    # The request must wait longer than Sluice does.
    job = await ask(nc, "wait", {"job_id": receipt["job_id"], "timeout": "30s"}, timeout=35)
    print("outcome:", job["outcome"]["status"])

    try:
        await ask(nc, "submit", {"urll": url})
    except Refused as refused:
        problem = refused.args[0]
        print("refused:", problem["status"], problem["code"])
        for fault in problem["faults"]:
            print(" ", fault["path"], fault["message"])
    await nc.close()


asyncio.run(main(*sys.argv[1:]))

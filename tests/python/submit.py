"""Stores a job: python submit.py URL KEY"""

import asyncio
import json
import os
import sys

import nats


async def main(url: str, key: str) -> None:
    nc = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
    job = {"url": url, "method": "POST", "body": {"prompt": "hello"}}
    stored = await nc.jetstream().publish(
        "sluice.submit.acme", json.dumps(job).encode(), headers={"Idempotency-Key": key}
    )
    print("stored in", stored.stream)
    await nc.close()


asyncio.run(main(*sys.argv[1:]))

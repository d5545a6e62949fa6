"""Stores a job and receives its outcome on a subject of ours, with no HTTP at all on our side:
python outcome_by_nats.py URL KEY"""

import asyncio
import json
import os
import sys

import nats


async def main(url: str, key: str) -> None:
    nc = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
    outcome = asyncio.get_running_loop().create_future()

    async def on_outcome(msg) -> None:
        # An outcome comes at least once: take it, then answer. Without an answer it comes again.
        said = json.loads(msg.data)
        if said["idempotent_key"] == key and not outcome.done():
            outcome.set_result(said)
        await msg.respond(b"")

    await nc.subscribe("my.outcomes", cb=on_outcome)
    job = {
        "url": url,
        "idempotent_key": key,
        "metadata": {"order": 7},
        "webhooks": [{"url": "nats:my.outcomes"}],
    }
    await nc.jetstream().publish("sluice.submit", json.dumps(job).encode())

    said = await asyncio.wait_for(outcome, timeout=120)
    print(said["status"], "for order", said["metadata"]["order"])
    if said["status"] == "success":
        print(said["response"]["status_code"], said["response"]["body"])
    else:
        print(said["reason"], said.get("detail", ""))
    await nc.drain()


asyncio.run(main(*sys.argv[1:]))

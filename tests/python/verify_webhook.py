"""Verifies a webhook as its receiver would: python verify_webhook.py SCHEME SECRET < {"headers": {…}, "body": "…"}"""

import importlib.util
import json
import pathlib
import sys

import standardwebhooks


def standard(secret: str, headers: dict, body: str) -> str:
    webhook = standardwebhooks.Webhook(secret if secret.startswith("whsec_") else secret.encode())
    try:
        webhook.verify(body, headers)
    except standardwebhooks.WebhookVerificationError as error:
        return f"invalid: {error}"
    return "valid"


def ezthrottle(secret: str, headers: dict, body: str) -> str:
    # The package itself imports a web framework, which verifying does not need.
    [site] = {path for path in sys.path if (pathlib.Path(path) / "ezthrottle").is_dir()}
    file = pathlib.Path(site) / "ezthrottle" / "webhook_utils.py"
    spec = importlib.util.spec_from_file_location("webhook_utils", file)
    utils = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(utils)
    valid, why = utils.verify_webhook_signature(body.encode(), headers.get("x-ezthrottle-signature", ""), secret)
    return "valid" if valid else f"invalid: {why}"


scheme, secret = sys.argv[1:]
post = json.load(sys.stdin)
print({"standard": standard, "ezthrottle": ezthrottle}[scheme](secret, post["headers"], post["body"]))

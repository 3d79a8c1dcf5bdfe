"""A Flask application that receives signed webhooks."""

from __future__ import annotations

import threading
from typing import Any

from flask import Flask
from stand_in import stand_in
from werkzeug.serving import make_server

from ezthrottle import EZThrottle, Step
from ezthrottle.flask import verified_webhook
from ezthrottle.types import Webhook

SECRET = "a_secret_of_16_or_more"
app = Flask(__name__)
received = threading.Event()


@app.post("/webhook")
@verified_webhook(SECRET)
def receive(delivery: dict[str, Any]) -> dict[str, bool]:
    print("received:", delivery["status"], delivery["response"]["body"])
    received.set()
    return {"ok": True}


with stand_in() as api, EZThrottle() as client:
    client.create_webhook_secret(SECRET)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    webhook: Webhook = {"url": f"http://127.0.0.1:{server.server_port}/webhook"}
    Step(client).url(api.url("/charge")).webhooks([webhook]).execute()
    print("in time:", received.wait(30))
    server.shutdown()
    client.delete_webhook_secret()

"""`GET /v1/limits`."""

import msgspec
from concordance_inference.server.limits import Limits


def test_every_limit_is_reported(serve):
    limits = Limits(body_bytes=50, stalled_s=0.5, uploads_per_minute=3)
    body = serve(limits=limits).get("/v1/limits").json()

    assert body["object"] == "limits"
    assert body["limits"] == msgspec.to_builtins(limits)
    assert body["fields"]["top_logprobs"] == 20
    assert body["fields"]["nesting"] == 64


def test_fields_above_their_reported_limits_are_refused(client):
    fields = client.get("/v1/limits").json()["fields"]

    def status_of(**given):
        body = {"model": "fake", "messages": [{"role": "user", "content": "hi"}], **given}
        response = client.post("/v1/chat/completions", json=body)
        if response.status_code == 400:
            assert response.json()["error"]["param"].startswith(next(iter(given)))
        return response.status_code

    def nested(depth):
        return {"a": nested(depth - 1)} if depth > 1 else {}

    message = {"role": "user", "content": "hi"}
    for name, at in {
        "stop": lambda n: {"stop": ["a"] * n},
        "stop_characters": lambda n: {"stop": ["a" * n]},
        "messages": lambda n: {"messages": [message] * n},
        "top_logprobs": lambda n: {"top_logprobs": n, "logprobs": True},
        "nesting": lambda n: {"chat_template_kwargs": nested(n)},
        "banned_strings": lambda n: {"banned_strings": [f"a{i}" for i in range(n)]},
    }.items():
        limit = fields[name]
        assert status_of(**at(limit)) in (200, 400 if name == "nesting" else 200), name
        assert status_of(**at(limit + 1)) == 400, name

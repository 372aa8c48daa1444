"""Random requests to every route of `/openapi.json`: only described statuses, and our errors."""

import json
import os
import random
from urllib.parse import quote, urlencode

import pytest
from concordance_inference.server.app import ROUTES
from concordance_inference.server.description.openapi import description

SPEC = description(ROUTES)
SCHEMAS = SPEC["components"]["schemas"]

#: Random requests to each route, and their seed, for longer runs by hand.
NUM_REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "25"))
SEED = os.environ.get("FUZZ_SEED", "described")

#: Routes whose response does not end.
ENDLESS = {"/v1/traces/live"}

#: Statuses from 500 that errors of ours have: the server cannot serve the request now.
UNAVAILABLE = {503, 529}

OPERATIONS = [
    (method, path, operation)
    for path, methods in SPEC["paths"].items()
    for method, operation in methods.items()
    if path not in ENDLESS
]
WORDS = ["x", "fake", "greeting", "a/b", "..", "%00", "é", "\x00", "x" * 300, "0", "-1", "null"]
SCALARS = [None, True, False, 0, -1, 1, 2**31, 2**63, 1.5, -0.0, 1e308, "", "x", "\0", "🙂"]
PROBABLE = {"model": "fake", "max_tokens": 3, "type": "function", "role": "user", "mods": []}


class Dice(random.Random):
    """Draws values of schemas, some of which do not fit."""

    KINDS = {  # noqa: RUF012  # not changed
        "string": lambda self, s, _: self.choice([*WORDS, "", "🙂"])[: s.get("maxLength", 99)],
        "integer": lambda self, s, _: self.choice([0, 1, 2, 5, s.get("minimum", -3), 2**40]),
        "number": lambda self, s, _: self.choice([0, 0.5, 1, s.get("minimum", -3.0), 1e9]),
        "boolean": lambda self, *_: self.random() < 0.5,
        "null": lambda *_: None,
        "array": lambda self, s, depth: self.array(s, depth),
        "object": lambda self, s, depth: self.object(s, depth),
    }

    def value(self, schema, depth=0):
        """Return a value that mostly fits a schema."""
        if self.random() < 0.04:
            return self.anything(depth)
        if "$ref" in schema:
            return self.value(SCHEMAS[schema["$ref"].rpartition("/")[2]], depth)
        if alternatives := schema.get("anyOf", schema.get("oneOf")):
            return self.value(self.choice(alternatives), depth)
        if "enum" in schema:
            return self.choice(schema["enum"])
        make = self.KINDS.get(schema.get("type"), lambda self, _, depth: self.anything(depth))
        return make(self, schema, depth)

    def array(self, schema, depth):
        """Return up to 3 items."""
        items = schema.get("items", {})
        return [self.value(items, depth + 1) for _ in range(self.randrange(0, 4))]

    def object(self, schema, depth):
        """Return an object with the required properties, mostly, and a few others."""
        known = schema.get("properties", {})
        required = {name for name in schema.get("required", ()) if self.random() < 0.97}
        optional = self.sample([*known], k=min(len(known), self.choice([0, 1, 1, 2, 3])))
        names = [*dict.fromkeys([*required, *optional])] if depth < 7 else [*required]
        found = {
            name: PROBABLE[name]
            if name in PROBABLE and self.random() < 0.9
            else self.value(known.get(name, {}), depth + 1)
            for name in names
        }
        if isinstance(more := schema.get("additionalProperties"), dict) and depth < 7:
            found |= {self.choice(WORDS): self.value(more, depth + 1) for _ in range(2)}
        return found

    def anything(self, depth):
        """Return any value that JSON has."""
        kind = self.random() if depth < 5 else 1.0
        if kind < 0.15:
            return [self.anything(depth + 1) for _ in range(self.randrange(3))]
        if kind < 0.3:
            return {self.choice(WORDS): self.anything(depth + 1) for _ in range(2)}
        return self.choice(SCALARS)

    def url(self, path, operation):
        """Return a path with values for its parameters, and a query."""
        query = {}
        for parameter in operation.get("parameters", ()):
            name, word = parameter["name"], self.choice(WORDS)
            if parameter["in"] == "path":
                path = path.replace(f"{{{name}}}", quote(word, safe=""))
            elif self.random() < 0.6:
                query[name] = word
        return f"{path}?{urlencode(query)}" if query else path

    def body(self, operation):
        """Return a body as bytes, which are not always JSON."""
        content = operation.get("requestBody", {}).get("content", {})
        if not content:
            return b"" if self.random() < 0.9 else b"{}"
        raw = json.dumps(self.value(content["application/json"]["schema"])).encode()
        if self.random() < 0.05:
            at = self.randrange(len(raw))
            raw = raw[:at] + self.randbytes(2) + raw[at + 1 :]
        return raw


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    OPERATIONS,
    ids=[f"{method} {path}" for method, path, _ in OPERATIONS],
)
def test_random_request_gets_a_described_response(client, method, path, operation):
    dice = Dice(f"{SEED} {method} {path}")
    described = {int(status) for status in operation["responses"] if status.isdigit()}
    for _ in range(NUM_REQUESTS):
        url, body = dice.url(path, operation), dice.body(operation)
        headers = {"content-type": "application/json"} if dice.random() < 0.97 else {}
        got = client.request(method.upper(), url, content=body, headers=headers)
        said = (url, body[:2000], got.status_code, got.text[:1000])
        if got.status_code in described or path in ("/healthz", "/readyz", "/health"):
            continue
        assert 400 <= got.status_code < 500 or got.status_code in UNAVAILABLE, said
        error = got.json()["error"]
        assert error["message"], said
        assert {"type", "param", "code"} <= error.keys() or path.startswith("/v1/messages"), said

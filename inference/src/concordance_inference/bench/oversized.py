"""Requests with one field of an absurd size, for every field that a server describes."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

#: Values as JSON, by what they are.
_VALUES: Mapping[str, str] = {
    "a text of 3 MB": '"' + "x y " * 750_000 + '"',
    "a million numbers": "[" + "7," * 1_000_000 + "7]",
    "200,000 fields": "{" + ",".join(f'"{i:x}":0' for i in range(200_000)) + "}",
    "100,000 objects": "[" + '{"type":"x"},' * 100_000 + "{}]",
}

_HI = [{"role": "user", "content": "Hi"}]

#: What makes a body complete, by the name of a field.
_REQUIRED: Mapping[str, Any] = {
    "messages": _HI,
    "prompt": "Hi",
    "input": "Hi",
    "tokens": [1],
    "max_tokens": 4,
    "max_output_tokens": 16,
    "name": "m",
    "entrypoint": "m",
    "source": "def m(event, actions): ...",
}


def requests(spec: Mapping[str, Any], model: str) -> Iterator[tuple[str, str, bytes]]:
    """Yield what is large, the path and the body of each request.

    Args:
        spec: The server's `/openapi.json`.
        model: The model's id.
    """
    schemas = spec["components"]["schemas"]
    for path, name in _bodies(spec):
        fields = schemas[name]["properties"]
        for field in fields:
            rest = {key: _REQUIRED[key] for key in fields if key in _REQUIRED and key != field}
            if "messages" in fields and "prompt" in fields:
                rest.pop("messages" if field == "prompt" else "prompt", None)
            if "model" in fields and field != "model":
                rest["model"] = model
            for what, value in _VALUES.items():
                body = json.dumps(rest)[:-1] + (", " if rest else "") + f'"{field}": {value}}}'
                yield f"{path}, {field}: {what}", path, body.encode()


def _bodies(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The paths that take bodies, and the names of the bodies' types; each type once."""
    seen: set[str] = set()
    for path, methods in spec["paths"].items():
        body = methods.get("post", {}).get("requestBody")
        if body is None or "{" in path:
            continue
        name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        if name not in seen:
            seen.add(name)
            yield path, name

"""Chat requests with one field at or above its limit."""

import json
from collections.abc import Iterator
from typing import Any

#: Characters of a body just below the limit.
_MOST = 4_000_000

_DEEP = 90

_HI = [{"role": "user", "content": "Hi"}]


def bodies(model: str) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the body of each request.

    Args:
        model: The model's id.
    """
    for name, fields in _plain():
        body = {"model": model, "messages": _HI, "max_tokens": 4, **fields}
        yield name, json.dumps(body).encode()
    for name, inner in _undecoded():
        body = json.dumps({"model": model, "max_tokens": 4, "messages": _HI})
        yield name, f"{body[:-1]}, {inner}}}".encode()


def _plain() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "nothing unusual", {}
    yield from _messages()
    yield from _settings()
    yield from _tools_and_formats()
    yield from _mods()


def _messages() -> Iterator[tuple[str, dict[str, Any]]]:
    words = "The quick brown fox jumps. " * (_MOST // 27)
    for name, content in {
        "message of 4 MB": words,
        "message of 4 MB in one word": "x" * _MOST,
        "message of 600 kB": words[:600_000],
        "message of 60 kB": words[:60_000],
        "prompt that fills the context": words[:26_000],
        "message of emoji": "\U0001f600" * 300_000,
    }.items():
        yield name, {"messages": [{"role": "user", "content": content}]}
    yield "10,000 messages", {"messages": _HI * 10_000}
    exchange = [*_HI, {"role": "assistant", "content": "Hello there, how are you?"}]
    yield "2,000 messages with replies", {"messages": exchange * 1_000}
    part = {"type": "text", "text": "a"}
    for count in (1_000, 120_000):
        yield f"{count:,} parts", {"messages": [{"role": "user", "content": [part] * count}]}
    call = {"id": "c", "function": {"name": "f", "arguments": json.dumps(_nested(_DEEP))}}
    for count in (1_000, 15_000):
        yield (
            f"{count:,} calls of tools",
            {"messages": [{"role": "assistant", "tool_calls": [call] * count}, *_HI]},
        )
    big = {"id": "c", "function": {"name": "f", "arguments": json.dumps([[]] * 30_000)}}
    yield "arguments of 120 kB", {"messages": [{"role": "assistant", "tool_calls": [big]}, *_HI]}


def _settings() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "logit_bias, 1,024 tokens", {"logit_bias": {str(i): -1 for i in range(1024)}}
    yield "logit_bias, the vocabulary", {"logit_bias": {str(i): -1 for i in range(49_000)}}
    yield "stop of 16 long strings", {"stop": ["a" * 1023 + chr(97 + i) for i in range(16)]}
    yield "stop of 3 MB", {"stop": "a" * 3_000_000}
    yield "20 logprobs of 200 tokens", {"logprobs": True, "top_logprobs": 20, "max_tokens": 200}
    yield (
        "all penalties",
        {
            "repetition_penalty": 1.1,
            "presence_penalty": 1,
            "frequency_penalty": 1,
            "top_p": 0.5,
            "top_k": 50,
            "min_p": 0.01,
            "max_tokens": 50,
        },
    )
    yield "user of 4 MB", {"user": "x" * (_MOST - 1000)}
    yield "model of 4 MB", {"model": "x/" + "+" * (_MOST - 1000)}


def _tools_and_formats() -> Iterator[tuple[str, dict[str, Any]]]:
    greeting = {"mods": [{"name": "greeting"}]}
    function = {"name": "f", "description": "x" * 1_500, "parameters": _nested(10)}
    yield "128 tools", {"tools": [{"type": "function", "function": function}] * 128, **greeting}
    wide = {"name": "f", "parameters": {"properties": {str(i): {} for i in range(20_000)}}}
    yield "a wide tool", {"tools": [{"type": "function", "function": wide}], **greeting}
    for name, schema in {
        "schema, multipleOf": {"type": "integer", "multipleOf": 499_979},
        "schema, nested oneOf": _one_of(9),
        "schema, 2,000 properties": {
            "type": "object",
            "properties": {f"p{i}": {"type": "string"} for i in range(2_000)},
        },
        "schema, long pattern": {"type": "string", "pattern": "(a|b)*c" * 300},
        "schema, counted": {"type": "string", "pattern": "^(a{1,500}){1,500}$"},
        "schema, large enum": {"enum": [f"value {i}" for i in range(10_000)]},
    }.items():
        form = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
        yield name, {"response_format": form, "mods": [{"name": "json_schema"}]}


def _mods() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, mods in {
        "2,000 mods": [{"name": "greeting"}] * 2_000,
        "16 mods": [
            {"name": "avoid", "params": {"words": ["x" * 500 + str(i)]}} for i in range(16)
        ],
        "greeting of 8 kB": [{"name": "greeting", "params": {"text": "a b " * 2_000}}],
        "greeting of 3 MB": [{"name": "greeting", "params": {"text": "a b " * 750_000}}],
        "greeting of 8 kB, replaced": [
            {"name": "greeting", "params": {"text": "~!" * 4_000}},
            {"name": "replace", "params": {"find": "~", "replacement": "x" * 8_000}},
        ],
        "replacement of 1 MB": [
            {"name": "replace", "params": {"find": "a", "replacement": "b" * 1_000_000}}
        ],
        "words of 1 MB": [{"name": "avoid", "params": {"words": ["a" * 1_000_000]}}],
    }.items():
        yield name, {"mods": mods, "max_tokens": 2_000 if "8 kB" in name else 4}


def _undecoded() -> Iterator[tuple[str, str]]:
    """JSON that is written by hand, since an encoder would not produce it or would be too slow."""
    yield "an unknown field of 4 MB, nested", f'"x": {"[" * 900}{"]" * 900}'
    yield "an unknown field of 4 MB, wide", f'"x": [{"[]," * 1_300_000}0]'
    yield "tools of 4 MB, wide", f'"tools": [{"{}," * 1_300_000}{{}}]'
    yield (
        "params of 4 MB, deep",
        f'"mods": [{{"params": [{("[" * 500 + "]" * 500 + ",") * 3_900}0]}}]',
    )
    yield "4 MB of names", '"x": {' + ",".join(f'"{i:x}":0' for i in range(400_000)) + "}"


def _nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"type": "object"}
    for _ in range(depth):
        value = {"properties": {"a": value}}
    return value


def _one_of(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(depth):
        kinds = [
            {
                "type": "object",
                "properties": {name: schema},
                "required": [name],
                "additionalProperties": False,
            }
            for name in "ab"
        ]
        schema = {"oneOf": kinds}
    return schema

"""Calls that random models write under the grammar, judged by a second validator."""

import json
import random

import jsonschema
import pytest
from concordance_inference.chat.message_parts import joined
from concordance_inference.generation import TextDelta
from concordance_inference.tools.call_grammar import CallGrammar
from concordance_inference.tools.call_reader import CallReader
from concordance_inference.tools.layouts import LAYOUTS
from concordance_inference.tools.offer import ToolChoice, tool_offer
from concordance_inference.tools.tool_format import ToolFormat
from concordance_sdk.constraints import compile_constraint
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import FunctionSchema, Tool
from fake_engine import completed
from tool_folders import TOKENS

SCHEMAS = {
    "get": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 6},
            "days": {"type": "integer", "minimum": 0, "maximum": 500},
            "unit": {"enum": ["c", "f", "</tool_call>"]},
        },
        "required": ["city"],
    },
    "get_all": {
        "type": "object",
        "properties": {
            "options": {
                "type": "object",
                "properties": {
                    "deep": {"type": "boolean"},
                    "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
                },
                "required": ["deep"],
                "additionalProperties": False,
            },
            "note": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "null"}]},
            "size": {"type": ["number", "null"]},
        },
        "required": ["options", "note"],
    },
    "now": {"type": "object", "properties": {}, "additionalProperties": False},
}
TOOLS = [Tool(function=FunctionSchema(name=n, parameters=s)) for n, s in SCHEMAS.items()]


class Marked(ByteTokenizer):
    """Bytes, and a token for each marker of a format."""

    def __init__(self, name):
        self.names = dict(enumerate(TOKENS.get(name, ()), 257))
        self.special = {n: i for i, n in self.names.items() if TOKENS[name][n]}
        self.vocab_size = 257 + len(self.names)
        self.special_token_ids = frozenset({256, *self.special.values()})

    def token_bytes(self, token_id):
        name = self.names.get(token_id)
        return name.encode() if name else super().token_bytes(token_id)


def written(name, seed, *, is_parallel=True, is_open=False):
    """Return the offer and the text of a model that chooses among the allowed tokens at random."""
    tokenizer, chance = Marked(name), random.Random(seed)
    tool_format = ToolFormat(name=name, layout=LAYOUTS[name], special=tokenizer.special)
    offer = tool_offer(TOOLS, ToolChoice(mode="required", is_parallel=is_parallel), tool_format)
    grammar = CallGrammar(offer, is_open=is_open)
    matcher = compile_constraint(grammar, tokenizer).start(at_start=True)
    keyed = LAYOUTS[name].keyed
    end = [*keyed.after_value.encode()] if keyed else []
    while not matcher.is_complete and matcher.num_tokens < 2000:
        if end and chance.random() < 0.1 and matcher.accepts(end) == len(end):
            matcher.extend(end)
            continue
        mask = matcher.mask()
        allowed = [i for i in range(tokenizer.vocab_size) if mask[i // 8] >> i % 8 & 1]
        ends = [i for i in allowed if i > 255 or i in b'"}]<']
        allowed = ends if ends and chance.random() < 0.3 else allowed
        matcher.extend(matcher.forced() or [chance.choice(allowed)])
    assert matcher.is_complete
    return offer, matcher.text


def calls_in(text, offer, size):
    reader = CallReader(offer)
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    parts = [part for piece in pieces for part in reader.add(TextDelta(text=piece))]
    message = joined([*parts, *reader.end(completed(text))])
    assert message.content == ""
    return message.tool_calls


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_call_names_an_offered_tool_and_validates(name):
    num_calls = 0
    for seed in range(8):
        is_parallel, is_open = seed % 3 != 0, seed % 2 == 1
        offer, text = written(name, seed, is_parallel=is_parallel, is_open=is_open)
        text = f"{LAYOUTS[name].marker if is_open else ''}{text}"
        calls = calls_in(text, offer, 10_000)
        for call in calls:
            arguments = json.loads(call.function.arguments)
            jsonschema.Draft202012Validator(SCHEMAS[call.function.name]).validate(arguments)
        functions = [call.function for call in calls]
        assert functions == [call.function for call in calls_in(text, offer, 1 + seed)]
        assert len({call.id for call in calls}) == len(calls)
        assert len(calls) == 1 or (len(calls) > 1 and is_parallel)
        num_calls += len(calls)
    assert num_calls >= 8

"""Formats hold in `final` messages and in the arguments of calls, and only there."""

import json

import jsonschema
import pytest
from concordance_inference.generation import Completed, SamplingParams
from concordance_inference.harmony.channels import HarmonyChannels
from concordance_inference.harmony.content_mod import with_contents
from concordance_inference.harmony.format import HarmonyFormat
from concordance_inference.harmony.header_guard import HeaderGuard
from concordance_inference.harmony.offered_headers import legal_headers
from concordance_inference.harmony.place import START, Place, after_text, after_token
from concordance_inference.output_format import OutputFormat
from concordance_inference.tools.offer import ToolChoice, tool_offer
from concordance_sdk import Added, ForwardPass, Prefilled, mod
from concordance_shared import FunctionSchema, InvalidRequestError, SchemaError, Tool
from families import build_model
from harmony_bytes import IDS, TOKENIZER, TOKENS, TRAITS, VOCAB, named
from tiny import ask, call, finish, make_engine, run, submit

PROMPT = named("<|start|>user<|message|>Hi<|end|><|start|>assistant")
WORD = {
    "type": "object",
    "properties": {"word": {"enum": ["tide", "time"]}, "many": {"type": "integer"}},
    "required": ["word", "many"],
}
TOOLS = [
    Tool(function=FunctionSchema(name="look_up", parameters=WORD)),
    Tool(function=FunctionSchema(name="look")),
]
ANSWER = OutputFormat(
    kind="json",
    value={"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
           "additionalProperties": False},
    param="response_format",
)  # fmt: skip


def request(*mods, tools=TOOLS, choice=None, output=None, prompt=PROMPT, opened=START, **fields):
    offer = tool_offer(tools, ToolChoice(**(choice or {})), HarmonyFormat.tool_format)
    channels = HarmonyChannels(
        TOKENS, opened=opened, token_bytes=TOKENIZER.token_bytes, encode=TOKENIZER.encode
    )
    guard = HeaderGuard(legal_headers(offer), TOKENS, TOKENIZER.encode, TOKENIZER.special_token_ids)
    calls = with_contents([call(m) for m in mods], TOKENS, output, offer)
    fields = {"token_rules": guard, "channels": channels, "max_tokens": 200, **fields}
    return ask(prompt, *calls, **fields)


def messages_of(token_ids, place=START):
    """The header and content of each message, and the token that ended it."""
    found = []
    for token_id in token_ids:
        before = place
        if token_id in TOKENS.all:
            place = after_token(place, token_id, TOKENS)
        elif place.kind != "content":
            place = after_text(place, bytes([token_id]), TOKENS)
        else:
            found[-1][1].append(token_id)
        if place.kind == "content" and before.kind == "header":
            found.append([place.header, [], None])
        if before.kind == "content" and token_id in TOKENS.all and found:
            found[-1][2] = token_id
    return [(header, bytes(ids).decode(errors="replace"), end) for header, ids, end in found]


def engine_of(seed=1):
    return make_engine(build_model("llama", seed=seed, vocab_size=VOCAB), traits=TRAITS)


def sampling(seed, ends=5.0):
    likes = dict.fromkeys((IDS["<|end|>"], IDS["<|return|>"], IDS["<|call|>"]), ends)
    likes |= dict.fromkeys(named('<|channel|>}"'), 3.0)
    return SamplingParams(seed=seed, logit_bias=likes)


@pytest.mark.parametrize("model", range(3))
def test_every_answer_and_every_call_of_a_random_model_follows_its_schema(model):
    engine = engine_of(model)
    choices = ({}, {"mode": "required"}, {"mode": "required", "names": ("look_up",)})
    answers = [
        submit(engine, request(output=ANSWER, choice=choices[i % 3], sampling=sampling(i)))
        for i in range(12)
    ]
    finish(engine)
    seen = set()
    for answer in answers:
        assert isinstance(answer.end, Completed), answer.end
        for header, text, end in messages_of(answer.ids):
            if header.channel == "final" and end:
                jsonschema.validate(json.loads(text), ANSWER.value)
                assert end == IDS["<|return|>"]
            elif header.recipient and end:
                schema = WORD if header.recipient == "functions.look_up" else {"maxProperties": 0}
                jsonschema.validate(json.loads(text), schema)
                assert end == IDS["<|call|>"]
            seen.add((header.recipient or header.channel, bool(end)))
    assert {("functions.look_up", True), ("analysis", True)} <= seen


def test_the_same_tokens_alone_in_a_batch_and_in_a_stream():
    engine = engine_of()
    alone = [run(engine, request(output=ANSWER, sampling=sampling(i))).ids for i in range(4)]
    answers = [
        submit(engine, request(output=ANSWER, sampling=sampling(i), stream=i % 2 == 0))
        for i in range(4)
    ]
    finish(engine)
    assert [answer.ids for answer in answers] == alone


def forcing(text):
    """A mod that forces a text at the start."""

    @mod(name="forcing")
    class Forcing:
        def forward_pass(self, event: ForwardPass, actions):
            return actions.force_tokens(named(text)) if event.step == 0 else None

    return Forcing


def test_a_mod_may_force_a_header_and_the_format_of_its_message_holds():
    header = "<|channel|>commentary to=functions.look_up <|constrain|>json<|message|>"
    answers = run(engine_of(), request(forcing(header), sampling=sampling(1)))
    ((_, text, end),) = messages_of(answers.ids)
    assert json.loads(text)["word"] in ("tide", "time")
    assert end == IDS["<|call|>"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('<|channel|>final<|message|>{"no', "response_format"),
        ('<|channel|>commentary to=functions.look_up<|message|>{"word": "x', "tools"),
    ],
)
def test_a_text_that_a_mod_forces_against_a_format_is_an_error(text, place):
    error = run(engine_of(), request(forcing(text), output=ANSWER)).error
    assert place in str(error)
    assert "forced it: leave out that mod" in str(error)


def test_a_mod_that_goes_back_over_a_header_begins_the_format_again():
    @mod(name="again", max_backtrack=None)
    class Again:
        def __init__(self):
            self.done = False

        def added(self, event: Added, actions):
            length = event.step + len(event.added_tokens)
            if not self.done and length > 60:
                self.done = True
                return actions.backtrack(length - 3, named("nal<|message|>"))
            return None

    header = "<|channel|>commentary to=functions.look_up <|constrain|>json<|message|>"

    @mod(name="start")
    class Start:
        def forward_pass(self, event: ForwardPass, actions):
            return actions.force_tokens(named(header)) if event.step == 0 else None

    answers = run(
        engine_of(), request(Start, Again, output=ANSWER, sampling=sampling(3), max_tokens=300)
    )
    assert isinstance(answers.end, Completed), answers.end


@pytest.mark.parametrize("cut", range(1, 14))
def test_a_message_that_the_prompt_begins_is_continued_within_its_format(cut):
    begun = '{"ok": false}'[:cut]
    opened = Place(kind="content", header=START.header.__class__(channel="final"), num_messages=1)
    prompt = [*PROMPT, *named("<|channel|>final<|message|>" + begun)]
    answers = run(engine_of(), request(tools=[], output=ANSWER, prompt=prompt, opened=opened))
    text = TOKENIZER.decode(answers.ids, skip_special_tokens=True)
    jsonschema.validate(json.loads(begun + text), ANSWER.value)


def test_a_prompt_that_a_mod_replaces_is_followed():
    @mod(name="replacing")
    class Replacing:
        def prefilled(self, event: Prefilled, actions):
            return actions.adjust_prefill(PROMPT)

    prompt = named("<|start|>user<|message|>Other<|end|><|start|>assistant")
    plain = run(engine_of(), request(output=ANSWER, sampling=sampling(2)))
    replaced = run(
        engine_of(), request(Replacing, prompt=prompt, output=ANSWER, sampling=sampling(2))
    )
    assert replaced.ids == plain.ids


def test_a_schema_that_cannot_be_enforced_is_refused_with_its_place():
    bad = Tool(
        function=FunctionSchema(name="f", parameters={"properties": {"a": {"pattern": "("}}})
    )
    error = run(engine_of(), request(tools=[TOOLS[1], bad])).error
    assert isinstance(error, SchemaError)
    assert error.param.startswith("tools[1].function.parameters")
    regex = OutputFormat(kind="regex", value="(", param="regex")
    error = run(engine_of(), request(tools=[], output=regex)).error
    assert isinstance(error, InvalidRequestError)
    assert error.param == "regex"

"""What the headers of a request may say, and that the engine holds completions to it."""

import pytest
from concordance_inference.generation import Completed, SamplingParams
from concordance_inference.harmony.format import HarmonyFormat
from concordance_inference.harmony.header_guard import HeaderGuard
from concordance_inference.harmony.headers import LegalHeaders
from concordance_inference.harmony.offered_headers import legal_headers
from concordance_inference.harmony.place import START, after_text, after_token
from concordance_inference.output_format import OutputFormat
from concordance_inference.tools.offer import ToolChoice, tool_offer
from concordance_sdk import Added, mod
from concordance_sdk.channels import get_channels
from concordance_shared import FunctionSchema, Message, Schemas, Tool
from families import build_model
from harmony_bytes import IDS, TOKENIZER, TOKENS, TRAITS, VOCAB, named
from tiny import ask, call, finish, make_engine, submit

TOOLS = [Tool(function=FunctionSchema(name=name)) for name in ("look_up", "look")]
PROMPT = named("<|start|>user<|message|>Hi<|end|><|start|>assistant")


def offer_of(**choice):
    return tool_offer(TOOLS, ToolChoice(**choice), HarmonyFormat.tool_format)


def names(headers):
    return [recipient.name for recipient in headers.recipients]


def test_without_tools_there_is_no_commentary():
    assert legal_headers(None).channels == ("analysis", "final")
    assert legal_headers(None, may_reason=False) == LegalHeaders(channels=("final",))


def test_tool_choice_is_what_headers_may_say():
    auto = legal_headers(offer_of())
    assert auto.channels == ("analysis", "commentary", "final")
    assert names(auto) == ["functions.look_up", "functions.look"]
    assert legal_headers(offer_of(), has_format=True).channels == ("analysis", "final")
    required = legal_headers(offer_of(mode="required"))
    assert required.channels == ("analysis", "commentary")
    named_one = legal_headers(offer_of(mode="required", names=("look",)), may_reason=False)
    assert (named_one.channels, names(named_one)) == (("commentary",), ["functions.look"])


def messages_of(token_ids):
    """The channel and recipient of each message, and if the last one was ended."""
    place, found = START, []
    for token_id in token_ids:
        before = place
        if token_id in TOKENS.all:
            place = after_token(place, token_id, TOKENS)
        elif place.kind != "content":
            place = after_text(place, bytes([token_id]), TOKENS)
        assert not place.salvaged
        if place.kind == "content" and before.kind == "header":
            found.append((place.header.channel, place.header.recipient))
    return found, token_ids[-1] in TOKENS.stop_ids


@pytest.mark.parametrize("choice", [{}, {"mode": "required"}, {"mode": "none"}])
@pytest.mark.parametrize("seed", range(3))
def test_a_model_that_knows_nothing_writes_legal_headers_only(choice, seed):
    headers = legal_headers(offer_of(**choice))
    guard = HeaderGuard(headers, TOKENS, TOKENIZER.encode, TOKENIZER.special_token_ids)
    engine = make_engine(build_model("llama", seed=seed, vocab_size=VOCAB), traits=TRAITS)
    bias = dict.fromkeys(IDS.values(), 6.0)  # it likes special tokens
    answers = [
        submit(
            engine,
            ask(PROMPT, max_tokens=120, token_rules=guard,
                sampling=SamplingParams(seed=i, temperature=1.2, logit_bias=bias)),
        )
        for i in range(8)
    ]  # fmt: skip
    finish(engine)
    seen = set()
    for answer in answers:
        assert isinstance(answer.end, Completed), answer.end
        messages, has_ended = messages_of(answer.ids)
        for i, (channel, recipient) in enumerate(messages):
            is_last = i == len(messages) - 1
            assert recipient in (None, *names(headers))
            assert recipient or channel in headers.channels
            ends = recipient is not None or channel == "final"
            assert not ends or is_last
            assert not (is_last and has_ended) or ends
            seen.add(recipient or channel)
    assert len(seen) > 1


@pytest.mark.parametrize("has_format", [False, True])
def test_a_request_with_a_format_and_tools_has_no_text_beside_the_answer(gpt_oss, has_format):
    output = OutputFormat(kind="json", value={"type": "object"}, param="response_format")
    made = gpt_oss.request(
        (Message(role="user", content="Hi"),),
        schemas=Schemas(tools=tuple(TOOLS)),
        output=output if has_format else None,
    )
    assert ("commentary" in made.token_rules.headers.channels) is not has_format
    assert names(made.token_rules.headers) == ["functions.look_up", "functions.look"]


def test_a_mod_that_ends_the_reasoning_of_a_request_that_must_call_leaves_it_to_the_model(gpt_oss):
    @mod(name="hurried", max_backtrack=0)
    class Hurried:
        def added(self, event: Added, actions):
            channels = get_channels()
            return channels.end_reasoning(actions) if channels.num_reasoning == 1 else None

    made = gpt_oss.request(
        (Message(role="user", content="Hi"),),
        schemas=Schemas(tools=tuple(TOOLS)),
        tool_choice=ToolChoice(mode="required"),
        mods=(call(Hurried),),
        max_tokens=9,
        sampling=SamplingParams(temperature=0, logit_bias={35644: 200.0, 200005: 100.0}),
    )
    *_, end = gpt_oss.submit(gpt_oss.prepare(made))
    ids = end.token_ids
    assert ids[4:8] == (200007, 200006, 173781, 200005)
    assert ids[8] != 17196

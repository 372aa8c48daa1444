"""Formats hold in `final` messages and in the arguments of calls, and only there."""

import json
import random
from functools import partial

import jsonschema
import msgspec
import pytest
from concordance_inference.control import Act, AttachMod
from concordance_inference.engine.config import EngineConfig
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.request.instances import instance_within
from concordance_inference.generation import Completed, SamplingParams
from concordance_inference.harmony import content_mod
from concordance_inference.harmony.channels import HarmonyChannels
from concordance_inference.harmony.content_mod import with_contents
from concordance_inference.harmony.format import HarmonyFormat
from concordance_inference.harmony.header_guard import HeaderGuard
from concordance_inference.harmony.offered_headers import legal_headers
from concordance_inference.harmony.place import START, Header, Place, after_text, after_token
from concordance_inference.output_format import OutputFormat
from concordance_inference.resume.ended import EndedCompletions
from concordance_inference.resume.request import resumed_request
from concordance_inference.tools.offer import ToolChoice, tool_offer
from concordance_sdk import Added, ForwardPass, Prefilled, mod
from concordance_sdk.host import definition_of
from concordance_shared import (
    Conversation,
    ForceTokens,
    FunctionSchema,
    InvalidRequestError,
    SchemaError,
    Schemas,
    Tool,
)
from controlled import send, step_until
from families import build_model
from harmony_bytes import IDS, TOKENIZER, TOKENS, TRAITS, VOCAB, named
from harmony_masks import naive_ids
from tiny import ask, call, finish, fresh_logits, make_engine, run, runner_of, submit

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


def request(
    *mods, tools=TOOLS, choice=None, output=None, prompt=PROMPT, opened=START, guard=True, **fields
):
    offer = offer_of(tools, choice)
    channels = HarmonyChannels(
        TOKENS, opened=opened, token_bytes=TOKENIZER.token_bytes, encode=TOKENIZER.encode
    )
    rules = HeaderGuard(legal_headers(offer), TOKENS, TOKENIZER.encode, TOKENIZER.special_token_ids)
    calls = with_contents([call(m) for m in mods], TOKENS, output, offer)
    rules = rules if guard else None
    fields = {"token_rules": rules, "channels": channels, "max_tokens": 200, **fields}
    return ask(prompt, *calls, **fields)


def offer_of(tools=TOOLS, choice=None):
    return tool_offer(tools, ToolChoice(**(choice or {})), HarmonyFormat.tool_format)


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


@pytest.fixture(name="gpt_oss", scope="module")
def _gpt_oss():
    return build_model("gpt_oss", vocab_size=VOCAB)


#: What a request asks for, for `request`; with these, models often begin messages with a format.
ASKED = {
    "auto": {"output": ANSWER},
    "tools": {},
    "required": {"choice": {"mode": "required"}},
    "named": {"output": ANSWER, "choice": {"mode": "required", "names": ("look_up",)}},
    "no guard": {"output": ANSWER, "guard": False},
}


def drawn(i):
    """Sampling that is greedy, or cuts the distribution, so that some positions are drawn again."""
    cuts = [{"temperature": 0.0}, {}, {"top_p": 0.7}, {"top_k": 5, "repetition_penalty": 1.2}]
    return msgspec.structs.replace(sampling(i, ends=8.0), **cuts[i % 4])


def limited(asked, i, **fields):
    return request(**ASKED[asked], sampling=drawn(i), max_tokens=40, **fields)


@pytest.mark.parametrize("asked", ASKED)
def test_tokens_with_formats_are_those_of_masks_that_are_always_known(gpt_oss, asked):
    offer = offer_of(choice=ASKED[asked].get("choice"))
    engine = make_engine(gpt_oss, traits=TRAITS, num_candidates=4)
    streams = [submit(engine, limited(asked, i, stream=i % 2 == 1)) for i in range(4)]
    finish(engine)
    for i, answers in enumerate(streams):
        known = naive_ids(
            partial(fresh_logits, gpt_oss),
            limited(asked, i),
            TOKENIZER,
            output=ASKED[asked].get("output"),
            offer=offer,
        )
        assert answers.ids == known


@pytest.mark.parametrize("asked", ASKED)
def test_the_same_tokens_alone_in_a_batch_and_in_a_stream(gpt_oss, asked):
    engine = make_engine(gpt_oss, traits=TRAITS)
    alone = [run(engine, limited(asked, i)).ids for i in range(4)]
    together = [submit(engine, limited(asked, i, stream=i % 2 == 0)) for i in range(4)]
    submit(engine, ask(PROMPT, reads_logits, max_tokens=20))
    finish(engine)
    assert [answers.ids for answers in together] == alone


@mod(name="reads_logits", on=[ForwardPass])
def reads_logits(event, actions):
    """Keep the engine from sampling ahead."""
    assert event.logits.top_k(1)


@pytest.mark.parametrize("asked", ASKED)
def test_the_tokens_are_those_of_a_mod_that_never_sleeps(gpt_oss, asked, monkeypatch):
    engine = make_engine(gpt_oss, traits=TRAITS)
    asleep = [answers.ids for answers in run(engine, *(limited(asked, i) for i in range(4)))]
    monkeypatch.setattr(content_mod, "_DEFINITION", definition_of(content_mod.HarmonyContentMod))
    awake = [answers.ids for answers in run(engine, *(limited(asked, i) for i in range(4)))]
    assert awake == asleep


@pytest.mark.parametrize("seed", range(6))
def test_mods_that_force_and_backtrack_over_the_beginning_of_a_message_meet_its_format(
    gpt_oss, seed, monkeypatch
):
    def answers_of(num):
        meddlers = [meddling(random.Random(f"{seed}/{i}")) for i in range(num)]
        asked = [
            request(meddler, output=ANSWER, sampling=drawn(seed), max_tokens=50, stream=i % 2 == 1)
            for i, meddler in enumerate(meddlers)
        ]
        engine = make_engine(gpt_oss, traits=TRAITS)
        ends = [answers.end for answers in run(engine, *asked)]
        return [end.token_ids if isinstance(end, Completed) else str(end.error) for end in ends]

    asleep = answers_of(3)
    monkeypatch.setattr(content_mod, "_DEFINITION", definition_of(content_mod.HarmonyContentMod))
    assert answers_of(3) == asleep


def meddling(dice):
    """A mod that writes headers, parts of messages with a format, and removes them again."""
    header = "<|channel|>commentary to=functions.look_up <|constrain|>json<|message|>"
    texts = [
        "<|channel|>final<|message|>",
        "<|end|><|start|>assistant" + header,
        header[:20],
        header + '{"word": "ti',
        "<|end|><|start|>assistant<|channel|>analysis<|message|>Hm",
        "<|end|>",
    ]

    @mod(name="meddling", max_backtrack=None)
    class Meddling:
        def forward_pass(self, event: ForwardPass, actions):
            if event.step == 0 or dice.random() < 0.05:
                return actions.force_tokens(named(dice.choice(texts)))
            return None

        def added(self, event: Added, actions):
            length = event.step + len(event.added_tokens)
            if dice.random() < 0.15:
                some = dice.choice([None, named("<|message|>"), named(dice.choice(texts))])
                return actions.backtrack(min(length, dice.choice([1, 2, 6, 30])), some)
            return None

    return Meddling


def test_the_mod_is_called_in_messages_with_a_format_only_and_tokens_are_sampled_ahead(gpt_oss):
    thinks = named("<|channel|>analysis<|message|>")
    likes = dict.fromkeys(range(256, VOCAB), -100.0)
    free = SamplingParams(seed=1, logit_bias=likes)
    prompt, opened = [*PROMPT, *thinks], Place(kind="content", header=Header(channel="analysis"))
    asked = request(output=ANSWER, prompt=prompt, opened=opened, sampling=free, max_tokens=40)
    engine = make_engine(gpt_oss, traits=TRAITS)
    answers = submit(engine, asked)
    ahead = 0
    while engine.has_work:
        engine.step()
        ahead += any(row.speculation.is_pending for row in engine.rows)
    (usage,) = answers.end.mods
    assert (usage.mod, usage.calls) == ("response_format", 1)  # `Prefilled`
    assert len(answers.ids) == 40
    assert ahead == 40


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


def test_a_message_that_was_written_again_while_the_mod_slept_is_not_taken_for_the_one_before():
    header = named("<|channel|>commentary to=functions.look_up <|constrain|>json<|message|>")
    whole = named('{"word": "time", "many": 12}<|end|><|start|>assistant<|channel|>analysis')
    kept = '{"word": "time", "man'

    @mod(name="again", max_backtrack=None)
    class Again:
        def __init__(self):
            self.num_events = 0

        def forward_pass(self, event: ForwardPass, actions):
            return actions.force_tokens([*header, *named('{"wo')]) if event.step == 0 else None

        def added(self, event: Added, actions):
            self.num_events += 1
            length = event.step + len(event.added_tokens)
            if self.num_events == 2:
                return actions.backtrack(length, [*header, *whole, *named("<|message|>")])
            cut = length - len(header) - len(kept)
            return actions.backtrack(cut) if self.num_events == 3 else None

    answers = run(engine_of(), request(Again, sampling=sampling(1)))
    assert isinstance(answers.end, Completed), answers.end
    ((_, text, _),) = messages_of(answers.ids)
    assert text.startswith(kept + 'y": ')


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


CALLS = "<|channel|>commentary to=functions.look_up <|constrain|>json<|message|>"


def test_a_completion_with_a_call_resumed_after_any_token_is_the_uncut_one(gpt_oss):
    ended = EndedCompletions(300)
    engine = Engine(
        runner_of(gpt_oss), TRAITS, EngineConfig(), lambda one: ended.keep("gpt-oss", one)
    )
    conversation = Conversation(schemas=Schemas(tools=tuple(TOOLS)))
    headers = msgspec.structs.replace(legal_headers(offer_of()), channels=())
    rules = HeaderGuard(headers, TOKENS, TOKENIZER.encode, TOKENIZER.special_token_ids)
    whole = request(sampling=sampling(3), conversation=conversation, token_rules=rules)
    ids = run(engine, whole).ids
    assert ids[-1] == TOKENS.call
    for cut in range(1, len(ids), 9):
        first = msgspec.structs.replace(whole, request_id=f"cut{cut}", max_tokens=cut)
        begun = run(engine, first).ids
        rest = resumed_request(
            ended.find("gpt-oss", first.request_id),
            {"max_tokens": 200 - cut},
            new_decoder=TRAITS.new_decoder,
            context_length=4096,
        )
        assert begun + run(engine, rest).ids == ids, cut


@pytest.mark.parametrize("text", [CALLS, CALLS[:-11], CALLS + '{"word": "ti'])
@pytest.mark.parametrize("step", [0, 3])
def test_tokens_forced_by_hand_meet_the_format_of_their_message_as_those_of_a_mod(
    gpt_oss, text, step
):
    engine = make_engine(gpt_oss, traits=TRAITS)
    asked = request(sampling=sampling(3), max_tokens=60)
    answers = submit(engine, asked)
    engine.step()
    step_until(engine, asked, step)
    sent = send(engine, asked, Act(action=ForceTokens(named(text))))
    finish(engine)

    @mod(name="hand", on=[ForwardPass])
    def hand(event, actions):
        is_there = event.step == sent.outcome.step
        return actions.force_tokens(named(text)) if is_there else None

    assert answers.ids == run(engine, request(hand, sampling=sampling(3), max_tokens=60)).ids


def test_a_mod_that_is_attached_by_hand_acts_before_the_formats_of_messages(gpt_oss):
    engine, asked = make_engine(gpt_oss, traits=TRAITS), request(max_tokens=9)
    submit(engine, asked)
    engine.step()
    (row,) = engine.rows
    instance = instance_within(5, call(forcing(CALLS)), row.mods.context, TRAITS)
    send(engine, asked, AttachMod(instance=instance))
    engine.step()
    assert row.mods.names == ("forcing", "tools")
    assert row.dispatch.listens_to_logits  # of the mod that was attached
    finish(engine)


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

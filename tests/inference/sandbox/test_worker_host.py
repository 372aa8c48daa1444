"""A mod in a worker reads and answers as one in process does."""

import math
import struct

import msgspec
import pytest
from concordance_inference.harmony.channels import HarmonyChannels
from concordance_inference.harmony.place import Place
from concordance_inference.harmony.vocabulary import HarmonyTokens
from concordance_inference.models.embedded_folder import embedded_folder
from concordance_inference.models.tokenizer import ModelTokenizer
from concordance_inference.sandbox.channel_specs import channels_spec, format_of
from concordance_inference.sandbox.models import sandbox_model
from concordance_inference.sandbox.outcomes import (
    Answered,
    LeaseFailed,
    ReadRequested,
    SentLogits,
)
from concordance_inference.sandbox.protocol.events import ChannelsSpec, TagsSpec
from concordance_inference.sandbox.requests import LeaseRequest
from concordance_inference.sandbox.waiting import wait_for
from concordance_inference.sandbox.worker.models import _Backend
from concordance_sdk.request_context import RequestContext
from concordance_sdk.testing import ByteTokenizer, ScriptedLogits
from concordance_shared import (
    AdjustedLogits,
    AdjustedPrefill,
    Backtrack,
    ChannelPlace,
    Conversation,
    EmitError,
    ForceOutput,
    ForceTokens,
    ForwardPass,
    FunctionCall,
    Message,
    Noop,
    Sampled,
    ToolCall,
    ToolCalls,
    check_action,
)
from msgspec.structs import replace
from sandboxes import (
    PATIENT,
    added,
    finished,
    forward_pass,
    handler,
    leased,
    outcome_of,
    prefilled,
    sampled,
    source_of,
    started,
)

WIDTH = 257
LOGITS = ScriptedLogits([i / 10 for i in range(WIDTH)])


def action_of(sandbox, source, ask, **request):
    outcome = outcome_of(sandbox, source, ask, **request)
    assert isinstance(outcome, Answered), outcome
    action = outcome.results[-1].action
    return check_action(ask.event, action, mod="tested", vocab_size=WIDTH)


ACTIONS = {
    "noop()": ("Added", added(0, b"a"), Noop()),
    "force_tokens([1, 2])": ("Added", added(0, b"a"), ForceTokens((1, 2))),
    "force_tokens([])": ("Added", added(0, b"a"), Noop()),
    "backtrack(1)": ("Added", added(0, b"a"), Backtrack(1)),
    "backtrack(1, [7])": ("Sampled", sampled(0, 65), Backtrack(1, (7,))),
    "force_output(b'ab')": ("Prefilled", prefilled(), ForceOutput((97, 98))),
    "adjust_prefill([1], max_steps=2)": ("Prefilled", prefilled(), AdjustedPrefill((1,), 2)),
    "emit_error('no')": ("Added", added(0, b"a"), EmitError("no")),
    "tool_calls({'id': '1', 'name': 'f', 'arguments': {}})": (
        "Added",
        added(0, b"a"),
        ToolCalls((ToolCall(id="1", function=FunctionCall("f", "{}")),)),
    ),
}


@pytest.mark.parametrize("call", ACTIONS)
def test_action_is_the_same_as_in_process(sandbox, call):
    event, ask, action = ACTIONS[call]
    assert action_of(sandbox, handler(f"return actions.{call}", event=event), ask) == action


def test_adjusted_logits_are_the_same_as_in_process(sandbox):
    call = "bias={1: 0.5}, allow=[1, 2], ban=[2], mask=bytes([255] * 33), token_temp=0.5"
    source = handler(f"return actions.adjust_logits({call})", event="ForwardPass")
    action = action_of(sandbox, source, forward_pass(0, LOGITS))
    assert action.bias == {1: 0.5}
    assert (action.allow, action.ban, action.token_temp) == ((1, 2), (2,), 0.5)
    assert action.mask == bytes([255] * 32) + b"\1"


@pytest.mark.parametrize("row", ["[1.0] * 257", "numpy.ones(257)", "array.array('f', [1.0]*257)"])
def test_whole_rows_return_by_shared_memory(sandbox, row):
    source = handler(
        f"import numpy, array\nreturn actions.adjust_logits({row}, bias={row})",
        event="ForwardPass",
    )
    action = action_of(sandbox, source, forward_pass(0, LOGITS))
    assert isinstance(action, AdjustedLogits)
    assert action.logits == action.bias == struct.pack("<257f", *[1.0] * 257)


def test_rows_are_of_the_models_width_beside_a_model_with_more_tokens():
    sandbox = started(replace(PATIENT, num_warm=0))
    try:
        sandbox.models.add(sandbox_model("wide", ByteTokenizer(), width=1000))
        source = source_of(
            "from concordance_sdk import *\n@mod(on=[ForwardPass], logits='full')\n"
            "def tested(event, actions):\n"
            "    return actions.adjust_logits(event.logits.to_numpy() + 1)\n"
        )
        row = struct.pack("<257f", *[1.0] * WIDTH)
        ask = forward_pass(0, LOGITS, SentLogits(WIDTH, row=row))
        assert action_of(sandbox, source, ask).logits == struct.pack("<257f", *[2.0] * WIDTH)
    finally:
        sandbox.stop()


def test_many_biases_return_as_a_row(sandbox, monkeypatch):
    source = handler(
        "import concordance_inference.sandbox.protocol.actions as a\na.MAX_BIASES = 2\n"
        "return actions.adjust_logits(bias={1: 1.0, 2: 2.0, 256: 3.0})",
        event="ForwardPass",
    )
    bias = action_of(sandbox, source, forward_pass(0, LOGITS)).bias
    assert struct.unpack("<257f", bias)[:3] == (0, 1, 2)


def test_invalid_action_has_the_message_of_a_mod_in_process(sandbox):
    outcome = outcome_of(sandbox, handler("return 'text'"), added(3, b"a"))
    assert (outcome.error.code, outcome.error.step) == ("mod_invalid_action", 3)
    assert "returned 'text', which is not an action" in outcome.error.message
    outcome = outcome_of(sandbox, handler("return actions.force_tokens([257])"))
    assert "token id 257" in outcome.error.message


WRONG = [
    "True",
    "{}",
    "Added",
    "actions.force_tokens",
    "actions.force_tokens([-1])",
    "actions.force_tokens([2 ** 63])",
    "actions.force_tokens([1.0])",
    "actions.force_tokens([True])",
    "actions.force_tokens(['5'])",
    "actions.backtrack(-1)",
    "actions.adjust_logits(token_temp=1)",
    "[actions.stop(), actions.noop(), actions.stop()]",
    "AdjustedPrefill([], 0)",
    "type('E', (EmitError,), {'err_str': property(lambda self: 1 / 0)})('x')",
]


@pytest.mark.parametrize("action", WRONG)
def test_wrong_action_is_refused_in_the_worker(sandbox, action):
    outcome = outcome_of(sandbox, handler(f"return {action}"))
    assert isinstance(outcome, LeaseFailed), outcome
    assert outcome.error.code == "mod_invalid_action"


@pytest.mark.parametrize("temperature", ["float('nan')", "-1", "1e9"])
def test_wrong_temperature_is_refused_in_the_worker(sandbox, temperature):
    source = handler(f"return actions.adjust_logits(token_temp={temperature})", event="ForwardPass")
    outcome = outcome_of(sandbox, source, forward_pass(0, LOGITS))
    assert outcome.error.code == "mod_invalid_action"


def test_action_that_is_too_long_is_refused_in_the_worker(sandbox):
    outcome = outcome_of(sandbox, handler("return actions.force_tokens([1] * 300_000)"))
    assert outcome.error.code in ("mod_invalid_action", "mod_raised")
    assert "the limit is" in outcome.error.message


def test_long_prompt_travels_by_shared_memory(sandbox):
    source = handler(
        "return actions.adjust_prefill(event.context_info.tokens[1:])", event="Prefilled"
    )
    tokens = [i % 256 for i in range(100_000)]
    action = action_of(sandbox, source, prefilled(tokens))
    assert action.tokens == tuple(tokens[1:])


READS = {
    "top_k": ("event.logits.top_k(2)", [(256, 25.6), (255, 25.5)], [[256, 25.6], [255, 25.5]]),
    "logprobs": ("event.logits.logprobs([1, 2])", [-1.0, -2.0], [-1.0, -2.0]),
    "entropy": ("event.logits.entropy()", 1.5, 1.5),
    "margin": ("event.logits.margin(3)", 0.25, 0.25),
    "row": ("event.logits[-1]", struct.pack("<257f", *range(257)), 256.0),
}


@pytest.mark.parametrize("kind", READS)
def test_logits_that_were_not_sent_are_asked_for(sandbox, kind):
    code, value, seen = READS[kind]
    lease, _ = leased(sandbox, handler(f"return actions.report(seen={code})", event="ForwardPass"))
    lease.send([forward_pass(0, LOGITS)])
    read = wait_for(lease)
    assert isinstance(read, ReadRequested)
    assert read.kind == kind
    lease.answer(value)
    outcome = wait_for(lease)
    lease.kill()
    assert outcome.results[0].reports[0].data == {"seen": seen}


def test_value_that_cannot_be_read_is_an_error_in_the_mod(sandbox):
    source = handler("return actions.report(p=event.logprob)", event="Sampled")
    lease, _ = leased(sandbox, source)
    lease.send([sampled(0, 65)])
    assert wait_for(lease).kind == "logprob"
    lease.answer(error="there are no logits")
    outcome = wait_for(lease)
    lease.kill()
    assert "ValueError" in outcome.error.message
    assert "there are no logits" in outcome.error.message


def test_declared_logits_are_sent_along(sandbox):
    source = source_of(
        """
        from concordance_sdk import *
        @mod(logits=2)
        class tested:
            def forward_pass(self, event, actions):
                logits = event.logits
                return actions.report(top=logits.top_k(2), margin=logits.margin(), n=len(logits))
        """
    )
    lease, ready = leased(sandbox, source)
    assert ready.info.instances[0].logits == 2
    lease.send([forward_pass(0, LOGITS, SentLogits(WIDTH, top=[(7, 2.0), (8, 1.5)]))])
    outcome = wait_for(lease)
    lease.kill()
    assert outcome.results[0].reports[0].data == {
        "top": [[7, 2.0], [8, 1.5]],
        "margin": 0.5,
        "n": WIDTH,
    }


def test_reading_more_logits_than_declared_fails(sandbox):
    source = source_of(
        "from concordance_sdk import *\n@mod(logits=2, on=[ForwardPass])\n"
        "def tested(event, actions): event.logits.entropy()\n"
    )
    sent = SentLogits(WIDTH, top=[(7, 2.0), (8, 1.5)])
    outcome = outcome_of(sandbox, source, forward_pass(0, LOGITS, sent))
    assert outcome.error.code in ("mod_logits_undeclared", "mod_raised")
    assert "declares logits=2" in outcome.error.message


def test_row_that_a_mod_keeps_stays_as_it_was(sandbox):
    source = source_of(
        """
        from concordance_sdk import *
        @mod(logits="full")
        class tested:
            kept = None
            def forward_pass(self, event, actions):
                first, self.kept = self.kept, self.kept or event.logits
                if first is not None:
                    return actions.report(first=first[0], now=event.logits[0])
        """.replace("kept = None", "def __init__(self): self.kept = None")
    )
    lease, _ = leased(sandbox, source)
    for number in (1.0, 2.0):
        row = struct.pack("<257f", *[number] * WIDTH)
        lease.send([forward_pass(0, LOGITS, SentLogits(WIDTH, row=row))])
        outcome = wait_for(lease)
    lease.kill()
    assert outcome.results[0].reports[0].data == {"first": 1.0, "now": 2.0}


def test_events_carry_the_channel(sandbox):
    source = handler("return actions.report(c=event.channel)", event="Added, Sampled")
    lease, _ = leased(sandbox, source)
    place = ChannelPlace(channel="analysis")
    event = Sampled(request_id="r", step=0, sampled_token=1, known_place=place)
    lease.send([sampled(0, 1), added(0, b"a")])
    assert wait_for(lease).results[0].reports[0].data == {"c": None}
    ask = sampled(0, 1)
    lease.send([type(ask)(0, event)])
    assert wait_for(lease).results[0].reports[0].data == {"c": "analysis"}
    lease.kill()


def test_conversation_of_the_request_is_there(sandbox):
    conversation = Conversation(messages=(Message(role="user", content="né" * 100_000),))
    source = handler("return actions.report(n=len(get_conversation()[0].text))")
    outcome = outcome_of(sandbox, source, added(0, b"a"), conversation=conversation)
    assert outcome.results[0].reports[0].data == {"n": 200_000}


def test_mod_that_raises_can_still_handle_the_end(sandbox):
    source = source_of(
        """
        from concordance_sdk import *
        @mod
        class tested:
            def added(self, event, actions): 1 / 0
            def finished(self, event, actions): return actions.report(reason=event.finish_reason)
        """
    )
    lease, _ = leased(sandbox, source)
    lease.send([added(0, b"a")])
    failed = wait_for(lease)
    assert failed.can_finish
    lease.send([finished(1)])
    outcome = wait_for(lease)
    lease.kill()
    assert outcome.results[0].reports[0].data == {"reason": "stop"}


def test_request_that_a_mod_rejects_is_the_clients_error(sandbox):
    source = source_of(
        "from concordance_sdk import *\nfrom concordance_shared import InvalidRequestError\n@mod\n"
        "class tested:\n    def __init__(self): raise InvalidRequestError('no', param='tools')\n"
        "    def added(self, event, actions): pass\n"
    )
    outcome = outcome_of(sandbox, source)
    assert (outcome.error.status_code, outcome.error.param) == (400, "tools")


def test_parts_and_contained_mods_are_instances_in_order(sandbox):
    source = source_of(
        """
        from concordance_sdk import *
        from concordance_sdk.text import PhraseBan

        @mod
        def inner(event, actions): pass

        @mod
        class tested:
            def parts(self): return [PhraseBan(["x"])]
            def mods(self): return [inner]
            def sampled(self, event, actions): return actions.report(by="outer")
        """
    )
    lease, ready = leased(sandbox, source)
    lease.kill()
    assert [each.name for each in ready.info.instances] == ["tested", "tested", "tested/inner"]


def test_older_mods_run_in_a_worker(sandbox):
    source = source_of(
        """
        from quote_mod_sdk import Added, ForceTokens, mod

        @mod
        def tested(event, actions, tokenizer):
            if isinstance(event, Added):
                return actions.force_tokens([1])
        """
    )
    assert action_of(sandbox, source, added(0, b"a")) == ForceTokens((1,))


# What mods of a request share


def test_self_prompt_in_a_worker_holds_its_question_back(sandbox):
    source = source_of(
        """
        from concordance_sdk import mod
        from concordance_sdk.self_prompt import SelfPrompt
        from concordance_sdk.constraints import ChoicesStrat

        @mod
        class tested:
            def __init__(self):
                self.ask = SelfPrompt(
                    prompt=" Sure?", constraint=ChoicesStrat(["yes", "no"]), erase="all"
                )
            def parts(self): return [self.ask]
        """
    )
    context = RequestContext(request_id="r")
    lease = sandbox.lease(LeaseRequest(source=source, request_id="r"))
    lease.mirror(context)
    ready = wait_for(lease)
    assert not isinstance(ready, LeaseFailed), ready
    events = ready.info.instances[0].events
    assert ForwardPass in events
    lease.send([prefilled()] if type(prefilled().event) in events else [forward_pass(0, LOGITS)])
    wait_for(lease)
    lease.send([forward_pass(0, LOGITS)])
    outcome = wait_for(lease)
    assert isinstance(outcome, Answered), outcome
    assert outcome.results[0].action.tokens == tuple(b" Sure?")
    assert context.holds.first_hidden() == 0
    assert any(writer.is_writing(3) for writer in context.writers)
    lease.kill()


def test_worker_knows_what_other_mods_write_and_hold(sandbox):
    class Writer:
        def is_writing(self, step):
            return 2 <= step < 5

    source = handler(
        "from concordance_sdk.request_context import ends_hidden, may_write\n"
        "return actions.report(may=[may_write(i) for i in (1, 2, 4, 5)], "
        "hidden=ends_hidden(9))"
    )
    context, writer = RequestContext(), Writer()
    context.may_write(0, by=writer)
    context.holds.add(3, hides=True)
    lease = sandbox.lease(LeaseRequest(source=source))
    lease.mirror(context)
    wait_for(lease)
    lease.send([added(3, b"a")])
    outcome = wait_for(lease)
    lease.kill()
    assert outcome.results[0].reports[0].data == {
        "may": [True, False, False, True],
        "hidden": True,
    }


# Tokenizers


@pytest.fixture(scope="module")
def tokenizer():
    state = (embedded_folder() / "tokenizer.json").read_bytes()
    return ModelTokenizer(_Backend(state), eos_token_ids=(2,), vocab_size=49152)


def test_tokenizer_of_a_model_is_the_same_in_a_worker(sandbox, tokenizer):
    sandbox.models.add(sandbox_model("smol", tokenizer, width=49152))
    text = " Hello <|im_end|> naïve 🎈\n" * 200  # long texts take another path
    source = handler(
        "ids = tokenizer.encode(TEXT)\n"
        "return [actions.report(text=tokenizer.decode(ids), eos=sorted(tokenizer.eos_token_ids),"
        " n=tokenizer.vocab_size, raw=tokenizer.token_bytes(500).hex()),"
        " actions.force_tokens(ids)]".replace("TEXT", repr(text))
    )
    text_source = source_of(source.files["m.py"].replace("TEXT", repr(text)))
    outcome = outcome_of(sandbox, text_source, added(0, [5]), model="smol")
    assert isinstance(outcome, Answered), outcome
    (result,) = outcome.results
    assert result.action == ForceTokens(tuple(tokenizer.encode(text)))
    assert result.reports[0].data == {
        "text": tokenizer.decode(tokenizer.encode(text)),
        "eos": [2],
        "n": tokenizer.vocab_size,
        "raw": tokenizer.token_bytes(500).hex(),
    }


def test_channels_between_tags_are_followed_in_a_worker(sandbox):
    source = handler(
        "from concordance_sdk.channels import get_channels\n"
        "return actions.report(n=get_channels().num_reasoning)"
    )
    spec = TagsSpec((("<think>", "</think>"),))
    lease, _ = leased(sandbox, source, channels=spec)
    lease.edits.extend(tuple(b"<think>ab"))
    lease.send([added(0, b"<think>ab")])
    assert wait_for(lease).results[0].reports[0].data == {"n": 2}
    lease.edits.cut(8)
    lease.edits.extend(tuple(b"c"))
    lease.send([added(8, b"c")])
    assert wait_for(lease).results[0].reports[0].data == {"n": 2}
    lease.kill()


def test_channels_of_harmony_are_the_same_in_a_worker():
    tokens = HarmonyTokens(
        start=1, channel=2, constrain=3, message=4, end=5, return_=6, call=7, end_of_text=8
    )
    opened = Place(kind="header", written=(b"a", 2), num_messages=3)
    tokenizer = ByteTokenizer()
    functions = {"token_bytes": tokenizer.token_bytes, "encode": tokenizer.encode}
    spec = channels_spec(HarmonyChannels(tokens, opened=opened, may_answer=False, **functions))
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(spec), type=ChannelsSpec)
    copy = format_of(sent, tokenizer)
    assert (copy.tokens, copy.opened, copy.may_answer) == (tokens, opened, False)


def test_format_of_an_unknown_kind_cannot_be_sent():
    assert channels_spec(None) is None
    with pytest.raises(TypeError, match="channels of object"):
        channels_spec(object())


def test_tokenizer_that_cannot_be_sent_is_named():
    class Slow:
        eos_token_ids = frozenset({1})

    with pytest.raises(ValueError, match="tokenizer of model 'x'"):
        sandbox_model("x", Slow(), width=3)


def test_infinite_margin_is_read_from_sent_logits(sandbox):
    source = source_of(
        "from concordance_sdk import *\n@mod(logits=2, on=[ForwardPass])\n"
        "def tested(event, actions):\n"
        "    return actions.report(inf=event.logits.margin() == float('inf'))\n"
    )
    sent = SentLogits(WIDTH, top=[(7, 2.0), (8, -math.inf)])
    outcome = outcome_of(sandbox, source, forward_pass(0, LOGITS, sent))
    assert outcome.results[0].reports[0].data == {"inf": True}

"""Mods of `quote_mod_sdk`, with and without the decorator, run unchanged."""

import pytest
from concordance_inference.mods.loading import load_payload
from concordance_sdk import ModPayload
from concordance_sdk.testing import play
from concordance_shared import ModRaisedError

# What is marked


def test_a_handler_takes_event_actions_and_tokenizer(load):
    definition = load(
        """
from dataclasses import dataclass
from typing import Any
from quote_mod_sdk import ActionBuilder, Added, ForwardPass, ModEvent, Prefilled, Sampled, mod

@dataclass
class State:
    has_greeted: bool = False

states: dict[str, State] = {}

@mod
def greeter(event: ModEvent, actions: ActionBuilder, tokenizer: Any):
    '''Greets once.'''
    state = states.setdefault(event.request_id, State())
    if isinstance(event, ForwardPass) and not state.has_greeted:
        state.has_greeted = True
        return actions.force_tokens(tokenizer.encode("Hello, ", add_special_tokens=False))
    return actions.noop()
"""
    )

    assert (definition.name, definition.doc) == ("greeter", "Greets once.")
    assert definition.where.endswith("older.py:12")
    assert play(definition, says="you").text == "Hello, you"
    assert play(definition, says="me").text == "Hello, me"


def test_a_handler_without_the_tokenizer_is_accepted(load):
    definition = load(
        """
from quote_mod_sdk.mod import mod
from quote_mod_sdk import Sampled

@mod
def no_b(event, action):
    if isinstance(event, Sampled) and event.sampled_token == ord("b"):
        return action.force_tokens([ord("B")])
"""
    )

    assert play(definition, script="abc").text == "aBc"


def test_an_error_in_a_mod_has_its_name_and_line(load):
    definition = load(
        "from quote_mod_sdk import mod\n@mod\ndef broken(event, actions):\n    return 1 / 0\n"
    )

    with pytest.raises(ModRaisedError, match=r"'broken' raised ZeroDivisionError .*older\.py:4"):
        play(definition, says="a")


# Raw callables


def upload(source, entrypoint="raw", **fields):
    payload = ModPayload(name="uploaded", entrypoint=entrypoint, source=source, **fields)
    return load_payload(payload)[0]


@pytest.mark.parametrize(
    "raw",
    [
        "def raw(event, tokenizer): return act(event, tokenizer)",
        "def raw(event, tokenizer=None): return act(event, tokenizer)",
        "class Raw:\n    def __call__(self, event, tokenizer): return act(event, tokenizer)\n"
        "raw = Raw()",
        "@create_mod\ndef raw(event, actions, tokenizer): return act(event, tokenizer)",
        "def raw(event, actions, tokenizer): return act(event, tokenizer)",
        "@mod\ndef inner(event, actions, tokenizer): return act(event, tokenizer)\n"
        "def raw(event, tokenizer): return inner(event, tokenizer)",
    ],
)
def test_callables_without_the_decorator_are_mods(raw):
    definition = upload(
        f"""
from quote_mod_sdk import create_mod, mod
from shared.types import Backtrack, ForceTokens, ForwardPass, Noop

def act(event, tokenizer):
    if isinstance(event, ForwardPass) and event.step == 0:
        return ForceTokens(tokenizer.encode("raw "))
    return Noop()

{raw}
"""
    )

    assert definition.name == "uploaded"
    assert play(definition, says="meat").text == "raw meat"


@pytest.mark.parametrize(
    ("arguments", "mine"),
    [
        ("event, *, tokenizer", "tokenizer"),
        ("event, tokenizer, actions", "tokenizer"),
        ("event, tok", "tok"),
        ("event, *rest", "rest[0]"),
    ],
)
def test_arguments_of_a_callable_are_bound_by_name(arguments, mine):
    definition = upload(
        f"""
from shared.types import ForceOutput, Prefilled
def raw({arguments}):
    if isinstance(event, Prefilled):
        return ForceOutput({mine}.encode("hey"))
"""
    )

    assert play(definition, says="").text == "hey"


def test_a_callable_of_the_event_only_is_a_mod():
    definition = upload(
        """
from shared.types import AdjustedLogits, ForwardPass
def raw(event):
    if isinstance(event, ForwardPass):
        row = event.logits.to_numpy()
        row[0, 97] = -1e9
        return AdjustedLogits(row, 0.0)
"""
    )

    assert play(definition, script="ab").text == "\0b"


DECORATED = """
import functools
from quote_mod_sdk import Prefilled, mod
seen = []

def counted(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        seen.append(type(args[0]).__name__)
        answer = f(*args, **kwargs)
        if isinstance(args[0], Prefilled):
            answer.tokens = [*answer.tokens, ord("!")]
        return answer
    return wrapper

{0}
def said(event, actions, tokenizer):
    if isinstance(event, Prefilled):
        return actions.force_output(tokenizer.encode("ok"))
    return actions.noop()
"""


@pytest.mark.parametrize("order", ["@counted\n@mod", "@mod\n@counted", "@counted\n@counted\n@mod"])
def test_decorators_above_and_below_mod_are_applied(load, order):
    source = DECORATED.format(order)
    payload = ModPayload(name="m", entrypoint="said", source=source)

    for definition in (load(source), load_payload(payload)[0]):
        assert play(definition, script="no").text == "ok" + "!" * order.count("@counted")

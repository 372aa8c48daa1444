"""Strategies: the classes of `quote_mod_sdk`, and custom ones of authors."""

import numpy as np
import pytest
from concordance_inference.mods.compat.quote_mod_sdk.strategies.base import require_token_ids
from concordance_inference.mods.compat.quote_mod_sdk.strategies.compile import compile_strategy
from concordance_inference.mods.compat.quote_mod_sdk.strategies.list_strategy import ListStrategy
from concordance_inference.mods.compat.quote_mod_sdk.strategies.primitives import (
    CharsMode,
    CharsStrategy,
    TokensStrategy,
    UntilEndType,
)
from concordance_inference.mods.compat.quote_mod_sdk.strategies.strategy_constructor import (
    CharsStrat,
    ChoicesStrat,
    ListStrat,
    StrategyConstructor,
    UntilStrat,
)
from concordance_sdk.testing import play
from letters import Letters
from tiny import ask, call, make_engine, run

LETTERS = Letters()


def walk(strategy, text, tokenizer=LETTERS):
    """Follow a text letter by letter; return the allowed letters, and True if it is complete."""
    state = strategy.start(tokenizer)
    choices = []
    for letter in text:
        assert not strategy.is_complete(state), f"ended before {letter!r} of {text!r}"
        allowed = strategy.allowed_tokens(state, tokenizer)
        assert ord(letter) in allowed, f"{letter!r} of {text!r} is not allowed"
        choices.append("".join(sorted(map(chr, allowed))) if len(allowed) < 9 else "*")
        strategy.step(state, ord(letter), tokenizer)
    return choices, strategy.is_complete(state)


@pytest.mark.parametrize(
    ("constructor", "text", "choices"),
    [
        (ChoicesStrat(["yes", "no"]), "no", ["ny", "o"]),
        (ChoicesStrat(["hi", "hit"]), "hi", ["h", "i"]),  # the first that is whole
        (UntilStrat("<a>", UntilEndType.TAG, "</a>"), "<a>x</a>", [*"<a>", *"*****"]),
        (UntilStrat("", UntilEndType.ANYCHAR, ".!"), "so!", ["*"] * 3),
        (UntilStrat(".", UntilEndType.ANYCHAR, ".!"), ".a.", [".", "*", "*"]),
        (UntilStrat("", UntilEndType.NEWLINE, "\n"), "a\n", ["*", "*"]),
        (CharsStrat(CharsMode.ALPHA, ".", min=1), "ab.", ["*"] * 3),
        (CharsStrat(CharsMode.NUMERIC, 3), "123", ["*"] * 3),
        (CharsStrat(CharsMode.JS_FLOAT, "\n", min=1), "-1.5e3\n", ["*"] * 7),
        (CharsStrat(CharsMode.STRING, "END", min=0), "a bEND", ["*"] * 6),
        (
            ListStrat(CharsStrat(CharsMode.ALPHANUMERIC, 1), "[", "]", '"', ", ", 1, 1, "."),
            '["a"].',
            [*'["*"].'],
        ),
        (
            ListStrat([ChoicesStrat(["ab"]), ChoicesStrat(["c", "d"])], "<<", ">", "''"),
            "<<''ab'', ''d''>",
            [*"<<''ab'', ''", "cd", *"''>"],
        ),
        (ListStrat(ChoicesStrat(["a"]), sep="-", max=2), "a-a", ["a", "-", "a"]),
        (ListStrat(ChoicesStrat(["a"]), "[", "]"), "[]", ["[", "]a"]),
        (
            ListStrat(CharsStrat(CharsMode.STRING, '"'), "[", "]", '"'),
            '["a"]',
            ["[", '"]', "*", "*", ",]"],
        ),
        (ListStrat(ListStrat(ChoicesStrat(["a"]), "(", ")"), "[", "]"), "[(a)]", None),
    ],
)
def test_allowed_tokens_of_each_strategy(constructor, text, choices):
    found, is_complete = walk(constructor.into_strategy(LETTERS), text)

    assert is_complete
    assert choices in (None, found)


@pytest.mark.parametrize(
    ("constructor", "text", "letter"),
    [
        (CharsStrat(CharsMode.ALPHA, ".", min=2), "a", "."),
        (CharsStrat(CharsMode.ALPHA, "."), "a", "1"),
        (CharsStrat(CharsMode.NUMERIC, 3), "", "a"),
        (CharsStrat(CharsMode.STRING, "\n"), "a", '"'),
        (CharsStrat(CharsMode.JS_FLOAT, "\n", min=1), "-", "\n"),
        (CharsStrat(CharsMode.JS_FLOAT, "\n"), "1.5", "."),
        (ListStrat([ChoicesStrat(["a"]), ChoicesStrat(["b"])], "[", "]"), "[a", "]"),
        (ListStrat(ChoicesStrat(["a"]), "[", "]", max=1), "[a", ","),
        (ListStrat(ChoicesStrat(["a"]), "[", "]", min=1), "[", "]"),
    ],
)
def test_disallowed_tokens_of_each_strategy(constructor, text, letter):
    strategy = constructor.into_strategy(LETTERS)
    state = strategy.start(LETTERS)
    for each in text:
        strategy.step(state, ord(each), LETTERS)

    assert ord(letter) not in strategy.allowed_tokens(state, LETTERS)


def test_trim_answer_removes_the_terminator():
    assert CharsStrategy(CharsMode.NUMERIC, "\n").trim_answer("12\n") == "12"
    assert CharsStrategy(CharsMode.STRING, '"', 0, True).trim_answer('a"') == 'a"'
    assert UntilStrat("<a>", UntilEndType.TAG, "</a>").into_strategy(LETTERS).trim_answer(
        "<a>x</a>"
    ) == "<a>x</a>"  # fmt: skip


def test_one_strategy_serves_several_answers():
    strategy = UntilStrat("", UntilEndType.ANYCHAR, ".").into_strategy(LETTERS)

    assert [walk(strategy, "ab.")[1], walk(strategy, "c.")[1]] == [True, True]


def test_compile_strategy_from_dictionaries():
    tokens = compile_strategy({"type": "tokens", "items": ["a", "b"]}, LETTERS)
    assert isinstance(tokens, TokensStrategy)
    assert walk(tokens, "b") == (["ab"], True)
    numbers = {"type": "chars", "kind": "numeric", "max": 1}
    listed = compile_strategy(
        {"type": "list", "open": "[", "close": "]", "element": numbers, "max": 2}, LETTERS
    )
    assert isinstance(listed, ListStrategy)
    assert walk(listed, "[1, 2]")[1]
    assert walk(compile_strategy({"type": "until", "char": "."}, LETTERS), "a.")[1]
    with pytest.raises(ValueError, match="exactly one token"):
        compile_strategy({"type": "tokens", "items": ["ab"]}, LETTERS)
    with pytest.raises(ValueError, match="must be choices"):
        compile_strategy({"type": "none"}, LETTERS)


def test_require_token_ids_uses_vocabulary_or_length():
    class Counted:
        def __len__(self):
            return 3

    assert require_token_ids(Counted()) == {0, 1, 2}
    with pytest.raises(RuntimeError, match="get_vocab"):
        require_token_ids(object())


def test_strategy_protocols_are_runtime_checkable():
    class Own:
        def into_strategy(self, tokenizer):
            raise NotImplementedError

    assert isinstance(Own(), StrategyConstructor)
    assert isinstance(ChoicesStrat(["a"]), StrategyConstructor)


# Strategies of authors, at work


OWN = """
from __future__ import annotations
from dataclasses import dataclass
from typing import Any, Optional, Set
from quote_mod_sdk import Added, ForwardPass, Prefilled, mod
from quote_mod_sdk.flow import FlowEngine, FlowQuestion, route_message, route_output
from quote_mod_sdk.self_prompt import EraseMode, SelfPrompt
from quote_mod_sdk.strategies.base import (
    RuntimeState, Strategy, decode_token, require_token_ids, tokenize_str,
)
from quote_mod_sdk.strategies.primitives import CharsMode, CharsStrategy
from quote_mod_sdk.strategies.strategy_constructor import (
    ChoicesStrat, ListStrat, StrategyConstructor,
)
from shared.types import Backtrack, ForceTokens


@dataclass
class Place(RuntimeState):
    at: int = 0
    done: bool = False


class Shaped(Strategy):
    '''Letters of given sets, in order.'''

    def __init__(self, places):
        self._places = places

    def start(self, tokenizer: Any) -> Place:
        return Place()

    def allowed_tokens(self, state: Place, tokenizer: Any) -> Set[int]:
        allowed = set()
        for token in require_token_ids(tokenizer):
            text = decode_token(tokenizer, token)
            room = self._places[state.at:state.at + len(text)]
            if text and len(room) == len(text) and all(c in r for c, r in zip(text, room)):
                allowed.add(token)
        return allowed

    def disallowed_tokens(self, state: Place, tokenizer: Any) -> Set[int]:
        return set()

    def step(self, state, token_id: int, tokenizer: Any) -> Optional[Backtrack | ForceTokens]:
        state.at += len(decode_token(tokenizer, token_id))
        return None

    def is_complete(self, state: Place) -> bool:
        return state.at >= len(self._places)

    def trim_answer(self, answer: str) -> str:
        return answer.upper()


class Plate(StrategyConstructor):
    def __init__(self, shape: str):
        self.shape = shape

    def into_strategy(self, tokenizer: Any) -> Strategy:
        kinds = {"9": "0123456789", "a": "abc"}
        return Shaped([kinds.get(c, c) for c in self.shape])


@dataclass
class Inner(RuntimeState):
    inner: Any
    text: str = ""


class Watched(Strategy):
    '''One of the SDK's own, looked at.'''

    def __init__(self):
        self._inner = CharsStrategy(CharsMode.STRING, stop="\\n", min_chars=1)

    def start(self, tokenizer):
        return Inner(self._inner.start(tokenizer))

    def allowed_tokens(self, state, tokenizer):
        return self._inner.allowed_tokens(state.inner, tokenizer)

    def disallowed_tokens(self, state, tokenizer):
        return self._inner.disallowed_tokens(state.inner, tokenizer)

    def step(self, state, token_id, tokenizer):
        self._inner.step(state.inner, token_id, tokenizer)
        state.text += decode_token(tokenizer, token_id)

    def is_complete(self, state):
        return self._inner.is_complete(state.inner)

    def trim_answer(self, answer):
        return self._inner.trim_answer(answer)


class WatchedStrat(StrategyConstructor):
    def into_strategy(self, tokenizer):
        return Watched()
"""

ASKED = """
ASKED = SelfPrompt(prompt={{"text": "? "}}, strategy={strategy}, completion={completion},
                   erase={erase})

@mod
def asks(event, actions, tokenizer):
    if isinstance(event, Prefilled):
        ASKED.handle_prefilled(event, tokenizer)
    if isinstance(event, ForwardPass):
        if ASKED.is_complete(event.request_id):
            answer = tokenizer.decode(ASKED.answer_tokens(event.request_id))
            return actions.force_tokens(tokenizer.encode("=" + answer) + [tokenizer.eos_token_id])
        return ASKED.handle_forward_pass(event, actions, tokenizer)
    if isinstance(event, Added):
        {added}
    return actions.noop()
"""
DROPPED = "ASKED.handle_added(event, actions, tokenizer)"


@pytest.mark.parametrize(
    "added", [DROPPED, f"return {DROPPED}", f"return {DROPPED} or actions.noop()"]
)
@pytest.mark.parametrize(
    "asked",
    [
        ("Plate('99-aa')", "x4yz2-bc", None, None),
        ("Plate('99-aa')", "42-bc", "42-bc", "42-BC"),
        ("WatchedStrat()", "it is\n", "it is\n", "it is"),
        ("ListStrat([Plate('9'), Plate('a')], open='[', close=']')", "[1, b]", "[1, b]", "[1, b]"),
        ("ListStrat(Plate('9'), open='[', close=']', min=2, max=2)", "[1, 2]", "[1, 2]", "[1, 2]"),
        ("Shaped(['ab', 'cd'])", "ad", "ad", "AD"),
    ],
)
@pytest.mark.parametrize(
    "kept",
    [
        ("None", "EraseMode.NONE", "? {}"),
        ("'!'", "EraseMode.NONE", "? {}!"),
        ("'!'", "EraseMode.PROMPT", "{}"),
        ("'!'", "EraseMode.ALL", ""),
        ("None", "EraseMode.PROMPT", "{}"),
    ],
)
def test_custom_strategies_in_self_prompts(load, added, asked, kept):
    (strategy, says, answer, trimmed), (completion, erase, left) = asked, kept
    fields = {"strategy": strategy, "completion": completion, "erase": erase, "added": added}
    definition = load(OWN + ASKED.format(**fields))
    text = play(definition, says=says).text

    if answer is None:  # the model is kept to the shape, whatever it wants
        assert "=" in text
    else:
        assert text == f"{left.format(answer)}={trimmed}"


def test_custom_strategies_in_flow_questions(load):
    definition = load(
        OWN
        + """
first = FlowQuestion("plate", " Plate? ", Plate("99-aa"), erase_mode=EraseMode.ALL)
second = FlowQuestion("why", " Why? ", WatchedStrat(), "", EraseMode.ALL)
first.then(second)
second.then(lambda state: route_output(state.answers["plate"] + " " + state.answers["why"]))
ENGINE = FlowEngine(entry_question=first)

@mod
def flow(event, actions, tokenizer):
    return ENGINE.handle_event(event, actions, tokenizer)
"""
    )

    assert play(definition, says="42-bcso\n").text == "42-BC so"


def test_a_strategy_can_force_tokens_and_backtrack(load):
    definition = load(
        OWN
        + """
class Insists(Shaped):
    def step(self, state, token_id, tokenizer):
        super().step(state, token_id, tokenizer)
        if state.at == 2 and not state.done:
            state.done = True
            return ForceTokens(tokenize_str("-x", tokenizer))
        return None

ASKED = SelfPrompt(prompt={"text": "? "}, strategy=Insists(["ab", "cd", "-", "x", "z"]))

@mod
def asks(event, actions, tokenizer):
    if isinstance(event, ForwardPass):
        return ASKED.handle_forward_pass(event, actions, tokenizer)
    if isinstance(event, Added):
        return ASKED.handle_added(event, actions, tokenizer) or actions.noop()
    return actions.noop()
"""
    )
    played = play(definition, says="adz")

    assert played.text == "? ad-xz"
    assert played.num_forced == 4


def test_custom_strategies_in_the_engine(load):
    definition = load(OWN + ASKED.format(strategy="Plate('99-aa')", completion="None",
                                         erase="EraseMode.PROMPT", added=DROPPED))  # fmt: skip
    requests = [ask(prompt, call(definition), max_tokens=24) for prompt in ("Hello", "Bye")]
    for answer in run(make_engine(), *requests):
        plate, _, trimmed = bytes(i for i in answer.ids if i < 256).decode().partition("=")
        assert trimmed == plate.upper()
        assert len(plate) == 5


def test_masked_logits_are_readable(load):
    definition = load(
        OWN
        + """
import numpy as np
from shared.types import AdjustedLogits
ASKED = SelfPrompt(prompt={"text": "? "}, strategy=ChoicesStrat(["ab", "cd"]))
seen = []

@mod
def asks(event, actions, tokenizer):
    if isinstance(event, ForwardPass):
        action = ASKED.handle_forward_pass(event, actions, tokenizer)
        if isinstance(action, AdjustedLogits):
            logprobs, ids = action.top_k_logprob(2)
            row = action.logits.to_numpy()
            seen.append((sorted(ids[0].tolist()), row.shape, int((row > -1e8).sum())))
        return action
    if isinstance(event, Added):
        ASKED.handle_added(event, actions, tokenizer)
"""
    )
    assert play(definition, says="c").text == "? cd"
    seen = definition.target.__wrapped__.__globals__["seen"]
    assert seen[0] == ([ord("a"), ord("c")], (1, 257), 2)
    assert np.isfinite(seen[0][2])

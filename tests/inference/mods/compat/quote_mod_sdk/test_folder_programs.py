"""A package of modules with its own strategies, questions and prompts."""

import pytest
from concordance_inference.mods.loading import load_path, load_payload
from concordance_sdk import ModPayload
from concordance_sdk.testing import play
from concordance_shared import ModRaisedError
from tiny import ask, call, make_engine, run

FILES = {
    "forms/__init__.py": "",
    "forms/strategies/__init__.py": "from .fields import NumberStrat\n",
    "forms/strategies/fields.py": """
from __future__ import annotations
from dataclasses import dataclass, field
from typing import Any, Literal, Optional, Set
from @SDK.strategies.base import (
    RuntimeState, Strategy, TrieNode, decode_token, require_token_ids, tokenize_str,
)
from @SDK.strategies.strategy_constructor import StrategyConstructor


@dataclass
class FieldState(RuntimeState):
    node: Optional[TrieNode] = None
    digits: int = 0
    done: bool = False
    seen: list[int] = field(default_factory=list)


class NumberStrategy(Strategy):
    '''Digits, then one of the ends, which are given as texts.'''

    def __init__(self, ends: list[str], most: int) -> None:
        self._ends, self._most = ends, most

    def start(self, tokenizer: Any) -> FieldState:
        trie = TrieNode()
        for end in self._ends:
            trie.insert(tokenize_str(end, tokenizer))
        self._trie = trie
        self._digits = {
            t for t in require_token_ids(tokenizer)
            if decode_token(tokenizer, t).isascii() and decode_token(tokenizer, t).isdigit()
        }
        return FieldState()

    def allowed_tokens(self, state: FieldState, tokenizer: Any) -> Set[int]:
        if state.node is not None:
            return set(state.node.children)
        allowed = set(self._digits) if state.digits < self._most else set()
        return allowed | set(self._trie.children) if state.digits else allowed

    def step(self, state: FieldState, token_id: int, tokenizer: Any) -> None:
        if state.node is None and token_id in self._digits:
            state.digits += len(decode_token(tokenizer, token_id))
        else:
            state.node = (state.node or self._trie).children[token_id]
            state.seen.append(token_id)
            state.done = state.node.terminal

    def is_complete(self, state: FieldState) -> bool:
        return state.done

    def trim_answer(self, answer: str) -> str:
        return next((answer[:-len(e)] for e in self._ends if answer.endswith(e)), answer)


@dataclass(frozen=True)
class NumberStrat(StrategyConstructor):
    ends: tuple[str, ...] = (",",)
    most: int = 4
    kind: Literal["integer"] = "integer"

    def into_strategy(self, tokenizer: Any) -> Strategy:
        return NumberStrategy(list(self.ends), self.most)
""",
    "forms/questions/by_schema.py": """
import json
import logging
from functools import partial
from typing import Any, Callable, Dict
from @SDK.flow import FlowQuestion, FlowState, route_output, route_question
from @SDK.self_prompt import EraseMode
from @SDK.strategies.strategy_constructor import ChoicesStrat, UntilStrat
from @SDK.strategies.primitives import UntilEndType
from shared.types import Tensor  # as such files import what they do not need
from @UP.prompts import prompt_for
from @UP.strategies import NumberStrat

logger = logging.getLogger(__name__)
Routed = Callable[[FlowState], Any]


def strategy_of(schema: Dict[str, Any]):
    match schema:
        case {"enum": choices}:
            return ChoicesStrat([json.dumps(c) for c in choices])
        case {"type": "integer"}:
            return NumberStrat(ends=(",", "}"))
        case {"type": "string"}:
            return UntilStrat("", UntilEndType.TAG, "\\"")
    raise ValueError(f"no strategy for {schema}")


def keep(name: str, state: FlowState, answer: str) -> None:
    read = {"age": int, "kind": json.loads, "name": lambda said: said.strip("\\"")}[name]
    state.data.setdefault("object", {})[name] = read(answer)


def questions(schema: Dict[str, Any]) -> list[FlowQuestion]:
    made = []
    for name, part in schema["properties"].items():
        question = FlowQuestion(
            name=name, prompt=prompt_for(name), strategy=strategy_of(part),
            completion_text=None, erase_mode=EraseMode.ALL,
        )
        made.append(question.assign(partial(keep, name)))
    for one, two in zip(made, made[1:]):
        one.then(route_question(two))
    made[-1].then(lambda state: route_output(json.dumps(state.data["object"])))
    logger.debug("made %s", [q.name for q in made])
    return made
""",
    "forms/prompts.py": """
def prompt_for(name: str) -> str:
    return f"\\n{name}: "
""",
    "forms/mod.py": """
import json
import threading
from typing import Optional
from @SDK import ActionBuilder, get_conversation, mod, tokenize
from @SDK.flow import FlowEngine
from shared.types import Added, ForwardPass, ModAction, ModEvent, Prefilled
from @UP.questions.by_schema import questions

SCHEMA = {"properties": {
    "age": {"type": "integer"}, "kind": {"enum": ["cat", "dog"]}, "name": {"type": "string"},
}}
LOCK = threading.Lock()
ENGINES: dict[str, FlowEngine] = {}


def engine_for(request_id: str) -> FlowEngine:
    with LOCK:
        if request_id not in ENGINES:
            ENGINES[request_id] = FlowEngine(entry_question=questions(SCHEMA)[0])
        return ENGINES[request_id]


@mod
def form(event: ModEvent, actions: ActionBuilder, tokenizer) -> Optional[ModAction]:
    '''Fills in a form.'''
    if isinstance(event, Prefilled):
        assert all(m["role"] == "user" for m in get_conversation())
    engine = engine_for(event.request_id)
    if isinstance(event, (Prefilled, ForwardPass, Added)):
        return engine.handle_event(event, actions, tokenizer)
    return actions.noop()
""",
}
WAYS = {  # how the files name each other, and what is given to the loader
    "relative": (".", "forms"),
    "absolute": ("forms", "forms"),
    "from above": ("forms", ""),
    "far above": ("programs.older.forms", "forms"),
}


def files_of(up, sdk="quote_mod_sdk"):
    """Return the files; they import each other from `up`, and the SDK from `sdk`."""
    made = {}
    for path, text in FILES.items():
        dots = "." * path.count("/") if up == "." else f"{up}."
        named = text.replace("@UP.", dots).replace("@SDK", sdk)
        made[path] = named
    return made


def written(folder, files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


ANSWER = '{"age": 12, "kind": "dog", "name": "Rex"}'


@pytest.mark.parametrize("sdk", ["quote_mod_sdk", "sdk.quote_mod_sdk"])
@pytest.mark.parametrize("way", WAYS)
def test_a_package_with_strategies_questions_and_prompts_runs(tmp_path, way, sdk):
    up, given = WAYS[way]
    written(tmp_path / "programs" / "older", files_of(up, sdk))
    definitions, _ = load_path(tmp_path / "programs" / "older" / given)
    (form,) = (d for d in definitions if d.name == "form")

    assert play(form, says='12,dRex"').text == ANSWER


@pytest.mark.parametrize("field", ["source", "files"])
@pytest.mark.parametrize("up", [".", "forms"])
def test_a_package_can_be_uploaded(field, up):
    payload = ModPayload(
        name="a-Form.2", entrypoint="form", module="forms.mod", **{field: files_of(up)}
    )
    form = load_payload(payload)[0]

    assert play(form, says='7,cTom"').text == ANSWER.replace("12", "7").replace(
        "dog", "cat"
    ).replace("Rex", "Tom")


def test_concurrent_requests_of_a_package_in_the_engine(tmp_path):
    written(tmp_path, files_of("."))
    (form,) = load_path(tmp_path / "forms")[0]
    requests = [ask(prompt, call(form), max_tokens=200) for prompt in ("Hi", "Hello", "Hi")]
    texts = [bytes(i for i in answer.ids if i < 256) for answer in run(make_engine(), *requests)]

    assert texts[0] == texts[2]
    # A question that is not answered within the budget is not shown.
    assert all(not text or text.startswith(b'{"age": ') for text in texts)


def test_an_error_raised_by_the_sdk_has_the_authors_line(tmp_path):
    files = files_of(".")
    path = "forms/questions/by_schema.py"
    wrong = files[path].replace("UntilEndType.TAG", "'TAG'").replace("erase_mode=", "until=")
    written(tmp_path, files | {path: wrong})
    (form,) = load_path(tmp_path / "forms")[0]

    with pytest.raises(ModRaisedError, match=r"until.*by_schema.py:\d+") as raised:
        play(form, says="1")
    assert "@" not in str(raised.value)


EXTRA = """
from quote_mod_sdk import Added, ForwardPass, Prefilled, Sampled, mod
from quote_mod_sdk import ActionBuilder
class Words:
    first = "x"
{0}
    if isinstance(event, Prefilled):
        return actions.force_output([ord("o"), ord("k")])
    return actions.noop()
"""


@pytest.mark.parametrize(
    "head",
    [
        "@mod\ndef m(event, actions, tokenizer, times=2):",
        "@mod\ndef m(event, actions, tokenizer=None, *, words=Words()):",
        "@mod\ndef m(event, actions, *others, **named):",
        "@mod\ndef m(event, actions, tokenizer, /):",
        "@mod\ndef m(event, actions):",
    ],
)
def test_handlers_with_default_arguments_are_accepted(load, head):
    assert play(load(EXTRA.format(head)), script="no").text == "ok"

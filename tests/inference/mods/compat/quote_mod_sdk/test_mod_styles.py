"""Every style of writing a mod for `quote_mod_sdk`, loaded and played."""

import json

import pytest
from concordance_inference.mods.loading import load_path, load_payload
from concordance_sdk import ModPayload
from concordance_sdk.testing import play
from concordance_shared import FinishReason, ModLoadError, ModRaisedError
from tiny import ask, call, make_engine, run

HEADER = "from quote_mod_sdk import ActionBuilder, Added, ForwardPass, Prefilled, Sampled, mod\n"


def upload(source, entrypoint="m"):
    payload = ModPayload(name="m", entrypoint=entrypoint, source=source)
    return load_payload(payload)[0]


def folder(tmp_path, **files):
    for path, text in files.items():
        target = tmp_path / (path.replace("__", "/") + ".py")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return tmp_path


# Names


IMPORTS = [
    "from quote_mod_sdk.mod import ActionBuilder, create_mod, validate_action, for_event",
    "from quote_mod_sdk.mod import mod",
    "import quote_mod_sdk.mod",
    "import quote_mod_sdk.mod as decorator",
    "from quote_mod_sdk import *",
    "from quote_mod_sdk.flow import *",
    "from quote_mod_sdk.self_prompt import *",
    "from sdk.quote_mod_sdk.mod import mod",
    "import sdk.quote_mod_sdk.mod",
    "from sdk import quote_mod_sdk",
    "import shared.types, shared.utils, shared.conversation",
]


@pytest.mark.parametrize("line", IMPORTS)
def test_importing_a_submodule_does_not_hide_the_decorator(tmp_path, line):
    uses = "\n@mod\ndef {0}(event, actions): ...\n"
    path = folder(
        tmp_path,
        a=f"{line}\nfrom quote_mod_sdk import mod{uses.format('a')}",
        b=f"import quote_mod_sdk\nfrom quote_mod_sdk import mod\nassert quote_mod_sdk.mod is mod"
        f"{uses.format('b')}",
        c=f"from sdk.quote_mod_sdk import mod{uses.format('c')}",
    )

    assert [d.name for d in load_path(path)[0]] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "line",
    [
        "from shared.types import ForwardPass, Tensor, EmitError, ModAction, ModEvent",
        "from shared.utils import InvalidActionError, validate_action, ForceTokens, Noop",
        "from quote_mod_sdk.flow import ActionBuilder, Added, Backtrack, EraseMode, SelfPrompt",
        "from quote_mod_sdk.flow import FlowState, RouteTarget, StrategyConstructor, TState",
        "from quote_mod_sdk.self_prompt import ActionBuilder, ChoicesStrat, ForceTokens, ListStrat",
        "from quote_mod_sdk.self_prompt import ModCallable, mod, Prefilled, StrategyConstructor",
        "from quote_mod_sdk.mod import Added, EmitError, ForwardPass, InvalidActionError, Noop",
        "from quote_mod_sdk.actions import Added, InvalidActionError, ToolCalls, for_event",
        "from quote_mod_sdk.strategies import CharsMode, ChoicesStrat, RuntimeState, Strategy",
        "from quote_mod_sdk.strategies.strategy_constructor import CharsMode, UntilEndType",
        "from quote_mod_sdk.strategies.strategy_constructor import ListStrategy, TrieNode",
        "from quote_mod_sdk.strategies.strategy_constructor import tokenize_str, Strategy",
        "from quote_mod_sdk.strategies.primitives import Backtrack, ForceTokens, TrieNode",
        "from quote_mod_sdk.strategies.primitives import ChoicesStrategy, TokensStrategy",
        "from quote_mod_sdk.strategies.primitives import CharsStrategy, UntilStrategy",
        "from quote_mod_sdk.strategies.list_strategy import Backtrack, ListStrategy, Strategy",
        "from quote_mod_sdk.strategies.base import ModAction, require_token_ids, tokenize_str",
        "from quote_mod_sdk.serialization import ModCallable, serialize_mod",
        "from quote_mod_sdk.tokenizer import tokenize",
        "from quote_mod_sdk.conversation import get_conversation, tool_call_pairs",
        "from quote_mod_sdk import ModAction, get_schemas, set_conversation, clear_conversation",
        "from quote_mod_sdk import ForwardPassEvent, PrefilledEvent, AddedEvent, SampledEvent",
        "from quote_mod_sdk import self_prompt_constrained_mod",
        "from max.driver import CPU, Accelerator, Device, Tensor\nfrom max.dtype import DType",
        "quote_mod_sdk.self_prompt.SelfPrompt, quote_mod_sdk.actions.for_event",
        "import quote_mod_sdk.strategies.primitives\nquote_mod_sdk.strategies.primitives.CharsMode",
        "import quote_mod_sdk.flow as f\nf.FlowEngine",
        "from importlib import import_module\nimport_module('quote_mod_sdk.flow').FlowEngine",
        "__import__('shared.types').types.Added",
    ],
)
def test_names_are_importable_from_every_module_that_had_them(line):
    assert upload(f"import quote_mod_sdk\n{line}\nfrom quote_mod_sdk import mod\n"
                  "@mod\ndef m(event, actions): ...")  # fmt: skip


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("shared.conversation", "append_trace_event"),
        ("shared.conversation", "get_mod_trace_data"),
        ("shared.conversation", "init_mod_trace"),
        ("shared.conversation", "append_debug_logs"),
        ("quote_mod_sdk.conversation", "read_debug_logs"),
    ],
)
def test_trace_functions_are_import_errors_by_name(module, name):
    with pytest.raises(ModLoadError) as caught:
        upload(f"{HEADER}from {module} import {name}\n@mod\ndef m(event, actions): ...")

    for word in (f"{module}.{name} is not supported", "no traces", "line 2"):
        assert word in caught.value.message


def test_aliases_of_one_mod_are_not_importable_for_another(tmp_path):
    load_path(folder(tmp_path, old=f"{HEADER}@mod\ndef old(event, actions): ..."))
    for line in ("import quote_mod_sdk.nowhere", "import max.driver", "from shared import types"):
        source = f'"""Once for quote_mod_sdk and shared.types."""\ntry:\n    {line}\n'
        source += "except ModuleNotFoundError: FOUND = False\nelse: FOUND = True\n"
        source += "def m(event, actions): assert not FOUND\n"
        if "max" in line:  # the only one that does not itself speak of the older SDK
            assert play(upload(source), says="ok").text == "ok"


def test_changes_of_an_alias_module_are_isolated_between_mods():
    upload(
        f"import quote_mod_sdk\nquote_mod_sdk.Added = 3\n{HEADER}@mod\ndef m(event, actions): ..."
    )
    definition = upload(f"{HEADER}assert Added != 3\n@mod\ndef m(event, actions): ...")

    assert play(definition, says="ok").text == "ok"


# Events and actions


@pytest.mark.parametrize(
    "test",
    [
        'type(event).__name__ == "ForwardPass"',
        "type(event) is ForwardPass",
        "type(event) == ForwardPass",
        "event.__class__ is ForwardPass",
        'event.__class__.__name__ == "ForwardPass"',
        "type(event) in (ForwardPass, Sampled) and not isinstance(event, Sampled)",
        "isinstance(event, ForwardPass)",
        "isinstance(event, (ForwardPass,))",
        "issubclass(type(event), ForwardPass)",
        "{ForwardPass: True}.get(type(event), False)",
        'hasattr(event, "logits")',
        '"logits" in event.__dict__',
        '"logits" in vars(event)',
        'getattr(event, "logits", None) is not None',
        "not isinstance(event, (Added, Prefilled, Sampled))",
    ],
)
def test_every_test_of_an_events_type_works(test):
    definition = upload(f"""
{HEADER}
done = set()

@mod
def m(event, actions, tokenizer):
    if {test} and event.request_id not in done:
        done.add(event.request_id)
        return actions.force_tokens(tokenizer.encode("yes, "))
    return actions.noop()
""")

    assert play(definition, says="you").text == "yes, you"


def test_match_statements_over_events_work():
    definition = upload(f"""
{HEADER}
@mod
def m(event, actions, tokenizer):
    match event:
        case Prefilled(max_steps=steps) if steps < 1:
            return actions.emit_error("none left")
        case ForwardPass(step=0):
            return actions.force_tokens(tokenizer.encode("yes, "))
        case Added(forced=True, added_tokens=[first, *_]):
            assert first == ord("y")
    return None
""")

    assert play(definition, says="you").text == "yes, you"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("action.n -= 1", "abc."),
        ("action.n = 1", "abc."),
        ("action.tokens.append(ord('!'))", "ab.!"),
        ("action.tokens = None", "abcd!"),
        ("action.__dict__.update(tokens=[ord('?')])", "ab?d!"),
        ("setattr(action, 'tokens', tokenizer.encode('??'))", "ab??"),
        ("action = type(action)(**{**vars(action), 'n': 1})", "abc."),
        ("import copy; action = copy.deepcopy(action); action.tokens *= 2", "ab.."),
    ],
)  # fmt: skip
def test_actions_are_mutable_until_they_are_returned(change, text):
    definition = upload(f"""
{HEADER}
done = set()

@mod
def m(event, actions, tokenizer):
    if isinstance(event, Added) and event.step == 3 and event.request_id not in done:
        done.add(event.request_id)
        action = actions.backtrack(2, tokenizer.encode("."))
        {change}
        return action
""")

    assert play(definition, script="abcd!").text.startswith(text)


def test_events_have_exactly_the_older_attributes():
    definition = upload(
        HEADER
        + """
import copy, pickle
FIRST = ["request_id", "step"]
SEEN = ["hidden_states", "attention_patterns", "layer", "input_ids"]
HAS = {
    Prefilled: [*FIRST, "max_steps", "context_info", *SEEN], ForwardPass: [*FIRST, "logits", *SEEN],
    Sampled: [*FIRST, "sampled_token"], Added: [*FIRST, "added_tokens", "forced"],
}

@mod
def m(event, actions, tokenizer):
    assert list(vars(event)) == list(event.__dict__) == HAS[type(event)]
    assert vars(copy.copy(event)) == vars(event)
    if isinstance(event, Added):
        assert vars(pickle.loads(pickle.dumps(event))) == vars(event)
    assert vars(actions.noop()) == {}
"""
    )

    assert play(definition, says="ab").text == "ab"


def test_events_are_mutable():
    definition = upload(f"""
{HEADER}
@mod
def m(event, actions, tokenizer):
    event.note = "mine"
    if isinstance(event, Added):
        event.added_tokens.append(7)
        event.added_tokens.clear()
    if isinstance(event, Prefilled):
        event.context_info.tokens.reverse()
        event.context_info.mine = True
    if isinstance(event, ForwardPass):
        event.logits = None
    return actions.noop()
""")

    assert play(definition, definition, says="untouched").text == "untouched"


@pytest.mark.parametrize("n", [1, 5, 99])
@pytest.mark.parametrize("event", ["Sampled", "ForwardPass", "Added"])
def test_backtrack_is_limited_to_the_completion(event, n):
    definition = upload(f"""
{HEADER}
done = set()

@mod
def m(event, actions, tokenizer):
    if isinstance(event, {event}) and event.request_id not in done:
        done.add(event.request_id)
        return actions.backtrack({n}, tokenizer.encode("B"))
""")

    assert play(definition, script="abc").text == "Bbc"


def test_subclasses_of_actions_are_actions():
    definition = upload(f"""
{HEADER}
from shared.types import ForceTokens

class Greeting(ForceTokens):
    def __init__(self, tokenizer, text="Hi, "):
        super().__init__(tokenizer.encode(text))

@mod
def m(event, actions, tokenizer):
    if type(event) is ForwardPass and event.step == 0:
        return Greeting(tokenizer)
""")

    assert play(definition, says="you").text == "Hi, you"


def test_sdk_objects_return_noop_when_there_is_nothing_to_do():
    definition = upload(f"""
{HEADER}
from quote_mod_sdk import Noop, create_mod, validate_action
from quote_mod_sdk.flow import FlowEngine, FlowQuestion
from quote_mod_sdk.self_prompt import SelfPrompt
from quote_mod_sdk.strategies import ChoicesStrat

ASKED = SelfPrompt(prompt={{"text": "? "}}, strategy=ChoicesStrat(["a", "b"]))
ENGINE = FlowEngine(entry_question=FlowQuestion("q", "q ", ChoicesStrat(["a", "b"])))
inner = create_mod(lambda event, actions, tokenizer: None)
seen = []

@mod
def m(event, actions, tokenizer):
    assert isinstance(inner(event, tokenizer), Noop)
    assert isinstance(actions.noop(), Noop) and isinstance(validate_action(event, None), Noop)
    if isinstance(event, Prefilled):
        assert isinstance(ENGINE.handle_event(event, actions, tokenizer), Noop)
        assert ASKED.handle_prefilled(event, tokenizer) is None
    if isinstance(event, ForwardPass):
        action = ASKED.handle_forward_pass(event, actions, tokenizer)
        if not isinstance(action, Noop):
            return action
        seen.append(event.step)
    if isinstance(event, Added):
        action = ASKED.handle_added(event, actions, tokenizer)
        return actions.noop() if action is None else action
""")

    assert play(definition, says="ab").text.startswith("? a")
    assert definition.target.__wrapped__.__globals__["seen"]


# Logits


LOGITS = """
import math
import numpy as np
from max.driver import CPU, Tensor
{header}

@mod
def m(event, actions, tokenizer):
    if isinstance(event, ForwardPass):
        l = event.logits.to_numpy()
        x = tokenizer.encode("x")[0]
        ids = tokenizer.encode("xy")
        {code}
"""

#: The model wants `x`, then `y`, then anything else: bans of `x`, and of both.
BANS_X = [
    "l[0, x] = -1e9",
    "l[x] = -1e9",
    "l[0][x] = -1e9",
    "l[-1][x] = -1e9",
    "l[-1, x] = -1e9",
    "l[:, x] = -np.inf",
    "l[..., x] = -np.inf",
    "l[0, x:x + 1] = -np.inf",
    "l[0][x:x + 1] -= 1e9",
    "l[x:x + 1] = -np.inf",
    "l[0, [x]] = -np.inf",
    "l[[x]] = -np.inf",
    "l[np.array([x])] = -np.inf",
    "l[0][np.array([x])] = -np.inf",
    "l[l == l[0].max()] = -np.inf if np.argmax(l[0]) == x else l.max()",
    "l[0] += np.where(np.arange(l.shape[-1]) == x, -1e9, 0)",
    "l[0] = np.where(np.arange(l.shape[1]) == x, -1e9, l[0])",
    "l += np.where(np.arange(l.shape[-1]) == x, -1e9, 0)",
    "l = l + np.where(np.arange(l.shape[-1]) == x, -1e9, 0)",
    "l = np.where(np.arange(l.shape[-1])[None] == x, -1e9, l)",
    "row = l[0]; row[x] = -1e9",
    "row = l[0].copy(); row[x] = -1e9; l = row",
    "row = l.reshape(-1); row[x] = -1e9; l = row",
    "row = l.squeeze(); row[x] = -1e9",
    "row = l.flatten(); row[x] = -1e9; l = row[None, :]",
    "row = np.array(l, copy=True); row[..., x] = -1e9; l = row",
    "row = np.asarray(l).astype(np.float64); row[0, x] = -1e9; l = row",
    "for row in l: row[x] = -1e9",
    "mask = np.zeros(l.shape[-1], bool); mask[x] = True; l[..., mask] = -1e9",
    "mask = np.zeros(l.shape[-1], bool); mask[x] = True; l[mask] = -1e9",
    "mask = np.zeros(l.shape, bool); mask[0, x] = True; l[mask] = -1e9",
    "mask = np.zeros_like(l, dtype=bool); mask[:, x] = True; l = np.where(mask, -np.inf, l)",
    "l[0, x] -= 1e9",
    "l[x] -= 1e9",
    "l[0, int(np.argmax(l[0]))] = -1e9 if np.argmax(l[0]) == x else l.max()",
    "best = int(np.argmax(l)); l[0, best] = -1e9 if best == x else l[0, best]",
    "best = int(l.argmax(axis=-1)[0]); l[0, best] = -1e9 if best == x else l[0, best]",
    "best = np.argsort(l[0])[-1]; l[0, best] = -1e9 if best == x else l[0, best]",
    "best = np.argpartition(l[0], -1)[-1:]; l[0, best] = -1e9 if best[0] == x else l[0, best]",
    "np.put_along_axis(l, np.array([[x]]), -1e9, axis=1)",
    "event.logits[0, x] = -1e9; l = event.logits",
]


BACK = ["l", "Tensor.from_numpy(np.asarray(l))", "Tensor.from_numpy(l).to(CPU())", "logits=l"]


@pytest.mark.parametrize(
    ("code", "back"), [(code, BACK[i % len(BACK)]) for i, code in enumerate(BANS_X)]
)
def test_every_numpy_way_to_ban_a_token_works(code, back):
    if "event.logits[" in code and back.startswith("Tensor"):
        back = "l.to(event.logits.device)"
    code = f"{code}\n        return actions.adjust_logits({back})"
    definition = upload(LOGITS.format(header=HEADER, code=code))

    assert play(definition, script="axb").text == "a\0b"


@pytest.mark.parametrize(
    "assertion",
    [
        "l.shape == (1, 257) == event.logits.shape",
        "l.ndim == 2 and len(l) == 1 and len(l[0]) == 257 and l.size == 257",
        "np.argmax(l[0]) == np.argmax(l) == l.argmax() == x",
        "np.argmax(l, axis=-1).tolist() == np.argmax(l, axis=1).tolist() == [x]",
        "l[0].shape == l[-1].shape == l[0, :].shape == (257,) and type(l[0]) is np.ndarray",
        "l[:, ids].shape == (1, 2) and l[0, ids].shape == l[ids].shape == (2,)",
        "l[:, ids][0, 0] == l[0, x] == l[0][x] == l[x] == l.max() == event.logits[0, x]",
        "l[:10].shape == l[:].shape == l[0:1].shape == (1, 257)",
        "l[:, :10].shape == (1, 10) and l[0, :10].shape == l[0][:10].shape == (10,)",
        "np.max(l, axis=1, keepdims=True).shape == (1, 1) and np.max(l, axis=1).shape == (1,)",
        "abs(np.exp(l - l.max()).sum(axis=-1)[0] - np.exp(l[0] - l[0].max()).sum()) < 1e-3",
        "l.reshape(-1)[0] == l[0][0] == l[0, 0] == l.flatten()[0] == l.ravel()[0]",
        "l.squeeze()[0] == l[0, 0] and l.squeeze().shape == (257,)",
        "[row.shape for row in l] == [(257,)]",
        "l.tolist()[0][x] == l[0, x] and len(l.tolist()) == 1",
        "(event.logits / 2.0).max() == l.max() / 2 and np.argmax(event.logits) == x",
        "np.asarray(event.logits).shape == (1, 257)",
        "event.logits.device is not None and event.logits.dtype == np.float32",
        "event.logits.rank == 2 and event.logits.num_elements == 257",
        "event.top_k_logprob(3)[1][0][0] == x and event.top_k_logprob(3)[0].shape == (1, 3)",
        "isinstance(event.logits, Tensor) and type(event.logits).from_numpy(l).to_numpy() is l",
        "math.isclose(float(l[0][x]), float(l[0, x]))",
    ],
)
def test_logits_have_the_shape_of_one_row(assertion):
    code = f"if event.step == 1: assert {assertion}"
    definition = upload(LOGITS.format(header=HEADER, code=code))

    assert play(definition, script="axb").text == "axb"


@pytest.mark.parametrize("code", ["l[1, x]", "l[2][x]", "np.array(l)[x]", "l[0, 999]", "l[0][999]"])
def test_indexing_beyond_the_row_is_an_error(code):
    definition = upload(LOGITS.format(header=HEADER, code=code))

    with pytest.raises(ModRaisedError, match="IndexError"):
        play(definition, script="axb")


def test_logits_of_another_shape_are_rejected():
    definition = upload(LOGITS.format(header=HEADER, code="return actions.adjust_logits(l[:, :9])"))

    with pytest.raises(Exception, match=r"shape \(1, 9\) instead of \(257,\)"):
        play(definition, script="a")


# Python itself


PYTHON = [
    # dataclasses, also where a handler runs
    """
@dataclass
class State:
    words: List[str] = field(default_factory=list)

def check(event, tokenizer):
    @dataclass
    class Inner:
        count: int
        other: Optional[State] = None
        LIMIT: ClassVar[int] = 3
    assert [f.name for f in fields(Inner)] == ["count", "other"]
    assert asdict(Inner(1, State(["a"]))) == {"count": 1, "other": {"words": ["a"]}}
    assert replace(Inner(1), count=2).count == 2
""",
    """
@dataclass
class State:
    owner: "Optional[Other]" = None

@dataclass
class Other:
    name: str = ""

def check(event, tokenizer):
    assert get_type_hints(State)["owner"] == Optional[Other]
    assert get_type_hints(check_it)["return"] is Other

def check_it() -> Other: ...
""",
    """
class State:
    def __init__(self): self.words = ["a"]

class Mood(Enum):
    GOOD = auto()

Point = namedtuple("Point", "x y")

class Typed(NamedTuple):
    x: int

def check(event, tokenizer):
    for value in (Mood.GOOD, Point(1, 2), Typed(1)):
        assert pickle.loads(pickle.dumps(value)) == value
    assert pickle.loads(pickle.dumps(State())).words == ["a"]
    assert copy.deepcopy(State()).words == ["a"]
    assert type(pickle.loads(pickle.dumps(event))) is type(event)
""",
    """
here = sys.modules[__name__]
VALUE = 7

def check(event, tokenizer):
    assert sys.modules[__name__] is here and here.VALUE == 7
    assert sys.modules[check.__module__].check is check
    assert inspect.getmodule(check) is here
    assert Path(__file__).name.endswith(".py")
    assert "def check" in inspect.getsource(check)
""",
    """
import threading, queue
results = queue.Queue()

def work(text):
    import string
    results.put(string.capwords(text))

def check(event, tokenizer):
    thread = threading.Thread(target=work, args=("hello there",))
    thread.start()
    thread.join()
    assert results.get() == "Hello There"
""",
    """
logger = logging.getLogger(__name__)

def check(event, tokenizer):
    logger.info("step %d", event.step)
    print("step", event.step, file=sys.stderr)
    warnings.warn_explicit
""",
    """
from functools import lru_cache, partial, singledispatch

@singledispatch
def kind(event): return "other"

@kind.register
def _(event: ForwardPass): return "forward"

@kind.register(Added)
def _(event): return "added"

@lru_cache(None)
def encoded(text, tokenizer): return tuple(tokenizer.encode(text))

def check(event, tokenizer):
    assert kind(event) == {"ForwardPass": "forward", "Added": "added"}.get(
        type(event).__name__, "other")
    assert encoded("a", tokenizer) == (97,)
""",
    """
class Meta(type):
    registry = {}
    def __new__(meta, name, bases, space):
        made = super().__new__(meta, name, bases, space)
        meta.registry[name] = made
        return made

class Base(metaclass=Meta): ...
class Rule(Base): ...

def check(event, tokenizer):
    assert list(Meta.registry) == ["Base", "Rule"]
    assert __name__ == Rule.__module__
""",
    """
def check(event, tokenizer):
    import json as j, re
    from collections import OrderedDict
    from quote_mod_sdk.strategies.base import decode_token
    import quote_mod_sdk.flow
    assert j.loads("{}") == {} and re.match("a", "a")
    assert decode_token(tokenizer, 97) == "a"
    assert quote_mod_sdk.flow.FlowEngine
""",
]


@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
@pytest.mark.parametrize("body", PYTHON)
@pytest.mark.parametrize("way", ["upload", "folder"])
def test_python_features_work_in_handlers(tmp_path, way, body, future):
    source = f"""{future}
import copy, inspect, logging, pickle, sys, warnings
from collections import namedtuple
from dataclasses import asdict, dataclass, field, fields, replace
from enum import Enum, auto
from pathlib import Path
from typing import Any, ClassVar, Dict, List, NamedTuple, Optional, get_type_hints
{HEADER}
{body}
checked = []

@mod
def m(event, actions: ActionBuilder, tokenizer: Any):
    check(event, tokenizer)
    checked.append(type(event).__name__)
    return actions.noop()
"""
    if way == "upload":
        definition = upload(source)
    else:
        path = folder(tmp_path, a__b__mod=source)
        ((definition,), _) = load_path(path)

    assert play(definition, says="ok").text == "ok"
    checked = definition.target.__wrapped__.__globals__["checked"]
    assert set(checked) == {"Prefilled", "ForwardPass", "Sampled", "Added"}


def test_data_files_next_to_a_mod_are_found(tmp_path):
    (tmp_path / "words.json").write_text(json.dumps(["hello"]))
    source = f"""
import json
from pathlib import Path
{HEADER}
WORDS = json.loads((Path(__file__).parent / "words.json").read_text())

@mod
def m(event, actions, tokenizer):
    late = json.loads(Path(__file__).with_name("words.json").read_text())
    if isinstance(event, Prefilled):
        return actions.force_output(tokenizer.encode(late[0] + WORDS[0]))
"""
    ((definition,), _) = load_path(folder(tmp_path, m=source) / "m.py")

    assert play(definition, says="").text == "hellohello"


# Tool calls


CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}


@pytest.mark.parametrize(
    "payload",
    [
        CALL,
        [CALL],
        {"tool_calls": [CALL]},
        {"tool_calls": CALL},
        {"tool_call": CALL},
        {"function_call": CALL["function"]},
        {"name": "look", "arguments": {"a": 1}},
        [{"name": "look", "arguments": {"a": 1}}],
        {"type": "function", "function": {"name": "look", "arguments": {"a": 1}}},
        json.dumps(CALL),
        json.dumps([CALL]),
        json.dumps({"tool_calls": [CALL]}),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "way",
    ["actions.tool_calls(PAYLOAD)", "actions.tool_calls(payload=PAYLOAD)", "ToolCalls(PAYLOAD)"],
)
@pytest.mark.parametrize("event", ["Prefilled", "Added"])
def test_tool_calls_in_every_form(payload, way, event):
    definition = upload(f"""
{HEADER}
from shared.types import ToolCalls
PAYLOAD = {payload!r}

@mod
def m(event, actions, tokenizer):
    if isinstance(event, {event}):
        return {way}
""")
    played = play(definition, says="text")

    assert played.finish_reason is FinishReason.TOOL_CALLS
    (made,) = played.tool_calls
    assert (made.function.name, json.loads(made.function.arguments)) == ("look", {"a": 1})


def test_the_error_for_an_invalid_tool_call_shows_a_valid_one():
    definition = upload(f"{HEADER}@mod\ndef m(event, actions): return actions.tool_calls('look()')")

    with pytest.raises(ModRaisedError, match="not valid JSON.*'look\\(\\)'.*pass a call"):
        play(definition, says="x")


def messages_of(*pairs):
    made = []
    for call_id, content in pairs:
        call = {"id": call_id, "type": "function", "function": {"name": f"f{len(made)}"}}
        made += [{"role": "assistant", "tool_calls": [call]},
                 {"role": "tool", "tool_call_id": call_id, "content": content}]  # fmt: skip
    return made


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("text", "text"),
        ({"user": "u1"}, '{"user": "u1"}'),
        (42, "42"),
        (True, "true"),
        (None, None),
        (["a", "b"], "ab"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ([{"content": "a"}, "b"], "ab"),
        ([], None),
        ([1, 2], None),
    ],
)
def test_tool_results_of_every_content_type(load, content, told):
    definition = load(f"""
{HEADER}
from quote_mod_sdk import tool_call_pairs
MESSAGES = {messages_of(("c1", content))!r}

@mod
def m(event, actions, tokenizer):
    if isinstance(event, Prefilled):
        ((call, answer),) = tool_call_pairs(MESSAGES)
        assert answer == {told!r} and call["function"]["name"] == "f0"
        call["changed"] = True
        assert "changed" not in tool_call_pairs(MESSAGES)[0][0]
""")

    assert play(definition, says="ok").text == "ok"


def test_tool_calls_with_the_same_id_have_separate_results(load):
    definition = load(f"""
{HEADER}
from quote_mod_sdk.conversation import tool_call_pairs
MESSAGES = {[*messages_of(("c1", "one"), ("c1", "two"), ("c2", "three")),
             {"role": "assistant", "tool_calls": [{"id": "c1"}, {"no": "id"}]},
             {"role": "tool", "tool_call_id": "nobody's", "content": "x"}]!r}

@mod
def m(event, actions, tokenizer):
    answers = [answer for _, answer in tool_call_pairs(MESSAGES)]
    assert answers == ["one", "two", "three", None], answers
""")  # fmt: skip

    assert play(definition, says="ok").text == "ok"


# Self-prompts one behind the other, and flows


TWO = f"""
{HEADER}
from quote_mod_sdk.self_prompt import EraseMode, SelfPrompt
from quote_mod_sdk.strategies.strategy_constructor import CharsMode, CharsStrat, ChoicesStrat

def asked(name, erase, completion):
    return SelfPrompt(prompt={{"text": f" {{name}}: "}}, strategy=ChoicesStrat(["yes", "no"]),
                      erase=erase, completion=completion)
ASKED = [asked(name, EraseMode.@ERASE, @COMPLETION) for name in "ABC"]

@mod
def m(event, actions, tokenizer):
    rid = event.request_id
    left = [sp for sp in ASKED if not sp.is_complete(rid)]
    if isinstance(event, Prefilled):
        for sp in ASKED:
            sp.handle_prefilled(event, tokenizer)
    if isinstance(event, ForwardPass):
        if left:
            return left[0].handle_forward_pass(event, actions, tokenizer)
        answers = "".join(tokenizer.decode(sp.answer_tokens(rid)) for sp in ASKED)
        return actions.force_tokens(tokenizer.encode("DONE " + answers) + [tokenizer.eos_token_id])
    if isinstance(event, Added) and left:
        @ADDED
    return actions.noop()
"""


@pytest.mark.parametrize(
    "added",
    [
        "left[0].handle_added(event, actions, tokenizer)",
        "return left[0].handle_added(event, actions, tokenizer) or actions.noop()",
        "return left[0].handle_added(event, actions, tokenizer)",
        "[sp.handle_added(event, actions, tokenizer) for sp in left]",
    ],
)
@pytest.mark.parametrize(
    ("erase", "completion", "text"),
    [
        ("NONE", "None", " A: yes B: yes C: yes"),
        ("NONE", "'\\n'", " A: yes\n B: yes\n C: yes\n"),
        ("PROMPT", "None", "yesyesyes"),
        ("PROMPT", "'\\n'", "yesyesyes"),
        ("PROMPT", "' and then '", "yesyesyes"),
        ("ALL", "None", ""),
        ("ALL", "'\\n'", ""),
    ],
)
def test_consecutive_self_prompts(added, erase, completion, text):
    source = TWO.replace("@ERASE", erase).replace("@COMPLETION", completion)
    definition = upload(source.replace("@ADDED", added))

    assert play(definition, script=lambda completion: ord("y")).text == f"{text}DONE yesyesyes"


FLOW = f"""
{HEADER}
from quote_mod_sdk import get_conversation
from quote_mod_sdk.flow import (FlowDefinition, FlowEngine, FlowQuestion, route_message,
    route_output, route_question, route_summary, route_tool)
from quote_mod_sdk.self_prompt import EraseMode
from quote_mod_sdk.strategies.strategy_constructor import ChoicesStrat

def question(name, **options):
    return FlowQuestion(name=name, prompt=f" {{name}}? ", strategy=ChoicesStrat(["yes", "no"]),
                        erase_mode=EraseMode.@ERASE, completion_text=@COMPLETION, **options)
one, two = question("one"), question("two")
calls = []
def call_tool(actions, state, tokenizer):
    calls.append(dict(state.answers))
    return actions.tool_calls({{"name": "look", "arguments": state.answers}})
one.assign(lambda state, answer: state.data.setdefault("said", []).append(answer))
one.on("yes", route_question(two))
two.then(@ROUTE)
DEFINITION = FlowDefinition("all", one, lambda state: f"sum {{state.answers}} {{state.data}}")
ENGINE = FlowEngine(entry_question=one, flows={{"all": DEFINITION}})

@mod
def m(event, actions, tokenizer):
    @HANDLED
"""
ANSWERED = "sum {'one': 'yes', 'two': 'yes'} {'said': ['yes']}"


@pytest.mark.parametrize(
    "handled",
    [
        "return ENGINE.handle_event(event, actions, tokenizer)",
        "answer = ENGINE.handle_event(event, actions, tokenizer)\n"
        "    return None if isinstance(event, Added) else answer",
        "if isinstance(event, (Prefilled, ForwardPass)):\n"
        "        return ENGINE.handle_event(event, actions, tokenizer)\n"
        "    ENGINE.handle_event(event, actions, tokenizer)\n    return actions.noop()",
    ],
)
@pytest.mark.parametrize(
    "asked",
    [
        ("NONE", "'\\n'", " one? yes\n two? yes\n"),
        ("NONE", "''", " one? yes two? yes"),
        ("PROMPT", "'\\n'", "yesyes"),
        ("ALL", "'\\n'", ""),
        ("ALL", "''", ""),
    ],
)
@pytest.mark.parametrize(
    "routed",
    [
        ("route_message('Done.')", "Done."),
        ("'Done.'", "Done."),
        ("lambda state: route_message(state.answers['two'] + '.')", "yes."),
        ("route_output('Only this.')", None),
        ("route_summary()", ANSWERED),
        ("route_tool(call_tool)", None),
        ("route_tool(lambda state: route_message('One argument.'))", "One argument."),
    ],
)
def test_a_flow_continues_if_its_actions_are_dropped(handled, asked, routed):
    (erase, completion, before), (route, end) = asked, routed
    source = FLOW.replace("@ERASE", erase).replace("@COMPLETION", completion)
    definition = upload(source.replace("@ROUTE", route).replace("@HANDLED", handled))
    played = play(definition, script=lambda completion: ord("y"))

    if "route_output" in route:
        assert played.text == "Only this."
    elif "call_tool" in route:
        assert played.tool_calls[0].function.arguments == '{"one":"yes","two":"yes"}'
        assert len(definition.target.__wrapped__.__globals__["calls"]) == 1
    else:
        assert played.text == before + end


def test_a_question_with_an_auto_answer_is_skipped(load):
    source = FLOW.replace("@ERASE", "ALL").replace("@COMPLETION", "''")
    source = source.replace("@ROUTE", "route_message('Done.')")
    knows = "two.with_auto_answer(lambda state: ' no ').on('no', 'Known.')\n\n@mod"
    definition = load(source.replace("@mod", knows).replace(
        "@HANDLED", "return ENGINE.handle_event(event, actions, tokenizer)"))  # fmt: skip

    assert play(definition, says="y").text == "Known."


# In the engine


@pytest.mark.parametrize("erase", ["NONE", "PROMPT", "ALL"])
def test_consecutive_self_prompts_in_the_engine(erase):
    source = TWO.replace("@ERASE", erase).replace("@COMPLETION", "'\\n'")
    two = upload(source.replace("@ADDED", "left[0].handle_added(event, actions, tokenizer)"))
    source = FLOW.replace("@ERASE", erase).replace("@COMPLETION", "'\\n'")
    source = source.replace("@ROUTE", "route_message('Done.')").replace(
        "one.on(", "one.then(two).on("
    )
    flow = upload(
        source.replace("@HANDLED", "return ENGINE.handle_event(event, actions, tokenizer)")
    )
    code = "l[0][x] = -1e9\n        return actions.adjust_logits(Tensor.from_numpy(l))"
    logits = upload(LOGITS.format(header=HEADER, code=code))
    requests = [ask("Hello", call(each), max_tokens=96) for each in (two, flow, logits) * 2]
    said = [bytes(i for i in answer.ids if i < 256) for answer in run(make_engine(), *requests)]
    begins = {"NONE": b" A: ", "PROMPT": b"", "ALL": b"DONE "}[erase]

    assert said[:3] == said[3:]
    assert said[0].startswith(begins)
    assert b"DONE " in said[0]
    assert said[1].endswith(b"Done.")

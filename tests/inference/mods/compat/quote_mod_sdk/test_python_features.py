"""Features of Python that mods use, which must work in a `ModuleSpace`."""

import json

import pytest
from concordance_inference.mods.loading import load_path
from concordance_sdk.testing import play
from quote_mods import HEADER, folder, upload

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

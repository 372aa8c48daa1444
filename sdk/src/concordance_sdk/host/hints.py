"""Hints for the exceptions of authors' code: mistyped fields, methods, names and arguments.

Python's own messages name neither the fields that an object has nor the closest one. A hint is
computed after the exception was raised, so that fields cost nothing to access.
"""

import builtins
import inspect
import linecache
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from types import FrameType, TracebackType
from typing import cast

import concordance_shared
import msgspec
from concordance_shared import EVENTS, Action, Event, Logits
from concordance_shared.suggestions import did_you_mean, similar_names

import concordance_sdk
from concordance_sdk.action_builder import Actions
from concordance_sdk.host.other_words import (
    ARGUMENT_FOR,
    CONSTRAINT_FOR,
    LOGITS_METHOD_FOR,
    METHOD_FOR,
    STEP_FOR,
)
from concordance_sdk.mod import marked_definition
from concordance_sdk.tokenizer import Tokenizer

#: Members of our objects that hosts of mods use, and authors do not.
_FOR_HOSTS = {
    "made",
    "rewound",
    "stopped",
    "with_logits",
    "known_logprob",
    "set_logprob_reader",
    "known_place",
    "set_place_reader",
}

_NO_ITEMS = re.compile(r"'(\w+)' object (?:is not subscriptable|does not support item assignment)")
_NOT_CALLABLE = re.compile(r"'(\w+)' object is not callable")
_OF_LOGITS = re.compile(
    r"^unsupported operand.*Logits|'\w*Logits\w*' object does not support item assignment"
)
_TOKENIZER = re.compile(r"\.(decode|encode)\(")
_TOKENIZER_TAKES = {
    "decode": "decode takes a list of token ids: tokenizer.decode([token_id])",
    "encode": "encode takes a text: tokenizer.encode(text)",
}
_OURS = ("concordance_sdk", "concordance_shared", "concordance_inference")
_ARGUMENTS = re.compile(
    r"(?P<call>[\w.<>]+)\(\) (?:got an unexpected keyword argument '(?P<name>\w+)'|takes |missing )"
)


def hint_for(exc: BaseException) -> str:
    """Return what to append to the message of an exception of a mod's code; empty for most.

    Examples:
        >>> from concordance_shared import ContextInfo
        >>> try:
        ...     ContextInfo(tokens=(1, 2)).token
        ... except AttributeError as error:
        ...     print(hint_for(error))
        ; did you mean 'tokens'? A ContextInfo has: prompt_len, tokens
    """
    try:
        if isinstance(exc, AttributeError) and f"{exc}".startswith("immutable type"):
            return "; events and actions cannot be changed: return an action"
        if isinstance(exc, AttributeError | TypeError) and (hint := _tokenizer_hint(exc)):
            return hint
        if isinstance(exc, AttributeError):
            return _attribute_hint(exc)
        if isinstance(exc, NameError):
            return _name_hint(exc)
        return _type_hint(exc) if isinstance(exc, TypeError) else ""
    except Exception:  # e.g. a property of the author's object raises
        return ""


def _attribute_hint(exc: AttributeError) -> str:
    obj, name = exc.obj, exc.name
    if obj is None or name is None:
        return ""
    if hint := _of_another(obj, name):
        return hint
    names = _public_names(obj)
    close = _other_words(obj, name) or similar_names(name, names) or _nested(obj, name, names)
    if not _is_ours(obj):
        return did_you_mean(close)
    if isinstance(obj, Event) and (others := _events_with(name)):
        return f"; it is a field of {others}: check `isinstance(event, ...)` first"
    close = close or [known for known in names if _words(name) & _words(known)]
    if _is_a(obj, "ScriptRun") and close:
        return did_you_mean(close)
    return did_you_mean(close, _listed(obj, names))


def _of_another(obj: object, name: str) -> str:
    """For an attribute of an element of a list, and a step of a mark."""
    if isinstance(obj, list | tuple) and obj:
        element = cast(Sequence[object], obj)[-1]
        if _is_ours(element) and hasattr(element, name):
            return f"; it is a {type(obj).__name__}: take one of its elements, as in [-1].{name}"
    if _is_a(obj, "Mark") and (name == "rewind" or STEP_FOR.get(name) == "rewind"):
        return "; write `run.rewind(mark)`"
    return ""


def _other_words(obj: object, name: str) -> list[str]:
    """The method that authors call by another word."""
    words = METHOD_FOR if isinstance(obj, Actions) else {}
    words = STEP_FOR if _is_a(obj, "ScriptRun") else words
    words = LOGITS_METHOD_FOR if _is_logits(obj) else words
    return [words[name]] if name in words else []


def _nested(obj: object, name: str, names: Iterable[str]) -> list[str]:
    """The attribute of a field of the object, as `function.name` of a tool."""
    if not isinstance(obj, msgspec.Struct):
        return []
    stored = obj.__struct_fields__  # properties may compute, and raise
    fields = ((field, getattr(obj, field)) for field in names if field in stored)
    return [
        f"{field}.{name}" for field, value in fields if _is_ours(value) and hasattr(value, name)
    ]


def _events_with(name: str) -> str:
    """The events that have a field, for an event that lacks it."""
    return " and ".join(
        event.__name__
        for event in EVENTS
        if name in event.__struct_fields__ or isinstance(getattr(event, name, None), property)
    )


def _words(name: str) -> set[str]:
    return {word.removesuffix("s") for word in name.lower().split("_")} - {"id"}


def _is_ours(obj: object) -> bool:
    return type(obj).__module__.partition(".")[0] in _OURS


def _is_a(obj: object, name: str) -> bool:
    """True for an object of a class of scripts, which this module cannot import."""
    return type(obj).__name__ == name and type(obj).__module__.startswith("concordance_sdk.script.")


def _public_names(obj: object) -> list[str]:
    """The names of an object that authors may use, sorted."""
    for interface in (Logits, Tokenizer):  # the engine's objects have more than authors may use
        names = _names_of(interface)
        if all(hasattr(type(obj), name) for name in names):
            return names
    return [name for name in _names_of(obj) if name not in _FOR_HOSTS]


def _names_of(obj: object) -> list[str]:
    return sorted(name for name in dir(obj) if not name.startswith("_"))


def _is_logits(obj: object) -> bool:
    return all(hasattr(type(obj), name) for name in _names_of(Logits))


def _listed(obj: object, names: Iterable[str]) -> str:
    if isinstance(obj, Actions):
        return f"the methods of `actions` are: {', '.join(names)}"
    if isinstance(obj, str):
        own = [name for name in names if not hasattr(str, name)]
        return f"a {type(obj).__name__} is a string with the attributes: {', '.join(own)}"
    name = "Logits" if _is_logits(obj) else type(obj).__name__
    article = "an" if name[0] in "AEIOU" else "a"
    return f"{article} {name} has: {', '.join(names)}"


def _name_hint(exc: NameError) -> str:
    name = exc.name
    if name is None:
        return ""
    if name in concordance_sdk.__all__:
        return f"; import it: from concordance_sdk import {name}"
    frame = _innermost(exc.__traceback__)
    known = {*frame.f_locals, *frame.f_globals, *vars(builtins)} if frame else set[str]()
    return did_you_mean(similar_names(name, sorted(known), cutoff=0.8))


def _type_hint(exc: TypeError) -> str:
    message = str(exc)
    line = _line_of(exc)
    if _OF_LOGITS.search(message):
        return (
            "; logits cannot be changed: return actions.adjust_logits(bias={token_id: amount}), "
            "or compute with logits.to_numpy()"
        )
    if hint := _struct_hint(message, line):
        return hint
    if found := _NO_ITEMS.search(message):
        return _item_hint(found[1])
    if found := _NOT_CALLABLE.search(message):
        return _call_hint(found[1])
    if found := _ARGUMENTS.match(message):
        frame = _innermost(exc.__traceback__)
        return _called_mod(found["call"], frame, line) or _argument_hint(
            found["call"], found["name"], frame
        )
    return ""


def _tokenizer_hint(exc: BaseException) -> str:
    """For `tokenizer.decode(7)` and `tokenizer.encode(None)`, which fail inside the tokenizer."""
    frame = _innermost(exc.__traceback__)
    module = frame.f_globals.get("__name__", "") if frame else ""
    found = _TOKENIZER.search(_line_of(exc)) if module.startswith(_OURS) else None
    return f"; {_TOKENIZER_TAKES[found[1]]}" if found else ""


def _struct_hint(message: str, line: str) -> str:
    """For `ForceTokens()` and `Message("user", "hi")`, whose errors name no class."""
    if not message.startswith(("Missing required arg", "Unexpected keyword", "Extra positional")):
        return ""
    for name in re.findall(r"\b([A-Z]\w+)\(", line):
        struct = getattr(concordance_shared, name, None)
        if isinstance(struct, type) and issubclass(struct, msgspec.Struct):
            return f"; the arguments of {name} are: {', '.join(struct.__struct_fields__)}"
    return ""


def _item_hint(type_name: str) -> str:
    """For `get_conversation()[-1]["content"]` and `get_conversation[-1]`."""
    if type_name in {"function", "method", "builtin_function_or_method"}:
        return "; a function is called with parentheses first"
    struct = getattr(concordance_shared, type_name, None)
    if not isinstance(struct, type) or not issubclass(struct, msgspec.Struct):
        return ""
    if issubclass(struct, Action):
        return "; an action is a value that a handler returns"
    names = _names_of(struct)
    examples = [name for name in ("text", "content") if name in names] or names[:1]
    written = " or ".join(f"`.{name}`" for name in examples)
    return f"; its fields are attributes, such as {written}. It has: {', '.join(names)}"


def _call_hint(type_name: str) -> str:
    """For `tokenizer("text")` and `actions(...)`."""
    if type_name == Actions.__name__:
        return f"; call one of its methods: {', '.join(_names_of(Actions))}"
    if type_name.endswith("Tokenizer"):
        return "; use tokenizer.encode(text) and tokenizer.decode(token_ids)"
    if type_name in {"int", "str", "tuple", "list", "frozenset", "bool"}:
        return "; a field is read without parentheses"
    return ""


def _argument_hint(call: str, given: str | None, frame: FrameType | None) -> str:
    """For `actions.adjust_logits(temperature=0.5)`."""
    function = _function_named(call, frame)
    if function is None:
        return ""
    parameters = [
        f"{_STARS.get(parameter.kind, '')}{name}"
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self" and parameter.kind is not parameter.POSITIONAL_ONLY
    ]
    if not parameters:
        return ""
    if given is None and parameters[-1].startswith("**"):
        return f"; give values by name: `{_by_name(call)}`"
    close = _meant_argument(given, parameters) if given else []
    close = close or (similar_names(given, parameters, cutoff=0.6) if given else [])
    close = close or [name for name in parameters if given and _words(given) & _words(name)]
    if given == "temperature" and "token_temp" in parameters:
        close = ["token_temp"]
    return did_you_mean(close, f"its arguments are: {', '.join(parameters)}")


def _by_name(call: str) -> str:
    """How a call with values by name is written, as `run.report(key=value)`."""
    class_name, _, method = call.rpartition(".")
    first = {"ScriptRun": "run", "Actions": "actions"}.get(class_name, class_name)
    before = ["name"] if method == "tool_call" else []
    return f"{first}.{method}({', '.join([*before, 'key=value'])})"


def _meant_argument(given: str, parameters: Sequence[str]) -> list[str]:
    """The argument that authors call by another word."""
    if "constraint" in parameters and given in CONSTRAINT_FOR:
        return [CONSTRAINT_FOR[given]]
    meant = ARGUMENT_FOR.get(given, "")
    return [meant] if meant in parameters else []


def _called_mod(call: str, frame: FrameType | None, line: str) -> str:
    """For `pm(n=2)` in place of `use(pm, n=2)`."""
    name = call.rpartition(".")[2].removesuffix(".__init__")
    scope = {**frame.f_globals, **frame.f_locals} if frame else {}
    if not marked_definition(scope.get(name)):
        return ""
    given = re.search(rf"\b{name}\(([^()]*)\)", line)
    arguments = given[1] if given and given[1] else "parameter=value"
    return f"; a mod is not called: write `use({name}, {arguments})`"


#: How a parameter is written that takes any number of arguments.
_STARS = {inspect.Parameter.VAR_KEYWORD: "**", inspect.Parameter.VAR_POSITIONAL: "*"}


def _line_of(exc: BaseException) -> str:
    """The author's line of a traceback: the last one that is not ours."""
    trace, line = exc.__traceback__, ""
    while trace is not None:
        if not trace.tb_frame.f_globals.get("__name__", "").startswith("concordance_"):
            line = linecache.getline(trace.tb_frame.f_code.co_filename, trace.tb_lineno)
        trace = trace.tb_next
    return line


def _function_named(call: str, frame: FrameType | None) -> Callable[..., object] | None:
    """The function or class of ours that a message names, as `Actions.backtrack`."""
    first, _, rest = call.removesuffix(".__init__").partition(".")
    scope = {**frame.f_globals, **frame.f_locals} if frame else {}
    found = Actions if first == Actions.__name__ else scope.get(first)
    if found is None:  # not a name of the author's module, as `ScriptRun`
        found = getattr(sys.modules.get("concordance_sdk.script"), first, None)
    if rest and found is not None:
        found = getattr(found, rest, None)
    is_ours = getattr(found, "__module__", "").startswith(("concordance_sdk", "concordance_shared"))
    return found if is_ours and callable(found) else None


def _innermost(trace: TracebackType | None) -> FrameType | None:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame if trace is not None else None

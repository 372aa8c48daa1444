"""The names of the older SDK, module by module, and what each stands for.

A name is looked up when it is used: a source that asks for few pays for few, and one whose target
is missing says so where it is imported.
"""

import importlib
import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from concordance_sdk import ModDefinition

_HERE = "concordance_inference.mods.older_sdk"
_SDK = "concordance_sdk"

_ACTIONS = {
    "ActionBuilder": f"{_HERE}.actions:ActionBuilder",
    "InvalidActionError": f"{_HERE}.actions:InvalidActionError",
    "for_event": f"{_HERE}.actions:for_event",
}
_MOD = {
    "ModCallable": f"{_HERE}.decorator:ModCallable",
    "create_mod": f"{_HERE}.decorator:create_mod",
    "mod": f"{_HERE}.decorator:mod",
    "validate_action": f"{_HERE}.actions:validate_action",
}
_TYPES = {
    "Added": f"{_SDK}:Added",
    "AdjustedLogits": f"{_HERE}.actions:AdjustedLogits",
    "AdjustedPrefill": f"{_SDK}:AdjustedPrefill",
    "Backtrack": f"{_SDK}:Backtrack",
    "EmitError": f"{_SDK}:EmitError",
    "ForceOutput": f"{_SDK}:ForceOutput",
    "ForceTokens": f"{_SDK}:ForceTokens",
    "ForwardPass": f"{_SDK}:ForwardPass",
    "ModAction": f"{_SDK}:Action",
    "ModEvent": f"{_SDK}:Event",
    "Noop": f"{_SDK}:Noop",
    "Prefilled": f"{_SDK}:Prefilled",
    "Sampled": f"{_SDK}:Sampled",
    "ToolCalls": f"{_SDK}:ToolCalls",
}
_CONVERSATION = {
    "get_conversation": f"{_HERE}.conversation:get_conversation",
    "get_schemas": f"{_HERE}.conversation:get_schemas",
    "tool_call_pairs": f"{_HERE}.conversation:tool_call_pairs",
}
_TOKENIZER = {"tokenize": f"{_HERE}.tokenizer:tokenize"}
_SERIALIZATION = {"serialize_mod": f"{_HERE}.serialization:serialize_mod"}
_SELF_PROMPT = {
    name: f"{_SDK}.self_prompt:{name}" for name in ("EraseMode", "SelfPrompt", "self_prompt_mod")
}
_FLOW = {
    name: f"{_SDK}.flow:{name}"
    for name in ("FlowDefinition", "FlowState", "RouteKind", "RouteTarget")
} | {
    name: f"{_HERE}.flow:{name}"
    for name in (
        "FlowEngine",
        "FlowQuestion",
        "FlowRoute",
        "RequestState",
        "route_message",
        "route_noop",
        "route_output",
        "route_question",
        "route_summary",
        "route_tool",
    )
}
_MODES = {name: f"{_SDK}.constraints:{name}" for name in ("CharsMode", "UntilEndType")}
_STRATEGIES = _MODES | {
    name: f"{_HERE}.strategies:{name}"
    for name in ("CharsStrat", "ChoicesStrat", "ListStrat", "UntilStrat")
}

_MODULES: dict[str, dict[str, str]] = {
    "quote_mod_sdk": _ACTIONS
    | _MOD
    | _TYPES
    | _CONVERSATION
    | _TOKENIZER
    | _SERIALIZATION
    | {"self_prompt_mod": _SELF_PROMPT["self_prompt_mod"]},
    "quote_mod_sdk.actions": _ACTIONS,
    "quote_mod_sdk.conversation": _CONVERSATION,
    "quote_mod_sdk.flow": _FLOW,
    "quote_mod_sdk.mod": _MOD | _ACTIONS,
    "quote_mod_sdk.self_prompt": _SELF_PROMPT,
    "quote_mod_sdk.serialization": _SERIALIZATION,
    "quote_mod_sdk.strategies": _STRATEGIES,
    "quote_mod_sdk.strategies.primitives": _MODES,
    "quote_mod_sdk.strategies.strategy_constructor": _STRATEGIES
    | {"StrategyConstructor": f"{_SDK}.constraints:Constraint"},
    "quote_mod_sdk.tokenizer": _TOKENIZER,
    "shared": {},
    "shared.conversation": _CONVERSATION,
    "shared.types": _TYPES,
    "shared.utils": {
        "InvalidActionError": _ACTIONS["InvalidActionError"],
        "validate_action": _MOD["validate_action"],
    },
    # What mods handed logits back in; an array of numpy or mlx does as well.
    "max": {},
    "max.driver": {"Tensor": f"{_HERE}.logits:Tensor"},
}
#: By module: its names, and where each is to be found, as `module:name`. The older server knew its
#: SDK by the path `sdk.quote_mod_sdk` too.
ALIASES: dict[str, dict[str, str]] = (
    _MODULES
    | {"sdk": {}}
    | {f"sdk.{name}": names for name, names in _MODULES.items() if name.startswith("quote_mod_sdk")}
)

_OLDER_NAME = re.compile(
    r"\b(?:quote_mod_sdk|shared\.(?:types|utils|conversation))\b"
    # of a package `shared` that is the source's own, other modules are imported
    r"|\bfrom\s+shared\s+import\s*(?:\([^)]*|[^\n#(]*)\b(?:types|utils|conversation)\b"
)


def uses_older_names(texts: Mapping[str, str]) -> bool:
    """Whether any of these sources speaks of the older SDK."""
    return any(_OLDER_NAME.search(text) for text in texts.values())


def is_package(name: str) -> bool:
    """Whether a module of the older SDK has others below it."""
    return any(other.startswith(f"{name}.") for other in ALIASES)


def fill(module: ModuleType) -> None:
    """Give a module that was just made the names of the older SDK's module of that name."""
    names = ALIASES[module.__name__]
    vars(module).update(
        __doc__=f"The names of the older SDK's `{module.__name__}`.",
        __all__=sorted(names),
        __getattr__=_lookup(module.__name__, names),
    )


def _lookup(module_name: str, names: Mapping[str, str]) -> Callable[[str], object]:
    """A module's `__getattr__`: finds what a name stands for when it is asked for."""

    def get(name: str) -> object:
        if name not in names:
            raise AttributeError(
                f"{module_name!r} of the older SDK has no {name!r} here; it has: "
                f"{', '.join(sorted(names)) or 'nothing of its own'}"
            )
        try:
            return _found(names[name])
        except (ImportError, AttributeError) as exc:
            raise ImportError(
                f"{module_name}.{name} stands for {names[name].replace(':', '.')}, which this "
                f"version of Concordance does not have ({exc})"
            ) from exc

    return get


def older_definition_of(target: Any) -> ModDefinition:
    """The definition of a mod of the older SDK, which raw callables are too.

    Raises:
        ModDefinitionError: It is not a mod.
    """
    # By its name, as everything here: it needs numpy, and who only serves mods does not.
    return _found(f"{_HERE}.decorator:older_definition_of")(target)


def _found(place: str) -> Any:
    """What stands at `module:name`."""
    module_name, _, name = place.partition(":")
    return getattr(importlib.import_module(module_name), name)

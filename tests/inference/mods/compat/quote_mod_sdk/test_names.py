"""The names of every module of `quote_mod_sdk`."""

import pytest
from concordance_inference.mods.loading import load_path
from concordance_sdk.testing import play
from concordance_shared import ModLoadError
from quote_mods import HEADER, folder, upload

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

    for word in (f"{module}.{name} is not supported", "write traces here", "line 2"):
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

"""Mods in the style of the older SDK load and run unchanged."""

import sys

import numpy as np
import pytest
from concordance_inference.generation import ModCall
from concordance_inference.mods.loading import load_path, load_payload
from concordance_sdk import FinishReason, Message, ModPayload, Schemas, Tool, registry
from concordance_sdk.testing import ByteTokenizer, play
from concordance_shared import (
    EmittedError,
    FunctionCall,
    FunctionSchema,
    JsonSchemaFormat,
    ModLoadError,
    ModRaisedError,
    ResponseFormat,
    ToolCall,
)
from tiny import ask, make_engine, run


@pytest.fixture(name="load")
def _load(tmp_path):
    """Write a file of mods and load the first that it defines."""

    def load(source):
        (tmp_path / "older.py").write_text(source)
        definitions, _ = load_path(tmp_path / "older.py")
        return definitions[0]

    return load


# What is marked


def test_a_handler_is_called_with_event_actions_and_tokenizer(load):
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


def test_a_handler_may_leave_out_the_tokenizer(load):
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


def test_the_prompt_is_read_and_replaced(load):
    definition = load(
        """
from quote_mod_sdk import Prefilled, mod

@mod
def reword(event, actions, tokenizer):
    if isinstance(event, Prefilled):
        info = event.context_info
        prompt = tokenizer.decode(info.tokens[: info._prompt_len])
        tokens = tokenizer.encode(prompt.replace("hi", "bye"), False)
        return actions.adjust_prefill(tokens, max_steps=3)
    return actions.noop()
"""
    )
    played = play(definition, says="abcdef", prompt="Say hi.")

    assert bytes(played.prompt_ids) == b"Say bye."
    assert played.text == "abc"


def test_a_phrase_is_taken_back_by_the_older_keywords(load):
    definition = load(
        """
from quote_mod_sdk import Added, mod, tokenize

seen = {}

@mod
def softer(event, actions, tokenizer):
    if isinstance(event, Added) and not event.forced:
        tokens = seen[event.request_id] = seen.get(event.request_id, []) + event.added_tokens
        if tokenizer.decode(tokens).endswith("never"):
            return actions.backtrack(steps=len(tokenize("never", tokenizer)),
                                     tokens=tokenize("rarely", tokenizer))
    return actions.noop()
"""
    )

    assert play(definition, says="I never do", stream=True).text == "I rarely do"
    assert definition.max_backtrack is None


# Logits

READ = """
import numpy as np
from max.driver import Tensor
from quote_mod_sdk import ForwardPass, mod

@mod
def no_x(event, actions, tokenizer):
    if isinstance(event, ForwardPass):
        logits = event.logits.to_numpy(){copy}
        banned = tokenizer.encode("x", add_special_tokens=False)
        logits[{index}] = -np.inf
        return actions.adjust_logits({back})
    return actions.noop()
"""


@pytest.mark.parametrize("copy", ["", ".copy()"])
@pytest.mark.parametrize(
    "index", ["banned[0]", "0, banned[0]", "banned", "..., banned", "0, banned"]
)
@pytest.mark.parametrize(
    "back", ["logits", "Tensor.from_numpy(logits)", "logits.reshape(1, -1)", "logits=logits"]
)
def test_logits_are_read_as_numpy_and_handed_back_in_every_way(load, copy, index, back):
    definition = load(READ.format(copy=copy, index=index, back=back))

    assert play(definition, script="axb").text == "a\0b"


def test_logits_are_handed_back_as_mlx(load):
    definition = load(
        """
import mlx.core as mx
from quote_mod_sdk import ForwardPass, mod

@mod
def no_x(event, actions):
    if isinstance(event, ForwardPass):
        row = mx.array(event.logits.to_numpy())
        row[ord("x")] = -mx.inf
        return actions.adjust_logits(row, token_temp=0.0)
"""
    )

    assert play(definition, script="axb").text == "a\0b"


def test_logits_answer_indexing_arithmetic_and_numpys_functions(load):
    definition = load(
        """
import numpy as np
from quote_mod_sdk import ForwardPass, mod

@mod
def look(event, actions):
    if isinstance(event, ForwardPass):
        logits = event.logits
        assert logits[0, 97] == logits[97] == 1.0 and logits[0, 98] == 0.0
        assert logits.shape == (257,) == logits.to_numpy().shape and len(logits) == 257
        assert (logits / 2.0).max() == 0.5 and np.argmax(logits) == 97
        assert np.exp(logits - logits.to_numpy().max()).sum() > 1
        logprobs, ids = event.top_k_logprob(2)
        assert ids.tolist() == [[97, 0]] and logprobs.shape == (1, 2)
        return actions.adjust_logits(logits)
    return actions.noop()
"""
    )

    assert play(definition, script="aaa", max_tokens=3).text == "aaa"


def test_adjusting_only_the_temperature_leaves_the_row_to_other_mods(load):
    definition = load(
        """
from quote_mod_sdk import ForwardPass, mod
from shared.types import AdjustedLogits

@mod
def cool(event, actions):
    if isinstance(event, ForwardPass):
        action = actions.adjust_logits(token_temp=0.5)
        assert isinstance(action, AdjustedLogits)
        return action
"""
    )

    assert play(definition, says="ab").text == "ab"


def test_logits_are_read_and_handed_back_in_the_engine_too(load):
    plain = run(make_engine(), ask("Hello", max_tokens=4)).ids
    definition = load(
        f"""
from quote_mod_sdk import ForwardPass, mod

@mod
def other(event, actions, tokenizer):
    if isinstance(event, ForwardPass) and event.step == 1:
        logits = event.logits.to_numpy()
        assert logits[0, {plain[1]}] == event.logits[0, {plain[1]}] == logits.max()
        logits[0, {plain[1]}] = -1e9
        return actions.adjust_logits(logits)
    return actions.noop()
"""
    )
    call = ModCall(definition=definition, parameters={}, name="other")
    steered = run(make_engine(), ask("Hello", call, max_tokens=4)).ids

    assert steered[0] == plain[0]
    assert steered[1] != plain[1]


# Ends


def test_output_errors_and_tool_calls(load):
    definition = load(
        """
from quote_mod_sdk import Prefilled, Sampled, mod

@mod
def ends(event, actions, tokenizer):
    if isinstance(event, Prefilled):
        prompt = tokenizer.decode(event.context_info.tokens)
        if prompt == "tool":
            payload = {"id": f"call_{event.request_id}", "function": {"name": "search"}}
            return actions.tool_calls(payload=payload)
        if prompt == "output":
            return actions.force_output(tokens=(t for t in tokenizer.encode("done")))
        if prompt == "error":
            return actions.emit_error("no")
    return actions.noop()
"""
    )
    called = play(definition, says="", prompt="tool")

    assert called.finish_reason is FinishReason.TOOL_CALLS
    assert called.tool_calls[0].function == FunctionCall("search", "{}")
    assert play(definition, says="", prompt="output").text == "done"
    with pytest.raises(EmittedError) as caught:
        play(definition, says="", prompt="error")
    assert caught.value.message == "no"


def test_what_an_event_does_not_permit_is_refused_at_once(load):
    definition = load(
        """
from quote_mod_sdk import InvalidActionError, Prefilled, mod

@mod
def eager(event, actions):
    if isinstance(event, Prefilled):
        try:
            return actions.force_tokens([1])
        except InvalidActionError:
            return actions.backtrack(1)
"""
    )

    with pytest.raises(ModRaisedError, match="Backtrack is not permitted at Prefilled"):
        play(definition, says="a")


# The conversation

CALL = ToolCall(id="c1", function=FunctionCall("f", '{"a": 1}'))
MESSAGES = (
    Message(role="user", content="hi"),
    Message(role="assistant", tool_calls=(CALL,)),
    Message(role="tool", tool_call_id="c1", content="42"),
)


def test_the_conversation_is_dictionaries(load):
    definition = load(
        """
from quote_mod_sdk import Prefilled, get_conversation, get_schemas, mod, tool_call_pairs

@mod
def look(event, actions, tokenizer):
    if isinstance(event, Prefilled):
        convo = get_conversation()
        assert convo == get_conversation(event.request_id)
        assert convo[0]["content"].lower() == "hi" and convo[1]["content"] is None
        assert convo[1]["tool_calls"][0]["function"]["name"] == "f"
        ((call, answer),) = tool_call_pairs(convo)
        assert call["id"] == "c1" and answer == "42" and tool_call_pairs() == [(call, "42")]
        schema, tool = get_schemas()
        assert schema["type"] == "object" and tool["function"]["name"] == "f"
        try:
            get_conversation("another")
        except PermissionError:
            return actions.force_output(tokenizer.encode("ok"))

assert get_conversation() == []
"""
    )
    schemas = Schemas(
        tools=(Tool(function=FunctionSchema(name="f")),),
        response_format=ResponseFormat(
            type="json_schema",
            json_schema=JsonSchemaFormat(name="s", schema={"type": "object"}),
        ),
    )

    assert play(definition, says="", messages=MESSAGES, schemas=schemas).text == "ok"


# Raw callables and uploads


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
def test_raw_callables_that_return_actions_are_mods(raw):
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


def test_a_raw_callable_of_the_event_alone():
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


def test_names_are_found_by_functions_that_import_them_when_they_are_called():
    before = set(sys.modules)
    definition = upload(
        """
def raw(event, tokenizer):
    from quote_mod_sdk import ForwardPass
    import shared.types as types
    from max.driver import Tensor
    if isinstance(event, ForwardPass) and event.step == 0:
        return types.ForceTokens(tokenizer.encode("late "))
"""
    )

    assert play(definition, says="x").text == "late x"
    names = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert not names & {"quote_mod_sdk", "shared", "max", "sdk"}


def test_an_upload_of_a_folder_whose_modules_use_the_older_names():
    files = {
        "pack/mod.py": "from quote_mod_sdk import mod\nfrom .words import reply\n"
        "@mod\ndef entry(event, actions, tokenizer): return reply(event, actions, tokenizer)\n",
        "pack/words.py": "from sdk.quote_mod_sdk import Prefilled\n"
        "def reply(event, actions, tokenizer):\n"
        "    if isinstance(event, Prefilled):\n"
        "        return actions.force_output(tokenizer.encode('hey'))\n",
    }
    payload = ModPayload(name="uploaded", entrypoint="entry", module="pack.mod", files=files)

    assert play(load_payload(payload)[0], says="").text == "hey"


# The tokenizer


def test_the_tokenizer_answers_as_it_used_to(load):
    definition = load(
        """
from quote_mod_sdk import Prefilled, mod, tokenize

@mod
def look(event, actions, tokenizer):
    if isinstance(event, Prefilled):
        ids = tokenizer.encode("ab", add_special_tokens=True)
        assert ids == tokenizer("ab")["input_ids"] == tokenize("ab", tokenizer) == [97, 98]
        assert tokenizer.decode(97) == "a" == tokenizer.convert_ids_to_tokens(97)
        assert tokenizer.decode([97, 256], skip_special_tokens=True, clean_up=False) == "a"
        assert len(tokenizer) == tokenizer.vocab_size == 257
        assert (tokenizer.eos_token_id, tokenizer.eos_token) == (256, "<eos>")
        assert tokenizer.get_vocab()["a"] == 97
        return actions.force_output(ids)
"""
    )

    assert play(definition, says="").text == "ab"


def test_a_tokenizer_has_one_older_face_since_others_remember_by_it():
    from concordance_inference.mods.older_sdk.tokenizer import older_tokenizer

    tokenizer = ByteTokenizer()

    assert older_tokenizer(tokenizer) is older_tokenizer(tokenizer)


# What is not there


def test_what_this_version_lacks_says_so_where_it_is_imported(load, monkeypatch):
    from concordance_inference.mods.older_sdk import aliases

    table = {**aliases.ALIASES["quote_mod_sdk.flow"], "FlowEngine": "concordance_sdk.nowhere:Flow"}
    monkeypatch.setitem(aliases.ALIASES, "quote_mod_sdk.flow", table)
    with pytest.raises(ModLoadError) as caught:
        load("from quote_mod_sdk.flow import FlowEngine")

    for word in ("quote_mod_sdk.flow.FlowEngine", "concordance_sdk.nowhere.Flow", "line 1"):
        assert word in caught.value.message


@pytest.mark.parametrize(
    "line",
    ["from quote_mod_sdk import nothing", "import quote_mod_sdk.nowhere", "import shared.nowhere"],
)
def test_a_name_that_never_was_there_is_not_there(load, line):
    with pytest.raises(ModLoadError, match="nothing|nowhere"):
        load(f"import quote_mod_sdk\n{line}")


def test_a_file_that_defines_no_mod_is_told_so(load):
    with pytest.raises(ModLoadError, match="defines no mod"):
        load("from quote_mod_sdk import mod")


# Apart from everybody else


def test_sources_that_do_not_speak_of_the_older_sdk_find_none_of_it(load):
    with pytest.raises(ModLoadError, match="ModuleNotFoundError"):
        load("from max.driver import Tensor")


def test_a_package_of_the_sources_own_goes_before(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "__init__.py").write_text("")
    (tmp_path / "shared" / "words.py").write_text("WORD = 'own'")
    (tmp_path / "older.py").write_text(
        "from quote_mod_sdk import Prefilled, mod\nfrom shared.words import WORD\n"
        "from shared.types import ForceOutput\n"
        "@mod\ndef own(event, actions, tokenizer):\n"
        "    if isinstance(event, Prefilled): return ForceOutput(tokenizer.encode(WORD))\n"
    )
    definitions, _ = load_path(tmp_path)

    assert play(definitions[0], says="").text == "own"


def test_nothing_is_left_in_the_process(load):
    before = set(sys.modules), list(sys.meta_path)
    load("from quote_mod_sdk import mod\n@mod\ndef gone(event, actions): ...")

    left = {name for name in set(sys.modules) - before[0] if not name.startswith("concordance")}
    assert not {name.partition(".")[0] for name in left} & {"quote_mod_sdk", "shared", "max"}
    assert list(sys.meta_path) == before[1]
    assert registry.get("gone") is None


def test_an_error_in_an_older_mod_names_it_and_the_line(load):
    definition = load(
        "from quote_mod_sdk import mod\n@mod\ndef broken(event, actions):\n    return 1 / 0\n"
    )

    with pytest.raises(ModRaisedError, match=r"'broken' raised ZeroDivisionError .*older\.py:4"):
        play(definition, says="a")


def test_a_changed_row_is_an_array_of_numpy_after_all():
    from concordance_inference.mods.older_sdk.logits import OlderRow

    row = np.zeros(4, np.float32).view(OlderRow)
    row[0, 1] = 2.0

    assert row.tolist() == [0, 2, 0, 0]
    assert row[0, 1] == row[:, 1] == row[1] == 2.0
    with pytest.raises(IndexError):
        row[1, 1]


def test_a_mod_of_the_older_sdk_is_serialized_to_a_dictionary(load, tmp_path):
    definition = load(
        """
from quote_mod_sdk import mod, serialize_mod

@mod
def hello(event, actions): ...

def payload(): return serialize_mod(hello, name="hi", description="says it")
"""
    )
    payload = definition.target.__wrapped__.__globals__["payload"]()

    assert payload["name"] == "hi"
    assert (payload["entrypoint"], payload["language"]) == ("hello", "python")
    assert payload["description"] == "says it"
    assert "def hello" in payload["source"]

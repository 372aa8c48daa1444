"""Instances of mods: parameters, errors, the conversation."""

import json
from contextvars import ContextVar

import numpy as np
import pytest
from concordance_sdk import (
    Added,
    Message,
    ModRaisedError,
    Sampled,
    Schemas,
    Tool,
    get_conversation,
    get_schemas,
    mod,
    tool_call_pairs,
    use,
)
from concordance_sdk.testing import Playing, Scene, play
from concordance_sdk.text import CompletionText
from concordance_shared import (
    FunctionCall,
    FunctionSchema,
    InvalidRequestError,
    ModDefinitionError,
    ToolCall,
)


@mod
class Say:
    words: str
    times: int = 1

    def __init__(self):
        self.text = self.words * self.times

    def prefilled(self, event, actions, tokenizer):
        return actions.force_output(tokenizer.encode(self.text))


def test_parameters_are_set_before_init_runs():
    assert play(Say, script="", parameters={"words": "ab", "times": 2}).text == "abab"


def test_requests_do_not_share_a_list_parameter():
    @mod
    class Collect:
        seen: list[int]

        def added(self, event, actions):
            self.seen.append(event.step)
            return actions.emit_error("shared") if len(self.seen) > 1 else None

    used = use(Collect, seen=[])

    assert [play(used, script="a", max_tokens=1).text for _ in "ab"] == ["a", "a"]
    assert used.parameters == {"seen": []}


def test_default_parameter_is_used():
    assert play(Say, script="", parameters={"words": "ab"}).text == "ab"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, ["words", "missing", "its parameters are: words, times"]),
        ({"words": 3}, ["words", "str", "int"]),
        ({"words": "a", "times": "2"}, ["times"]),
        ({"words": "a", "more": 1}, ["more", "unknown"]),
    ],
)
def test_wrong_parameters_are_named(parameters, words):
    with pytest.raises(InvalidRequestError) as caught:
        play(Say, script="", parameters=parameters)

    for word in ("'say'", *words):
        assert word in caught.value.message


def test_each_request_has_its_own_instance():
    @mod
    class Count:
        def __init__(self):
            self.seen = 0

        def added(self, event, actions):
            self.seen += 1
            if self.seen == 4:
                return actions.force_output(b"four")

    assert play(Count, script="ab").text == "ab"
    assert play(Count, script="ab").text == "ab"
    assert play(Count, script="abc").text == "four"


def test_mutable_default_is_not_shared():
    @mod
    class Collect:
        seen: list[int] = []  # noqa: RUF012

        def added(self, event, actions):
            self.seen.append(event.added_tokens[0])
            if len(self.seen) > 3:
                return actions.emit_error("leaked")

    play(Collect, script="ab")
    assert play(Collect, script="ab").text == "ab"


def test_nested_default_is_deep_copied_for_each_request():
    @mod
    class Collect:
        seen: list[list[int]] = [[0]]  # noqa: RUF012

        def added(self, event, actions):
            self.seen[0].append(1)
            if len(self.seen[0]) > 3:
                return actions.emit_error("leaked")

    play(Collect, script="a")
    assert play(Collect, script="a").text == "a"


@pytest.mark.parametrize(
    "error", [RuntimeError("kaput"), SystemExit(3), GeneratorExit(), TypeError("x")]
)
def test_exception_of_a_mod_names_the_mod_the_event_and_the_line(error):
    @mod(on=[Sampled])
    def boom(event, actions):
        raise error

    with pytest.raises(ModRaisedError) as caught:
        play(boom, script="ab")

    for word in ("'boom'", type(error).__name__, "Sampled", "step 0", "test_instance.py:"):
        assert word in caught.value.message
    assert caught.value.__cause__ is error


def test_type_error_inside_a_handler_causes_no_second_call():
    calls = []

    @mod(on=[Sampled])
    def boom(event, actions):
        calls.append(event)
        len(3)

    with pytest.raises(ModRaisedError, match="object of type 'int' has no len"):
        play(boom, script="ab")

    assert len(calls) == 1


def test_exception_in_init_names_the_mod():
    @mod
    class Boom:
        def __init__(self):
            raise RuntimeError("kaput")

        def added(self, event, actions): ...

    with pytest.raises(ModRaisedError, match="'boom' raised RuntimeError at __init__"):
        play(Boom, script="ab")


def test_exception_without_text_names_the_mod():
    class BoomError(Exception):
        def __str__(self):
            return self.missing

    @mod(on=[Sampled])
    def boom(event, actions):
        raise BoomError

    with pytest.raises(ModRaisedError, match="'boom' raised BoomError at Sampled"):
        play(boom, script="ab")


def test_keyboard_interrupt_on_the_main_thread_is_raised():
    @mod(on=[Sampled])
    def interrupted(event, actions):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(interrupted, script="ab")


CALL = ToolCall(id="call_1", function=FunctionCall("f", "{}"))
MESSAGES = (
    Message(role="user", content="hi"),
    Message(role="assistant", tool_calls=(CALL, ToolCall(id="call_2", function=FunctionCall("g")))),
    Message(role="tool", tool_call_id="call_1", content="42"),
)


def test_mod_sees_its_conversation():
    seen = []

    @mod(on=[Added])
    def look(event, actions):
        seen.append((get_conversation(), get_schemas().tools, tool_call_pairs()))

    tools = (Tool(function=FunctionSchema(name="f")),)
    play(look, script="", messages=MESSAGES, schemas=Schemas(tools=tools))

    conversation, schemas, pairs = seen[0]
    assert (conversation, schemas) == (MESSAGES, tools)
    assert [(call.id, answer and answer.text) for call, answer in pairs] == [
        ("call_1", "42"),
        ("call_2", None),
    ]


def test_get_conversation_outside_of_a_handler_raises():
    with pytest.raises(RuntimeError, match="inside a mod's handler"):
        get_conversation()


def test_context_variables_are_separate_for_each_request():
    whose = ContextVar("whose")

    @mod
    class Whose:
        def prefilled(self, event, actions):
            whose.set(event.request_id)

        def added(self, event, actions):
            if whose.get() != event.request_id:
                return actions.emit_error("met another request")

    playings = [Playing([use(Whose)], Scene(script="ab")) for _ in range(2)]
    for playing in playings * 3:
        playing.step()

    assert [playing.finish().text for playing in playings] == ["ab", "ab"]
    assert whose.get(None) is None


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: CompletionText().encode("a"),
        lambda: json.loads("{"),
        lambda: np.zeros(3).reshape(2, 2),
        lambda: np.concatenate(np.zeros((2, 2)), axis=7),
    ],
)
def test_error_names_the_line_of_the_mod_not_of_what_it_called(wrong):
    @mod(on=[Sampled])
    def early(event, actions):
        wrong()

    with pytest.raises(ModRaisedError, match=r"test_instance\.py:\d+\)"):
        play(early, script="ab")


# Getting ready


def test_prepare_is_called_with_the_tokenizer_before_the_first_event():
    from concordance_sdk.testing import ByteTokenizer

    calls = []

    @mod
    class Ready:
        text: str = "Hi"

        def __init__(self):
            calls.append("__init__")

        def prepare(self, tokenizer):
            self.token_ids = tokenizer.encode(self.text)
            calls.append("prepare")

        def forward_pass(self, event, actions):
            calls.append("forward_pass")
            return actions.force_output(self.token_ids)

    assert play(Ready, script="x").text == "Hi"
    assert calls == ["__init__", "prepare", "forward_pass"]
    assert ByteTokenizer().encode("Hi") == [*b"Hi"]


@pytest.mark.parametrize("where", ["__init__", "prepare", "mods"])
def test_request_error_before_the_first_event_is_raised_unchanged(where):
    def fail(self):
        raise InvalidRequestError("no", param="response_format")

    methods = {"__init__": lambda self: None, "forward_pass": lambda self, event, actions: None}
    if where == "prepare":
        methods["prepare"] = lambda self, tokenizer: fail(self)
    elif where == "mods":
        methods["mods"] = fail
    else:
        methods["__init__"] = fail
    with pytest.raises(InvalidRequestError, match="no"):
        play(mod(type("Says", (), methods)), script="x")


def test_request_error_in_a_handler_is_an_error_of_the_mod():
    @mod
    class Late:
        def forward_pass(self, event, actions):
            raise InvalidRequestError("no")

    with pytest.raises(ModRaisedError, match="InvalidRequestError"):
        play(Late, script="x")


def test_exception_in_prepare_names_the_mod():
    @mod
    class Broken:
        def prepare(self, tokenizer):
            raise KeyError("x")

        def forward_pass(self, event, actions): ...

    with pytest.raises(ModRaisedError, match="'broken' raised KeyError at prepare"):
        play(Broken, script="x")


def test_prepare_with_other_arguments_is_rejected():
    with pytest.raises(ModDefinitionError, match=r"`prepare` takes \(self, tokenizer\)"):

        @mod
        class Odd:
            def prepare(self, event, actions): ...

            def forward_pass(self, event, actions): ...

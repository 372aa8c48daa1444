"""`Playing` a request step by step, and the two kinds of scripts."""

import pytest
from concordance_sdk import (
    Added,
    ForwardPass,
    Sampled,
    get_conversation,
    get_schemas,
    mod,
    use,
)
from concordance_sdk.testing import Playing, Scene, play
from concordance_shared import InvalidRequestError


def force_at(event_type, text):
    @mod(name="force", on=[event_type])
    def force(event, actions):
        if event.step == 0 and not getattr(event, "forced", False):
            return actions.force_tokens(text)

    return force


@pytest.mark.parametrize("event_type", [ForwardPass, Sampled])
def test_resuming_model_continues_after_forced_tokens(event_type):
    assert play(force_at(event_type, b"Hi "), says="you").text == "Hi you"
    assert play(force_at(event_type, b"Hi "), script="you").text == "Hi "


def test_resuming_model_does_not_repeat_backtracked_tokens():
    @mod(on=[Added])
    def drop(event, actions):
        if event.added_tokens == tuple(b"x"):
            return actions.backtrack(1)

    assert play(drop, says="axb").text == "ab"


def test_play_takes_either_script_or_says():
    for output in ({}, {"script": "a", "says": "b"}):
        with pytest.raises(TypeError, match="either `script` or `says`"):
            play(**output)


@pytest.mark.parametrize("max_tokens", [0, -1])
def test_max_tokens_is_at_least_one_as_in_the_server(max_tokens):
    with pytest.raises(InvalidRequestError, match=f"at least 1, not {max_tokens}") as caught:
        play(says="a", max_tokens=max_tokens)

    assert caught.value.param == "max_tokens"


@pytest.mark.parametrize(
    "output", [None, "a", {97: None}, {"a": 1.0}], ids=["nothing", "text", "no logit", "no id"]
)
def test_invalid_output_of_a_script_is_an_error_with_the_position(output):
    with pytest.raises(TypeError, match="at position 1 instead of a token id or logits"):
        play(script=lambda completion: output if completion else 97)
    with pytest.raises(TypeError, match="at position 1"):
        play(script=[97, output])


@mod(registered=False)
class Repeat:
    """Outputs the last message and the names of the tools."""

    def added(self, event, actions, tokenizer):
        names = [tool.function.name for tool in get_schemas().tools]
        return actions.force_output(
            [*tokenizer.encode(get_conversation()[-1].text + "".join(names))]
        )


def test_messages_and_schemas_can_be_mappings():
    parts = [{"type": "text", "text": "Hi "}, {"type": "text", "text": "you "}]
    tools = [{"type": "function", "function": {"name": "find"}}]
    messages = [{"role": "user", "content": parts}]

    assert play(Repeat, says="a", messages=messages, schemas={"tools": tools}).text == "Hi you find"


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"content": "Hi"}]}, "messages[0]"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": "Hi"}, "messages"),
        ({"schemas": {"tools": 1}}, "schemas.tools"),
    ],
)
def test_invalid_message_is_an_error_with_its_path(given, param):
    with pytest.raises(InvalidRequestError) as caught:
        play(says="a", **given)

    assert caught.value.param == param
    assert str(caught.value).startswith(f"{param}: ")


def test_script_function_can_return_logits():
    margins = []

    @mod(on=[ForwardPass])
    def look(event, actions):
        margins.append(event.logits.margin())

    def model(completion):
        return {ord("a"): 2.0, ord("b"): 1.5} if not completion else 256

    assert play(look, script=model).text == "a"
    assert margins == [0.5, 1.0]


def test_requests_can_be_interleaved():
    @mod
    class Count:
        def __init__(self):
            self.seen = 0

        def added(self, event, actions):
            self.seen += 1
            if self.seen == 3:
                return actions.force_output(b"three")

    playings = [Playing([use(Count)], Scene(script=script)) for script in ("abcde", "ab")]
    while not all(playing.is_over for playing in playings):
        for playing in playings:
            if not playing.is_over:
                playing.step()
    texts = [playing.finish().text for playing in playings]

    assert texts == ["three", "three"]


def test_every_request_has_its_own_id():
    assert play(says="").request_id != play(says="").request_id


def test_mods_can_have_their_own_parameters():
    @mod
    class Say:
        text: str

        def added(self, event, actions, tokenizer):
            if event.step == 0:
                return actions.force_tokens(tokenizer.encode(self.text))

    assert play(use(Say, text="1"), Say, parameters={"text": "2"}, says="ab").text == "a12b"


def test_cost_of_a_step_does_not_depend_on_the_vocabulary(monkeypatch):
    """The row of logits is never materialized, only the listed ones."""
    from concordance_sdk.testing import ByteTokenizer, ScriptedLogits

    class Large(ByteTokenizer):
        vocab_size = 200_000

    held = []
    plain = ScriptedLogits.__init__

    def init(self, *args, **options):
        plain(self, *args, **options)
        held.append(len(self._logits))

    monkeypatch.setattr(ScriptedLogits, "__init__", init)
    play(says="abc", tokenizer=Large())

    assert held == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": [1, 2]}, r"play: prompt is a text, not \[1, 2\]"),
        ({"max_tokens": "5"}, "play: max_tokens is a number of tokens, not '5'"),
        ({"max_tokens": True}, "play: max_tokens is a number"),
        ({"parameters": ["x"]}, "play: parameters is a mapping"),
        ({"tokenizer": "gpt2"}, r"play: tokenizer is an object such as FolderTokenizer\(path\)"),
        ({"messages": [{"role": "user", "contents": ""}]}, "did you mean 'content'"),
    ],
)
def test_arguments_of_a_wrong_type_are_rejected_by_their_names(options, message):
    with pytest.raises(InvalidRequestError, match=message):
        play(says="a", **options)


def test_fields_of_a_message_that_other_clients_add_are_ignored():
    message = {"role": "user", "content": "a", "refusal": None, "annotations": []}

    assert play(says="a", messages=[message]).text == "a"

"""The mod that enforces a request's output format, played on a scripted model."""

import json
import threading

import pytest
from concordance_inference.generation import ModCall
from concordance_inference.mods import format_mod
from concordance_inference.mods.format_mod import FormatMod, with_format
from concordance_inference.mods.json_schema import JsonSchemaMod
from concordance_inference.output_format import OutputFormat
from concordance_sdk import FinishReason, mod, use
from concordance_sdk.builtin import InjectAfterReasoning, InjectAtStart, StopAfterSentences
from concordance_sdk.composition import ModUse
from concordance_sdk.constraints import ChoicesStrat, constrain
from concordance_sdk.host import definition_of
from concordance_sdk.self_prompt import SelfPrompt
from concordance_sdk.testing import ByteTokenizer, play
from concordance_shared import ConstraintError, InvalidRequestError, SchemaError

YES_NO = OutputFormat(kind="choice", value=["yes", "no"], param="choice")
PERSON = OutputFormat(
    kind="json",
    value={
        "type": "object",
        "properties": {"name": {"type": "string", "pattern": "^[a-z]+$"}, "age": {"enum": [3]}},
        "required": ["name", "age"],
        "additionalProperties": False,
    },
    param="response_format.json_schema.schema",
)
OBJECT = OutputFormat(kind="json", value={"type": "object"}, param="response_format")
OPEN, CLOSE = 257, 258


class Thinking(ByteTokenizer):
    """Bytes, and a token for each tag around the reasoning."""

    vocab_size = 259

    def token_bytes(self, token_id):
        tags = {OPEN: b"<think>", CLOSE: b"</think>"}
        return tags.get(token_id) or super().token_bytes(token_id)

    def encode(self, text):
        before, opening, after = text.partition("<think>")
        if opening:
            return [*self.encode(before), OPEN, *self.encode(after)]
        before, closing, after = text.partition("</think>")
        if closing:
            return [*self.encode(before), CLOSE, *self.encode(after)]
        return super().encode(text)


def enforcing(output, *, opens=False):
    return ModUse(definition_of(FormatMod), {"output": output, "opens": opens})


@pytest.mark.parametrize(
    ("output", "says", "text"),
    [
        (YES_NO, "nein", "no"),
        (OutputFormat(kind="regex", value="[0-9]{3}", param="regex"), "123456", "123"),
        (OutputFormat(kind="regex", value="^[ab]{2}$", param="regex"), "abab", "ab"),
        (
            OutputFormat(kind="grammar", value='start: "a" B\nB: /[bc]/', param="grammar"),
            "c",
            "ac",
        ),
        (PERSON, 'ada"', '{"name": "ada", "age": 3}'),
    ],
)
def test_each_kind_of_format_is_enforced_from_the_first_token(output, says, text):
    played = play(enforcing(output), says=says)

    assert (played.text, played.finish_reason) == (text, FinishReason.STOP)


def test_json_object_is_any_object():
    assert play(enforcing(OBJECT), script='{"a": [1]}').text == '{"a": [1]}'


def test_a_document_that_is_cut_ends_by_length():
    played = play(enforcing(PERSON), script="___ada", max_tokens=5)

    assert played.finish_reason is FinishReason.LENGTH


# Reasoning


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(), Thinking()])
def test_the_format_begins_after_a_reasoning_that_the_prompt_opened(tokenizer):
    played = play(
        enforcing(YES_NO, opens=True),
        says=tokenizer.encode("maybe { yes no</think>nothing"),
        prompt="ask<think>\n",
        tokenizer=tokenizer,
    )

    assert played.text == "maybe { yes no</think>no"


def test_the_format_begins_after_a_reasoning_that_the_model_opens():
    tokenizer = Thinking()
    played = play(
        enforcing(YES_NO), says=tokenizer.encode("<think>hm</think>nn"), tokenizer=tokenizer
    )

    assert played.text == "<think>hm</think>no"


def test_a_model_that_could_reason_may_begin_the_text_at_once():
    assert play(enforcing(YES_NO), says="nn", tokenizer=Thinking()).text == "no"


def test_a_reasoning_does_not_begin_where_the_prompt_closed_it():
    tokenizer = Thinking()
    played = play(
        enforcing(YES_NO),
        script=lambda ids: {OPEN: 9.0, ord("n"): 1.0},
        prompt="ask<think>\n\n</think>\n\n",
        tokenizer=tokenizer,
    )

    assert played.text == "no"


def test_the_completion_cannot_end_within_the_reasoning():
    tokenizer = Thinking()
    played = play(
        enforcing(YES_NO, opens=True),
        script=lambda ids: {256: 9.0, CLOSE: 8.0},
        prompt="<think>",
        tokenizer=tokenizer,
    )

    assert played.text in ("</think>yes", "</think>no")


def test_tags_within_a_document_are_text():
    tokenizer = Thinking()
    anything = OutputFormat(kind="json", value={"type": "string"}, param="guided_json")
    played = play(enforcing(anything), says=b'"<think>a</think>"', tokenizer=tokenizer)

    assert json.loads(played.text) == "<think>a</think>"


@pytest.mark.parametrize(
    ("tokenizer", "opens", "held"),
    [(ByteTokenizer(), False, 0), (ByteTokenizer(), True, 4), (Thinking(), True, 0)],
)
def test_a_stream_holds_back_only_a_tag_that_may_end_inside_a_token(tokenizer, opens, held):
    format_mod_ = FormatMod()
    format_mod_.output, format_mod_.opens = YES_NO, opens
    format_mod_.prepare(tokenizer)

    assert format_mod_.max_backtrack == held


# Beside other mods


def test_a_mod_may_force_text_that_the_format_allows():
    start = use(InjectAtStart, text='{"name": "ada')

    assert play(start, enforcing(PERSON), says='"').text == '{"name": "ada", "age": 3}'


@pytest.mark.parametrize(
    "violating",
    [use(InjectAtStart, text="Sure: "), use(InjectAfterReasoning, text="Sure: ")],
)
def test_a_text_of_a_mod_that_violates_the_format_is_an_error(violating):
    with pytest.raises(ConstraintError) as caught:
        play(
            violating,
            enforcing(YES_NO, opens=True),
            says=Thinking().encode("hm</think>"),
            prompt="<think>" if violating.definition.name.startswith("inject_after") else "",
            tokenizer=Thinking(),
        )

    assert caught.value.message.startswith("choice: ")
    assert (
        "does not allow 'Sure: ' after ''; a mod of the request forced it" in caught.value.message
    )
    assert (caught.value.mod, caught.value.param) == ("choice", "choice")


def test_a_mod_cannot_end_the_completion_within_a_document():
    with pytest.raises(ConstraintError, match="response_format: "):
        play(StopAfterSentences, enforcing(OBJECT), script='{"a": "One. Two.')


def test_a_mod_that_backtracks_rewinds_the_format():
    @mod(max_backtrack=None)
    class Again:
        def __init__(self):
            self.done = False

        def added(self, event, actions):
            if not self.done and event.step + len(event.added_tokens) >= 12:
                self.done = True
                return actions.backtrack(event.step + len(event.added_tokens))

    played = play(Again, enforcing(PERSON), says='ada"', max_tokens=100)

    assert json.loads(played.text)["age"] == 3


def test_constraints_of_mods_hold_beside_the_format():
    only_no = constrain(ChoicesStrat(["no", "none"]), name="only_no")

    assert play(only_no, enforcing(YES_NO), says="yy").text == "no"


def test_the_format_waits_for_a_question_that_is_erased():
    @mod(max_backtrack=None)
    class Asks:
        def parts(self):
            question = SelfPrompt(
                prompt="Sure? ", constraint=ChoicesStrat(["yes", "no"]), erase="all"
            )
            return [question]

    played = play(Asks, enforcing(PERSON), says='yada"')

    assert json.loads(played.text)["age"] == 3


# Requests


def test_the_format_acts_after_the_mods_of_the_request():
    calls = with_format([call(InjectAtStart)], YES_NO, opens=False)

    assert [one.name for one in calls] == ["inject_at_start", "choice"]


def call(target):
    definition = definition_of(target)
    return ModCall(definition=definition, parameters={}, name=definition.name)


def test_a_mod_that_enforces_the_response_format_replaces_the_engines():
    calls = with_format([call(JsonSchemaMod)], PERSON, opens=False)

    assert [one.name for one in calls] == ["json_schema"]
    assert len(with_format([call(JsonSchemaMod)], YES_NO, opens=False)) == 2
    assert with_format([], None, opens=False) == ()


@pytest.mark.parametrize(
    ("output", "error", "words"),
    [
        (OutputFormat(kind="regex", value="(", param="regex"), InvalidRequestError, "unclosed"),
        (
            OutputFormat(kind="regex", value="(?=a)", param="guided_regex"),
            InvalidRequestError,
            "look",
        ),
        (
            OutputFormat(kind="grammar", value='root ::= "a"', param="guided_grammar"),
            InvalidRequestError,
            "Lark's syntax",
        ),
        (
            OutputFormat(kind="grammar", value="start: nothing", param="grammar"),
            InvalidRequestError,
            "nothing",
        ),
        (
            OutputFormat(
                kind="json", value={"properties": {"a": {"type": "int"}}}, param="guided_json"
            ),
            SchemaError,
            "(at #/properties/a/type)",
        ),
        (
            OutputFormat(kind="json", value="{", param="structured_outputs.json"),
            SchemaError,
            "not JSON",
        ),
    ],
)
def test_a_format_that_cannot_be_enforced_is_refused_before_prefill(output, error, words):
    with pytest.raises(error) as caught:
        play(enforcing(output), script="")

    assert caught.value.message.startswith(f"{output.param}: ")
    assert words in caught.value.message
    assert (caught.value.param, caught.value.status_code) == (output.param, 400)


def test_a_format_that_takes_too_long_to_compile_is_refused(monkeypatch):
    is_over = threading.Event()
    monkeypatch.setattr(format_mod, "COMPILE_S", 0.05)
    monkeypatch.setattr(format_mod, "compile_constraint", lambda *_: is_over.wait(60))

    with pytest.raises(InvalidRequestError, match=r"choice: it takes more than 0\.05 s to compile"):
        play(enforcing(YES_NO), script="")
    is_over.set()
    for thread in threading.enumerate():
        if thread.name == "time-limited":
            thread.join()

"""Formats that the engine enforces on a random model: the hardest judge."""

import asyncio
import json
import re

import pytest
from concordance_inference import LLM
from concordance_inference.generation import Completed, ModCall, SamplingParams
from concordance_inference.output_format import OutputFormat
from concordance_inference.reasoning import after_reasoning, is_closed, opened_tag
from concordance_inference.runtime import Runtime
from concordance_sdk import mod
from concordance_sdk.constraints import allows
from concordance_sdk.host import definition_of
from concordance_shared import ConstraintError
from sandboxes import mod_catalog
from tiny_folder import write_thinking_folder, write_tiny_folder

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
    },
    "required": ["name", "tags"],
    "additionalProperties": False,
}


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
    return write_tiny_folder(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(name="runtime", scope="module")
def _runtime(folder):
    with Runtime(str(folder), mod_catalog(), progress=lambda _: None) as runtime:
        yield runtime


def completed(runtime, prompt, seed, output, *, bias=None, **options):
    sampling = SamplingParams(temperature=1.0, seed=seed, logit_bias=bias or {})
    request = runtime.request(prompt, output=output, sampling=sampling, max_tokens=90, **options)
    *_, last = runtime.submit(runtime.prepare(request))
    assert isinstance(last, Completed)
    return last


@pytest.mark.parametrize(
    "output",
    [
        OutputFormat(kind="json", value=PERSON, param="response_format"),
        OutputFormat(kind="json", value={"type": "object"}, param="response_format"),
        OutputFormat(kind="regex", value="[a-f]{3,9}(-[0-9]+)?", param="regex"),
        OutputFormat(kind="choice", value=["yes", "yes, please", "no"], param="choice"),
        OutputFormat(kind="grammar", value='start: "(" start ")" | "x"', param="grammar"),
    ],
    ids=lambda output: f"{output.kind}-{output.param}",
)
def test_no_finished_completion_violates_its_format(runtime, output):
    ended = [completed(runtime, "hi", seed, output) for seed in range(12)]
    finished = [end.text for end in ended if end.finish_reason == "stop"]

    assert finished
    assert {end.finish_reason for end in ended} <= {"stop", "length"}
    assert [text for text in finished if not allows(output.constraint(), text)] == []


@pytest.mark.parametrize("stream", [False, True])
def test_the_format_begins_after_the_reasoning_of_a_random_model(runtime, stream):
    digits = OutputFormat(kind="regex", value="[0-9]{2}", param="regex")
    ended = [completed(runtime, "hi<think>", seed, digits, stream=stream) for seed in range(3)]

    for end in ended:  # the tag is improbable: the reasoning takes the whole budget
        _, closing, after = end.text.partition("</think>")
        assert re.fullmatch("[0-9]{2}", after) if closing else end.finish_reason == "length"


@pytest.fixture(name="thinking", scope="module")
def _thinking(tmp_path_factory):
    """A random model whose tokenizer has a token for each tag, in place of two unused bytes."""
    folder = write_thinking_folder(tmp_path_factory.mktemp("thinking") / "tiny")
    with Runtime(str(folder), mod_catalog(), progress=lambda _: None) as runtime:
        yield runtime


@pytest.mark.parametrize("prompt", ["hi", "hi<think>", "hi<think></think>"])
def test_a_random_model_reasons_before_its_document_or_not_at_all(thinking, prompt):
    """Its tokens for the tags are made probable; its documents must follow the format."""
    opening, closing = thinking.loaded.tokenizer.encode("<think></think>")
    output = OutputFormat(kind="regex", value="[a-f]{3}(-[0-9]+)?", param="regex")
    thoughts = set()
    for seed in range(12):
        end = completed(thinking, prompt, seed, output, bias={opening: 4.0, closing: 3.0, 256: 2.0})
        text = after_reasoning(end.text, opens=prompt == "hi<think>")
        thoughts.add(end.text != text)
        assert end.finish_reason == "length" or output.allows(text), end.text

    assert thoughts == {"hi": {True, False}, "hi<think>": {True}}.get(prompt, {False})


def test_llm_enforces_a_response_format(folder):
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": PERSON}}
    with LLM(folder) as llm:
        completion = llm.chat("hi", response_format=form, temperature=1.0, seed=3, max_tokens=90)

    assert list(json.loads(completion.text)) == ["name", "tags"]


@mod(name="replaces", registered=False, max_backtrack=None)
class Replaces:
    """Sets the whole output."""

    text: str

    def added(self, event, actions, tokenizer):
        return actions.force_output(tokenizer.encode(self.text))


def replacing(text):
    definition = definition_of(Replaces)
    return (ModCall(definition=definition, parameters={"text": text}, name="replaces"),)


@pytest.mark.parametrize("is_async", [False, True])
def test_an_output_that_a_mod_sets_has_to_follow_the_format(runtime, is_async):
    output = OutputFormat(kind="json", value=PERSON, param="guided_json")
    mods = replacing('{"name":"a","tags":[]}')
    assert completed(runtime, "hi", 1, output, mods=mods).text == '{"name":"a","tags":[]}'

    request = runtime.request("hi", output=output, mods=replacing("I cannot."))
    request = runtime.prepare(request)
    if is_async:
        error = asyncio.run(last_update(runtime, request)).error
    else:
        with pytest.raises(ConstraintError) as caught:
            list(runtime.submit(request))
        error = caught.value

    assert error.message.startswith("guided_json: it does not allow the completion 'I cannot.'")
    assert (error.param, error.status_code) == ("guided_json", 422)


async def last_update(runtime, request):
    return [update async for update in runtime.generate(request)][-1]


def test_a_stop_string_may_end_a_document(runtime):
    output = OutputFormat(kind="choice", value=["yes, please"], param="choice")
    ended = completed(runtime, "hi", 1, output, stop=(",",))

    assert (ended.text, ended.finish_reason) == ("yes", "stop")


def test_text_after_a_reasoning_that_never_ends_is_none():
    assert after_reasoning("hm", opens=True) is None
    assert after_reasoning("[THINK]hm", opens=False) is None
    assert after_reasoning("<think>hm</think>{}", opens=False) == "{}"


def test_an_open_or_closed_reasoning_is_found_at_the_end_of_the_prompt():
    assert opened_tag("user: <think> why?") is None
    assert opened_tag("[THINK]\n") == ("[THINK]", "[/THINK]")
    assert is_closed("a<think></think>\n")
    assert not is_closed("</think> hi")

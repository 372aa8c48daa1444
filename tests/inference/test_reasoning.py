"""Reasoning: its tags, its tokens, and its budget on a random model."""

import pytest
from concordance_inference.chat.reasoning_choice import ReasoningChoice
from concordance_inference.generation import Completed, SamplingParams
from concordance_inference.output_format import OutputFormat
from concordance_inference.reasoning import (
    Reasoning,
    marker_ids,
    num_reasoning_tokens,
    tags_of,
)
from concordance_inference.runtime import Runtime
from concordance_sdk.builtin import InjectAfterReasoning
from concordance_shared import Message
from sandboxes import mod_catalog
from tiny import call
from tiny_folder import write_thinking_folder

THINK = ("<think>", "</think>")
TAGGED = Reasoning(tags=(THINK,))
OPENED = Reasoning(tags=(THINK,), opened=THINK)
OPENS = "{% for m in messages %}{{ m.content }}|{% endfor %}a:<think>"
ASK = (Message(role="user", content="hi"),)


@pytest.mark.parametrize(
    ("tokens", "reasoning", "count"),
    [
        (["<think>", "so", " 4", "</think>", "4"], TAGGED, 2),
        (["\n", "<think>", "so"], TAGGED, 1),
        (["4", "<think>", "so", "</think>"], TAGGED, 0),
        (["<th", "ink>s", "o</", "think>4"], TAGGED, 2),
        (["so", "</think>", "4"], OPENED, 1),
        (["<think>", "so", "</think>", "4"], OPENED, 1),
        (["</think>", "4"], OPENED, 0),
        ([], OPENED, 0),
        (["so"], Reasoning(tags=()), 0),
    ],
)
def test_tokens_inside_the_tags_are_counted(tokens, reasoning, count):
    assert num_reasoning_tokens([token.encode() for token in tokens], reasoning) == count


class Tokens:
    """A tokenizer with tokens for some texts, and one for each other character."""

    special_token_ids = frozenset({0})
    eos_token_ids = frozenset()

    def __init__(self, *names):
        self.names = names
        self.added_token_ids = frozenset(range(len(names)))

    def encode(self, text):
        found = [i for i, name in enumerate(self.names) if name in text]
        return [*found, *(1000 + ord(char) for char in text)]


@pytest.mark.parametrize(
    ("names", "template", "openings"),
    [
        (["<think>", "</think>"], "", ["<think>"]),
        ([], "{{ content.split('</think>') }}", ["<think>"]),
        (["<|channel>", "<channel|>"], "", ["<|channel>thought"]),
        (["<channel|>"], "<|user|>{{ content }}<channel|>", []),
        ([], "Write after 'Here is my response:'", ["Here is my thought process:"]),
        ([], "{{ content }}", []),
    ],
)
def test_the_tags_of_a_model_are_in_its_vocabulary_or_its_template(names, template, openings):
    assert [opening for opening, _ in tags_of(Tokens(*names), template)] == openings


def test_special_tokens_of_tags_are_markers():
    names = ("<|channel>", "<|end|>")

    assert marker_ids(Tokens(*names), [("<|channel>thought", "<|end|>")]) == (0,)
    assert marker_ids(Tokens(*names), []) == ()


def started(folder):
    return Runtime(str(folder), mod_catalog(), progress=lambda _: None)


@pytest.fixture(name="opening", scope="module")
def _opening(tmp_path_factory):
    """A model whose template opens the reasoning, with tags that are special tokens."""
    folder = tmp_path_factory.mktemp("opening") / "tiny"
    tags = ("[THINK]", "[/THINK]")
    template = OPENS.replace("<think>", "[THINK]")
    with started(write_thinking_folder(folder, tags, special=True, template=template)) as runtime:
        yield runtime


@pytest.fixture(name="thinking", scope="module")
def _thinking(tmp_path_factory):
    """A model that may begin a reasoning itself, and whose template has no switch."""
    with started(write_thinking_folder(tmp_path_factory.mktemp("thinking") / "tiny")) as runtime:
        yield runtime


def submit(runtime, *, seed=0, budget=None, bias=None, **options):
    sampling = SamplingParams(temperature=1.0, seed=seed, logit_bias=bias or {})
    choice = ReasoningChoice(max_tokens=budget)
    request = runtime.request(ASK, sampling=sampling, max_tokens=40, reasoning=choice, **options)
    return runtime.submit(runtime.prepare(request))


def end_of(running):
    *_, last = running
    assert isinstance(last, Completed)
    return last


def ascii_only(runtime):
    """A bias under which each token is a whole character, and none ends the completion."""
    letters = {runtime.loaded.tokenizer.encode(char)[0] for char in "abcdefgh \n"}
    return {token_id: -100.0 for token_id in range(257) if token_id not in letters}


@pytest.mark.parametrize("budget", [0, 1, 7])
def test_a_budget_ends_the_reasoning_after_exactly_its_tokens(opening, budget):
    end = end_of(submit(opening, budget=budget, bias=ascii_only(opening)))
    [closing] = opening.loaded.tokenizer.encode("[/THINK]")

    assert end.token_ids.index(closing) == budget
    assert end.reasoning_tokens == budget
    assert end.completion_tokens == 40
    assert end.forced_by[budget] == "reasoning_budget"


def test_each_request_of_a_batch_has_its_own_budget(opening):
    bias = ascii_only(opening)
    running = [submit(opening, seed=i, budget=i, bias=bias) for i in range(6)]
    ends = [end_of(each) for each in running]
    alone = [end_of(submit(opening, seed=i, budget=i, bias=bias)) for i in range(6)]

    assert [end.reasoning_tokens for end in ends] == list(range(6))
    assert [end.token_ids for end in ends] == [end.token_ids for end in alone]


def test_without_a_budget_reasoning_continues_and_is_counted(opening):
    end = end_of(submit(opening, bias=ascii_only(opening)))

    assert end.reasoning_tokens == end.completion_tokens == 40


def test_tags_that_are_special_tokens_are_part_of_the_text(opening):
    end = end_of(submit(opening, budget=3, bias=ascii_only(opening)))

    assert end.text[3:11] == "[/THINK]"


def test_a_model_without_a_switch_has_its_reasoning_ended_at_once(thinking):
    opening, closing = thinking.loaded.tokenizer.encode("<think></think>")
    bias = {**ascii_only(thinking), opening: 100.0}
    end = end_of(submit(thinking, budget=0, bias=bias))

    assert end.token_ids[:2] == (opening, closing)
    assert end.reasoning_tokens == 0


@pytest.mark.parametrize("stream", [False, True])
def test_stop_strings_of_a_chat_count_in_its_content_only(opening, stream):
    bias = {**ascii_only(opening), opening.loaded.tokenizer.encode("a")[0]: 100.0}
    end = end_of(submit(opening, budget=3, bias=bias, stop=("a",), stream=stream))

    assert (end.text, end.stopped_by) == ("aaa[/THINK]", "a")
    assert end.completion_tokens == 5


def test_stop_strings_of_a_text_prompt_count_everywhere(opening):
    bias = {**ascii_only(opening), opening.loaded.tokenizer.encode("a")[0]: 100.0}
    sampling = SamplingParams(temperature=0.0, logit_bias=bias)
    request = opening.request("hi[THINK]", sampling=sampling, max_tokens=9, stop=("a",))
    end = end_of(opening.submit(opening.prepare(request)))

    assert (end.text, end.completion_tokens) == ("", 1)


def test_reasoning_that_a_mod_prolongs_is_counted_without_what_it_backtracked(opening):
    [closing] = opening.loaded.tokenizer.encode("[/THINK]")
    wait = call(InjectAfterReasoning, text="wait", where="inside", close_tag="[/THINK]")
    bias = {**ascii_only(opening), closing: 3.0}
    for seed in range(3):
        end = end_of(submit(opening, seed=seed, bias=bias, mods=(wait,)))
        closings = [i for i, token_id in enumerate(end.token_ids) if token_id == closing]
        assert end.backtracked_tokens
        assert end.reasoning_tokens == (closings[0] if closings else end.completion_tokens)


def test_a_format_begins_after_the_reasoning_that_a_budget_ended(opening):
    output = OutputFormat(kind="regex", value="[a-c]{3}", param="regex")
    end = end_of(submit(opening, budget=5, output=output, bias=ascii_only(opening)))

    assert end.reasoning_tokens == 5
    assert end.text[5:13] == "[/THINK]"
    assert output.allows(end.text[13:])

"""The figures of gpt-oss: a scripted conversation of a tiny one. No time is asserted."""

import msgspec
import pytest
from concordance_inference.bench.cases import harmony
from concordance_inference.bench.harmony_conversation import (
    TOOLS,
    HarmonyConversation,
    generated,
)
from concordance_inference.bench.scripted_gpt_oss import ScriptedModel
from concordance_shared import Schemas


@pytest.fixture(name="model", scope="module")
def _model():
    return ScriptedModel(num_hidden_layers=2, hidden_size=16)


def conversation_of(model):
    return HarmonyConversation(model, model.engine(prefix_bytes=None), num_words=2)


@pytest.fixture(name="turns", scope="module")
def _turns(model):
    conversation = conversation_of(model)
    return [conversation.turn() for _ in range(2)]


def test_each_turn_reasons_calls_the_tool_and_answers(turns):
    for turn in turns:
        called, answered = (
            [type(part).__name__ for part in one.parts] for one in (turn.call, turn.answer)
        )
        assert "ReasoningText" in called
        assert called[-1] == "CallEnded"
        assert "ReasoningText" in answered
        assert answered[-1] == "ContentText"


def test_the_conversation_is_always_the_same(model, turns):
    again = conversation_of(model).turn()

    assert again.call.completed.token_ids == turns[0].call.completed.token_ids
    assert again.num_new == turns[0].num_new


def test_turns_read_what_is_new(turns):
    for turn in turns:
        assert turn.num_read <= 1.02 * turn.num_new + 16
        assert turn.num_new < turn.answer.completed.prompt_tokens


def test_the_last_completion_can_be_generated_again(model):
    first = conversation_of(model).turn().answer
    again = generated(model.engine(), first.request)

    assert again.completed.token_ids == first.completed.token_ids


def test_the_conversation_has_figures_per_turn_and_reasons_for_what_is_missing(model):
    figures = list(harmony.conversation_figures(model, num_turns=2, num_words=2, rounds=1))

    assert len({figure.name for figure in figures}) == len(figures)
    read = [figure for figure in figures if "tokens read" in figure.name]
    assert len(read) == 2
    assert all(figure.meets_target for figure in read)
    assert all((figure.value is None) == bool(figure.missing) for figure in figures)
    assert msgspec.json.decode(msgspec.json.encode(figures), type=list[type(figures[0])]) == figures


@pytest.mark.parametrize("schemas", [Schemas(), TOOLS])
def test_the_layer_is_compared_with_the_same_completion_as_plain_text(model, schemas):
    against, above = harmony.layer_figures(model, "x", schemas, rounds=1)

    assert against.baseline > 0
    assert above.target == 5


def test_the_splitter_is_timed():
    assert harmony.splitter_us() > 0

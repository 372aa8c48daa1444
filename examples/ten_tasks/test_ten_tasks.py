"""Each of the ten tasks with a scripted model."""

import json
from types import SimpleNamespace

import pytest
from budget_forcing import budget_forcing
from competitor import Competitor
from concordance_sdk import mod, use
from concordance_sdk.testing import play
from cooler import Cooler
from label import label
from probabilities import probabilities
from router import router
from second_turn import second_turn
from self_check import self_check
from two_sentences import two_sentences
from watermark import Watermark, z_score

USER = {"role": "user", "content": "What is 12 * 7?"}
ASSISTANT = {"role": "assistant", "content": "84."}
streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@streamed
def test_competitor_is_replaced_as_a_whole_word(stream):
    played = play(Competitor, says="In Paris, Parisians.", stream=stream)
    assert played.text == "In our product, Parisians."


def test_label_is_json_of_which_most_is_forced():
    played = play(label, says="ne90\n")
    assert json.loads(played.text) == {"label": "negative", "confidence": 90}
    assert played.num_forced > len(played.text) / 2


@streamed
@pytest.mark.parametrize(
    ("count", "text"), [(1, "It is 3.5 km."), (2, "It is 3.5 km. Not far!"), (9, None)]
)
def test_completion_ends_after_some_sentences(count, text, stream):
    says = "It is 3.5 km. Not far! Go on."
    played = play(use(two_sentences, count=count), says=says, stream=stream)
    assert (played.text, played.finish_reason) == (text or says, "stop")


@streamed
def test_reasoning_continues_twice_where_the_model_would_end_it(stream):
    says = "<think>4</think> or 5</think> no, 4</think>4"
    played = play(budget_forcing, says=says, stream=stream)
    assert played.text == "<think>4 Wait, or 5 Wait, no, 4</think>4"


def test_completion_continues_twice_where_the_model_would_end_it():
    assert play(budget_forcing, says="4<eos> or 5<eos>").text == "4 Wait, or 5 Wait,"
    assert play(budget_forcing, says="It is 4", max_tokens=4).text == "It i"


@streamed
@pytest.mark.parametrize(
    ("verdict", "text"),
    [("y", "It is 41."), ("n", "Let me think again: 51.")],
    ids=["correct", "wrong"],
)
def test_answer_is_written_again_if_it_is_wrong(verdict, text, stream):
    played = play(self_check, says=f"It is 41.<eos>{verdict} 51.", stream=stream)
    assert (played.text, played.finish_reason) == (text, "stop")


@pytest.mark.parametrize(("entropy", "temperature"), [(0.5, None), (2.5, 0.3)])
def test_temperature_is_lower_only_where_the_model_is_unsure(entropy, temperature):
    class Spied(Cooler):
        """Keeps what the mod does at each position."""

        def forward_pass(self, event, actions):
            event = SimpleNamespace(logits=SimpleNamespace(entropy=lambda: entropy))
            action = super().forward_pass(event, actions)
            temperatures.append(action and action.token_temp)
            return action

    temperatures = []
    play(mod(registered=False)(Spied), says="a", max_tokens=1)
    assert temperatures == [temperature]


def test_detector_finds_the_watermark_only_in_a_marked_text():
    marked = play(Watermark, script=uncertain, max_tokens=60)
    plain = play(script=uncertain, max_tokens=60)

    assert z_score(marked.token_ids, 257) > 4
    assert abs(z_score(plain.token_ids, 257)) < 2
    assert z_score(marked.token_ids[:1], 257) == 0


def uncertain(completion):
    """A model that prefers one of 64 bytes by little, another one at each position."""
    return {byte: 1.0 + (byte * 37 + len(completion) * 11) % 64 / 64 for byte in range(64, 128)}


@pytest.mark.parametrize(("letter", "tool"), [("c", "calculator"), ("s", "search")])
def test_question_is_sent_to_the_tool_that_the_model_chooses(letter, tool):
    played = play(router, says=letter, messages=[USER])

    (call,) = played.tool_calls
    assert call.function.name == tool
    assert json.loads(call.function.arguments) == {"query": "What is 12 * 7?"}
    assert played.text == ""


def test_router_works_without_a_conversation():
    (call,) = play(use(router, tools=["search", "none"]), says="n").tool_calls
    assert (call.function.name, call.function.arguments) == ("none", '{"query":""}')


def test_summary_of_probabilities_is_reported_beside_the_text():
    def model(completion):
        return {256: 30.0} if len(completion) == 2 else {97: 30.0, 98: 30.0 - len(completion) * 40}

    played = play(probabilities, script=model)

    (report,) = played.reports
    assert played.text == "aa"
    assert report.data["tokens"] == 2
    assert report.data["least"] == pytest.approx(0.5)
    assert report.data["mean"] == pytest.approx(0.75)


def test_only_a_second_answer_begins_with_the_opening():
    assert play(second_turn, says=" 84.", messages=[USER]).text == " 84."
    later = play(second_turn, says=" 84.", messages=[USER, ASSISTANT, USER])
    assert later.text == "As I said before: 84."

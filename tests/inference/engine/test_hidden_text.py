"""Text that is never shown: the questions of erased self-prompts, in the engine."""

import pytest
from concordance_sdk import ForwardPass, mod
from concordance_sdk.constraints import Regex
from concordance_sdk.self_prompt import SelfPrompt
from tiny import ask, call, make_engine, run


def asks_after(num_tokens, erase, answer="[0-9]{4}"):
    @mod(name="asks")
    class Asks:
        def __init__(self):
            self.prompt = SelfPrompt(prompt=" Sure? ", constraint=Regex(answer), erase=erase)

        def forward_pass(self, event, actions, tokenizer):
            if event.step < num_tokens:
                return actions.adjust_logits(allow=b"abc")
            return self.prompt.forward_pass(event, actions, tokenizer)

        def added(self, event, actions, tokenizer):
            return self.prompt.added(event, actions, tokenizer)

    return call(Asks)


def text_of(request):
    answer = run(make_engine(), request)
    assert not request.stream or answer.shown == answer.end.text
    return answer.end.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("max_tokens", range(1, 14))
def test_erased_question_is_not_shown_wherever_the_budget_ends(max_tokens, stream):
    text = text_of(ask("Hi", asks_after(3, "all"), max_tokens=max_tokens, stream=stream))
    assert len(text) == min(max_tokens, 3)
    assert set(text) <= set("abc")


@pytest.mark.parametrize("stream", [False, True])
def test_partial_answer_is_shown_without_its_erased_question(stream):
    text = text_of(ask("Hi", asks_after(3, "prompt"), max_tokens=12, stream=stream))
    assert len(text) == 5
    assert text[3:].isdigit()


@pytest.mark.parametrize(
    "fields",
    [{}, {"stream": True}, {"stream": True, "include_retractions": True}],
    ids=["whole", "stream", "retractions"],
)
def test_stop_string_inside_an_erased_question_does_not_end_the_request(fields):
    stopped = text_of(ask("Hi", asks_after(3, "all"), max_tokens=14, stop=("ure?",), **fields))
    assert stopped == text_of(ask("Hi", asks_after(3, "all"), max_tokens=14))


def test_logprobs_of_a_partial_answer_match_those_of_the_text_without_its_question():
    answer = run(make_engine(), ask("Hi", asks_after(3, "prompt"), max_tokens=12, top_logprobs=0))

    @mod(on=[ForwardPass])
    def forces(event, actions):
        return actions.force_tokens(answer.ids)

    again = ask("Hi", call(forces), max_tokens=len(answer.ids), top_logprobs=0)
    ours, theirs = (
        [entry.logprob for entry in each.end.logprobs]
        for each in (answer, run(make_engine(), again))
    )
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert len(ours) == 5

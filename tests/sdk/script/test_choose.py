import math

import pytest
from concordance_sdk import Prefilled, mod
from concordance_sdk.testing import play
from concordance_shared import ModRaisedError

TEXTS = ["yes", "no", "not sure", "yesterday"]


def chosen(texts, model, *, before="", max_tokens=64, stream=False):
    results = []

    @mod
    def script(run):
        yield run.force(before or "Q: ")
        results.append((yield run.choose(texts)))
        yield run.force("!")

    return results, play(script, script=model, max_tokens=max_tokens, stream=stream)


def prefers(weights):
    """A model whose next letter has the logits of `weights`, by the text so far."""

    def model(completion):
        text = bytes(i for i in completion if i < 256).decode().removeprefix("Q: ")
        logits = {}
        for word, weight in weights.items():
            if word.startswith(text) and len(word) > len(text):
                token_id = ord(word[len(text)])
                logits[token_id] = max(weight, logits.get(token_id, 0.0))
        return logits or 256

    return model


def probability(texts, model, text):
    """The probability of a text and of none of those that continue it, by brute force."""

    def after(prefix):
        logits = model(list(f"Q: {prefix}".encode()))
        row = [0.0] * 257
        if isinstance(logits, dict):
            for token_id, logit in logits.items():
                row[token_id] = logit
        else:
            row[logits] = 1.0
        total = math.log(sum(map(math.exp, row)))
        return [logit - total for logit in row]

    total = sum(after(text[:i])[ord(text[i])] for i in range(len(text)))
    longer = {other[len(text)] for other in texts if other != text and other.startswith(text)}
    return math.exp(total) * (1 - sum(math.exp(after(text)[ord(each)]) for each in longer))


@pytest.mark.parametrize("best", TEXTS)
@pytest.mark.parametrize("stream", [False, True])
def test_most_probable_text_is_appended(best, stream):
    weights = dict.fromkeys(TEXTS, 1.0) | {best: 9.0}
    results, played = chosen(TEXTS, prefers(weights), stream=stream)
    assert results[0] == best
    assert played.text.startswith(f"Q: {best}!")


def test_probabilities_are_those_of_the_model_and_sum_to_1():
    model = prefers({"yes": 4.0, "no": 5.0, "not sure": 4.5, "yesterday": 6.0})
    results, _ = chosen(TEXTS, model)
    exact = [probability(TEXTS, model, text) for text in TEXTS]
    assert results[0].probabilities == pytest.approx([each / sum(exact) for each in exact])
    assert results[0] == TEXTS[exact.index(max(exact))]
    assert sum(results[0].logprobs) <= 0


def test_texts_that_begin_alike_share_forward_passes():
    _, played = chosen(["abcd", "abce"], prefers({}))
    # the prompt, "Q: ", then "a", "ab", "abc", and the chosen text with "!"
    assert played.passes <= 1 + 1 + 3 + 1 + 1


def test_nothing_is_shown_if_the_budget_ends_inside():
    for max_tokens in range(3, 8):
        results, played = chosen(TEXTS, prefers({"yesterday": 9.0}), max_tokens=max_tokens)
        assert results or played.text == "Q: "


@pytest.mark.parametrize("texts", [[], ["one"], "one", ["a", "a"], ["a", ""], ["a", 3], 4])
def test_wrong_texts_are_refused(texts):
    with pytest.raises(ModRaisedError, match="choose"):
        chosen(texts, prefers({}))


def test_request_that_ends_before_the_step_starts_closes_the_script():
    @mod
    def script(run):
        try:
            yield run.choose(["a", "b"])
        finally:
            run.report(over=True)

    ends_first = mod(on=[Prefilled])(lambda event, actions: actions.force_output([97]))
    assert play(script, ends_first, says="").reports[0].data == {"over": True}

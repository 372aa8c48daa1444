"""`banned_strings`: texts that a completion never contains, and what streams hold back for them."""

import pytest
from concordance_inference.generation import SamplingParams
from concordance_inference.mods.banned_strings import BannedStrings, with_banned_strings
from concordance_sdk import use
from concordance_sdk.testing import play
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tiny import ask, make_engine, run, submit

FEW = {ord(letter): 50.0 for letter in "abc"}


def request_with(strings, **fields):
    request = ask("Hello", **fields)
    return replace(request, mods=with_banned_strings((), strings))


@pytest.mark.parametrize(
    ("strings", "script"),
    [
        (["bad"], "a bad Badge and BAD"),
        (["a", "b"], "cab"),
        (["\u017f"], "sSs"),
        (["é!"], "é! É!"),
        (["aa", "aab"], "aaab"),
    ],
)
def test_banned_strings_never_appear_in_any_case(strings, script):
    text = play(use(BannedStrings, strings=strings), script=script, max_tokens=20).text

    assert not any(string.casefold() in text.casefold() for string in strings)


@settings(max_examples=25, deadline=None)
@given(
    strings=st.lists(st.text("abc", min_size=3, max_size=5), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
)
def test_a_stream_shows_no_banned_text_and_equals_the_whole_response(strings, seed):
    sampling = SamplingParams(temperature=1.0, seed=seed, logit_bias=FEW)
    engine = make_engine()
    fields = {"max_tokens": 24, "sampling": sampling}
    whole, streamed = run(
        engine, request_with(strings, **fields), request_with(strings, **fields, stream=True)
    )

    assert not any(string in whole.end.text for string in strings)
    assert streamed.shown == whole.end.text


def test_a_stream_holds_back_only_the_beginning_of_a_banned_text():
    engine = make_engine()
    sampling = SamplingParams(temperature=1.0, seed=3, logit_bias=FEW)
    request = request_with(["abcabcabcabc"], max_tokens=30, sampling=sampling, stream=True)
    answers = submit(engine, request)
    lags = []
    while engine.has_work:
        engine.step()
        rows = engine.rows
        if rows:
            lags.append((rows[0].state.num_completion - rows[0].state.num_released, answers.shown))

    assert min(lag for lag, _ in lags[3:]) == 0
    assert max(lag for lag, _ in lags) < 12

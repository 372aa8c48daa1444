"""Loop detection in the Python API, on a tiny random model in a folder."""

import pytest
from concordance_inference import LLM
from concordance_inference.engine.config import EngineConfig
from concordance_sdk import FinishReason
from tiny_folder import write_tiny_folder

A = 97
ALWAYS_A = {"logit_bias": {A: 100.0}, "temperature": 0, "max_tokens": 110}


@pytest.fixture(name="llm", scope="module")
def _llm(tmp_path_factory):
    folder = write_tiny_folder(tmp_path_factory.mktemp("model") / "tiny")
    with LLM(folder, config=EngineConfig(max_rows=2)) as llm:
        yield llm


def test_token_that_repeats_ends_a_completion_by_default(llm):
    completion = llm.generate("Hello", **ALWAYS_A)

    assert completion.finish_reason is FinishReason.LENGTH
    assert completion.token_ids == (A,) * 97
    [loop] = completion.loops
    assert (loop.begin, loop.period, loop.repeats, loop.outcome) == (0, 1, 97, "ended")


@pytest.mark.parametrize("options", [{"loop_detection": "off"}, {"ignore_eos": True}])
def test_completion_of_a_given_length_does_not_end_in_a_loop(llm, options):
    completion = llm.generate("Hello", **ALWAYS_A, **options)

    assert (len(completion.token_ids), completion.loops) == (110, ())


def test_rewound_tokens_are_counted_and_traced(llm):
    chosen = {"action": "rewind", "max_tries": 1}
    completion = llm.generate("Hello", loop_detection=chosen, **ALWAYS_A)

    assert completion.token_ids[0] == A != completion.token_ids[1]
    assert completion.usage.backtracked_tokens == 96
    backtracked = [token for token in completion.trace if token.backtracked]
    assert {token.backtracked_by for token in backtracked} == {"loop_detection"}


def test_stream_is_the_whole_text(llm):
    chosen = {"mode": "full", "action": "rewind", "max_tries": 1}
    whole = llm.generate("Hello", loop_detection=chosen, **ALWAYS_A)
    stream = llm.generate("Hello", loop_detection=chosen, stream=True, **ALWAYS_A)

    assert "".join(delta.text for delta in stream) == whole.text

"""The action builder that handlers are given."""

import pytest
from concordance_sdk import Actions, Added, FinishReason, ForceTokens, ForwardPass, Sampled, mod
from concordance_sdk.testing import ByteTokenizer, play


@pytest.mark.parametrize(
    ("event_type", "text"), [(ForwardPass, "ab"), (Sampled, "ab"), (Added, "abc")]
)
def test_stop_ends_the_completion_at_every_event_that_may_force(event_type, text):
    @mod(on=[event_type])
    def stop(event, actions):
        return actions.stop() if event.step == 2 else None

    played = play(stop, says="abcdef")

    assert (played.text, played.finish_reason) == (text, FinishReason.STOP)


def test_stop_forces_the_lowest_end_of_sequence_token():
    tokenizer = ByteTokenizer()

    assert Actions(tokenizer).stop() == ForceTokens([min(tokenizer.eos_token_ids)])


def test_stop_without_a_tokenizer_says_what_it_needs():
    with pytest.raises(TypeError, match=r"Actions\(tokenizer\)"):
        Actions().stop()

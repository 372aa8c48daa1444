"""Actions on the reasoning, for models with tags and for gpt-oss."""

import pytest
from concordance_inference.control import RefusedCommandError, RequestView
from concordance_inference.harmony.channels import HarmonyChannels
from concordance_inference.server.control.action_body import EndReasoningBody, ReasonBody
from concordance_inference.server.control.reasoning_actions import reasoning_command
from concordance_sdk.request_context import RequestContext
from concordance_sdk.testing import tag_channels
from harmony_bytes import TOKENIZER, TOKENS, named

HARMONY = HarmonyChannels(TOKENS, token_bytes=TOKENIZER.token_bytes, encode=TOKENIZER.encode)
ANALYSIS = "<|channel|>analysis<|message|>"
FINAL = "<|end|><|start|>assistant<|channel|>final<|message|>"


class Control:
    """The tokenizer of the engine."""

    def encode(self, text):
        return tuple(TOKENIZER.encode(text))


def command(body, completion, channels):
    ids = TOKENIZER.encode(completion)
    view = RequestView(
        prompt_ids=(1,), completion_ids=ids, num_edits=3, context=RequestContext(), mods=()
    )
    return reasoning_command(body, view, channels, Control())


def forced(body, completion, channels):
    return TOKENIZER.decode(command(body, completion, channels).action.tokens)


@pytest.mark.parametrize(
    ("channels", "completion"), [(HARMONY, f"{ANALYSIS}hm"), (tag_channels(), "<think>hm")]
)
def test_text_is_added_to_the_reasoning(channels, completion):
    assert forced(ReasonBody(text=" So:"), completion, channels) == " So:"


@pytest.mark.parametrize(
    ("channels", "completion", "end"),
    [
        (HARMONY, f"{ANALYSIS}hm", FINAL),
        (tag_channels(), "<think>hm", "</think>"),
        (tag_channels(opened=True), "hm", "</think>"),
        (tag_channels(), "<think>hm</th", "ink>"),
    ],
)
def test_reasoning_is_ended_after_a_text(channels, completion, end):
    assert forced(EndReasoningBody(), completion, channels) == end
    if not completion.endswith("</th"):
        assert forced(EndReasoningBody(text=" So."), completion, channels) == f" So.{end}"


def test_text_that_ends_the_reasoning_itself_is_not_ended_twice():
    body = EndReasoningBody(text="</think>4")

    assert forced(body, "<think>hm", tag_channels()) == "</think>4"


@pytest.mark.parametrize(
    ("channels", "completion"),
    [
        (None, "<think>hm"),
        (tag_channels(), "<think>hm</think>"),
        (tag_channels(), "hm"),
        (HARMONY, ""),
        (HARMONY, f"{ANALYSIS}hm{FINAL}4"),
        (HARMONY, f"{ANALYSIS}hm<|end|>"),
        (HARMONY, "<|channel|>analysis to=python<|message|>1"),
    ],
)
def test_action_is_refused_while_the_model_does_not_reason(channels, completion):
    with pytest.raises(RefusedCommandError, match="not reasoning now"):
        command(ReasonBody(text="hm"), completion, channels)


def test_command_is_refused_if_the_reasoning_ends_before_it_is_applied():
    expected = command(ReasonBody(text="hm"), f"{ANALYSIS}hm", HARMONY).expected

    assert {"<|end|>", "<|start|>", "<|channel|>"} <= {*expected.without}
    assert (expected.num_edits, expected.num_tokens) == (3, len(named(f"{ANALYSIS}hm")))

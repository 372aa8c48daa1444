"""Laws of requests with tools and formats, on a tiny gpt-oss with the real vocabulary."""

from functools import partial

import mlx.core as mx
import pytest
from concordance_inference.bench.harmony_conversation import TOOLS
from concordance_inference.bench.scripted_gpt_oss import ScriptedModel
from concordance_inference.chat.request import build_request
from concordance_inference.generation import SamplingParams
from concordance_inference.harmony.encoding import TOKENS
from concordance_inference.harmony.format import HarmonyFormat
from concordance_inference.output_format import OutputFormat
from concordance_inference.tools.offer import ToolChoice
from concordance_shared import Message, Schemas
from harmony_masks import naive_ids
from tiny import finish, submit

SMALL = {"num_hidden_layers": 2, "hidden_size": 16}
MOOD = OutputFormat(kind="choice", value=["glad", "glum", "gladly so"], param="choice")
USER = [Message(role="user", content="Hi")]

#: What a request asks for.
ASKED = {
    "tool": {"schemas": TOOLS},
    "required": {"schemas": TOOLS, "tool_choice": ToolChoice(mode="required")},
    "format and tool": {"schemas": TOOLS, "output": MOOD},
    "format": {"schemas": Schemas(), "output": MOOD},
}


@pytest.fixture(name="model", scope="module")
def _model():
    return ScriptedModel(**SMALL)


def logits_after(model, token_ids):
    """The logits that follow tokens, of the last position only: the vocabulary is large."""
    hidden = model._model.model(mx.array([token_ids]))
    return model._model.lm_head(hidden[:, -1])[0].astype(mx.float32)


def request_of(model, asked, i, **fields):
    """A request whose headers are short, and name a message with a format."""
    likes = dict.fromkeys((TOKENS.end, TOKENS.message, *model.tokenizer.encode("final")), 6.0)
    likes |= dict.fromkeys(model.tokenizer.encode("commentary to"), 6.0)
    cuts = [{"temperature": 0.0}, {"temperature": 1.0}, {"temperature": 1.0, "top_p": 0.7}]
    sampling = SamplingParams(seed=i, logit_bias=likes, **cuts[i % 3])
    return build_request(
        USER, model.chat, model.info, sampling=sampling, max_tokens=14, **ASKED[asked], **fields
    )


def answers_of(model, requests):
    engine = model.engine(max_rows=4)
    answers = [submit(engine, request) for request in requests]
    finish(engine)
    return answers


@pytest.mark.parametrize(
    "asked",
    [
        "required",
        "format and tool",
        pytest.param("tool", marks=pytest.mark.slow),
        pytest.param("format", marks=pytest.mark.slow),
    ],
)
def test_tokens_with_tools_are_those_of_masks_that_are_always_known(model, asked):
    made = [request_of(model, asked, i, stream=i == 1) for i in range(2)]
    together = answers_of(model, made)

    assert answers_of(model, made[:1])[0].ids == together[0].ids
    for request, answers in zip(made, together, strict=True):
        output, offer = ASKED[asked].get("output"), request.offer
        logits_of = partial(logits_after, model)
        known = naive_ids(logits_of, request, model.tokenizer, output=output, offer=offer)
        assert answers.ids == known
    assert any(any(answers.end.forced_by) for answers in together)  # by a format


@pytest.mark.parametrize("asked", ["format", "format and tool"])
def test_a_format_holds_in_all_content_without_the_header_guard(model, asked):
    chat = HarmonyFormat(model.tokenizer, TOKENS, header_guard=False)
    request = build_request(USER, chat, model.info, sampling=SamplingParams(), **ASKED[asked])

    assert request.token_rules.headers.channels == ("analysis", "final")


def test_without_the_header_guard_a_request_without_a_format_has_no_rules(model):
    chat = HarmonyFormat(model.tokenizer, TOKENS, header_guard=False)
    request = build_request(USER, chat, model.info, sampling=SamplingParams(), schemas=TOOLS)

    assert request.token_rules is None

"""Prompts of a conversation that no longer fits still extend each other, most of the time."""

import o200k
import pytest
from concordance_inference.chat.request import build_request
from concordance_inference.generation import ModelInfo
from concordance_inference.harmony.encoding import TOKENS
from concordance_inference.harmony.format import HarmonyFormat
from concordance_inference.models.tokenizer import ModelTokenizer
from concordance_shared import FunctionCall, FunctionSchema, Message, Schemas, Tool, ToolCall
from transformers import PreTrainedTokenizerFast

MODEL = ModelInfo(id="m", created=0, context_length=1000, vocab_size=o200k.VOCAB_SIZE)
TOOLS = Schemas(tools=(Tool(function=FunctionSchema(name="f", description="A tool.")),))


@pytest.fixture(name="chat", scope="module")
def _chat():
    hf = PreTrainedTokenizerFast(tokenizer_file=str(o200k.tokenizer_json()))
    tokenizer = ModelTokenizer(hf, eos_token_ids=[200002], vocab_size=o200k.VOCAB_SIZE)
    return HarmonyFormat(tokenizer, TOKENS, context_length=1000)


def test_truncated_prompts_keep_their_prefix_for_several_turns(chat):
    messages = [Message(role="system", content="Be brief.")]
    before, num_kept, num_left_out = (), 0, []
    for i in range(40):
        messages.append(Message(role="user", content=f"Question {i}, {'word ' * 20}"))
        request = build_request(messages, chat, MODEL, schemas=TOOLS, truncation="auto")
        assert len(request.prompt_ids) < 1000
        num_kept += request.prompt_ids[: len(before)] == before
        num_left_out.append(request.truncated_messages)
        before = request.prompt_ids[:-2]
        call = ToolCall(id=f"c{i}", function=FunctionCall(name="f"))
        messages.append(Message(role="assistant", tool_calls=(call,)))
        messages.append(Message(role="tool", content="found " * 10, tool_call_id=f"c{i}"))
        messages.append(Message(role="assistant", content="Answer. " * 10))
    cuts = len({*num_left_out}) - 1
    assert num_left_out[-1] > 80
    assert num_kept == 40 - cuts
    assert cuts <= 40 // 3
    assert all(count % 4 == 0 for count in num_left_out)

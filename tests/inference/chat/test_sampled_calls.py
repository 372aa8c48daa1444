"""Sampled tokens of messages with tool calls in later prompts."""

import pytest
from concordance_inference.chat.sampled_calls import SampledCalls
from concordance_inference.chat.sampled_messages import PromptDigest
from concordance_inference.chat.template import ChatTemplate
from concordance_inference.generation import Completed
from concordance_inference.models.tokenizer import ModelTokenizer
from concordance_shared import FinishReason, FunctionCall, FunctionSchema, Message, Tool, ToolCall
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ '\n' if m.content or not loop.first }}<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n'
    "</tool_call>{% endfor %}.{% endfor %}{% if tools %}{# #}{% endif %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
TOOLS = (Tool(function=FunctionSchema(name="look")),)
CALL = '<tool_call>\n{"name": "look", "arguments": {"at": "ababab"}}\n</tool_call>'


@pytest.fixture(name="chat")
def _chat():
    """A template and a tokenizer that merges `ab`, so that a text has several tokenizations."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {c: i for i, c in enumerate([*alphabet, "ab"])}
    made = Tokenizer(models.BPE(vocab=vocab, merges=[("a", "b")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=made, chat_template=TEMPLATE)
    tokenizer = ModelTokenizer(fast, eos_token_ids=[], vocab_size=257)
    return ChatTemplate(tokenizer), tokenizer


def sampled(tokenizer, text):
    """Return a tokenization of a text that encoding it does not give."""
    return [token_id for char in text for token_id in tokenizer.encode(char)]


def answered(text, token_ids):
    return Completed(
        text=text,
        token_ids=tuple(token_ids),
        finish_reason=FinishReason.STOP,
        prompt_tokens=1,
        completion_tokens=len(token_ids),
    )


def user(text):
    return Message(role="user", content=text)


def calling(arguments='{"at":"ababab"}', content=None):
    call = ToolCall(id="call_1", function=FunctionCall(name="look", arguments=arguments))
    return Message(role="assistant", content=content, tool_calls=(call,))


RESULT = Message(role="tool", content="ab", tool_call_id="call_1")


@pytest.mark.parametrize("before", ["", "Wait ab.\n"])
def test_a_message_with_calls_keeps_its_sampled_tokens(chat, before):
    template, tokenizer = chat
    first = template.render([user("ab")], TOOLS)
    ids = sampled(tokenizer, before + CALL)
    template.keep(first, answered(before + CALL, ids), has_calls=True)
    messages = [user("ab"), calling(content=before.strip() or None), RESULT]
    second = template.render(messages, TOOLS)

    assert second[: len(first) + len(ids)] == [*first, *ids]
    assert tokenizer.decode(second).startswith(f"[user]ab.[assistant]{before}{CALL}.[tool]ab.")


def test_several_calls_in_a_row_and_a_text_keep_their_tokens(chat):
    template, tokenizer = chat
    messages, expected = [user("ab")], []
    for _ in range(3):
        prompt = template.render(messages, TOOLS)
        assert prompt[: len(expected)] == expected
        ids = sampled(tokenizer, CALL)
        template.keep(prompt, answered(CALL, ids), has_calls=True)
        expected = [*prompt, *ids]
        messages += [calling(), RESULT]
    prompt = template.render(messages, TOOLS)
    template.keep(prompt, answered("abab", sampled(tokenizer, "abab")))
    messages += [Message(role="assistant", content="abab"), user("q")]
    last = template.render(messages, TOOLS)

    assert last[: len(prompt) + 4] == [*prompt, *sampled(tokenizer, "abab")]


@pytest.mark.parametrize(
    "messages",
    [
        [user("other"), calling(), RESULT],
        [user("ab"), calling('{"at": "abab"}'), RESULT],
        [user("ab"), user(CALL), RESULT],
    ],
)
def test_calls_that_were_not_sampled_there_are_tokenized(chat, messages):
    template, tokenizer = chat
    first = template.render([user("ab")], TOOLS)
    template.keep(first, answered(CALL, sampled(tokenizer, CALL)), has_calls=True)
    rendered = template.render(messages, TOOLS)
    fresh = ChatTemplate(tokenizer).render(messages, TOOLS)

    assert rendered == fresh


def test_the_least_recently_used_calls_are_evicted_first():
    calls = SampledCalls(max_messages=2)
    calls.remember([1], [7])
    calls.remember([1, 2], [8])
    calls.recall(PromptDigest([1]))
    calls.remember([1, 2], [9])
    calls.remember([3, 4, 5], [6])

    assert calls.recall(PromptDigest([1])) is None
    assert calls.recall(PromptDigest([1, 2])) == (9,)
    assert calls.lengths(0, 10) == [2, 3]
    assert calls.lengths(3, 3) == []

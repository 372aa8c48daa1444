"""Sampled tokens of messages in later prompts."""

import pytest
from concordance_inference.chat.sampled_messages import PromptDigest, SampledMessages
from concordance_inference.chat.template import ChatTemplate
from concordance_inference.generation import Completed
from concordance_inference.models.tokenizer import ModelTokenizer
from concordance_shared import FinishReason, Message
from hypothesis import given, settings
from hypothesis import strategies as st
from token_families import FAMILIES
from transformers import PreTrainedTokenizerFast

TEMPLATES = {
    "special": "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}",
    "plain": "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}",
    "glued": "{% for m in messages %}{{ m.role[0] }}{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}a{% endif %}",
    "spaced": "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}",
}


def test_sampled_tokens_are_recalled_after_the_same_prompt_only():
    memory = SampledMessages()
    memory.remember(PromptDigest(b"Why?"), "So.", [1, 2])

    assert memory.recall(PromptDigest(b"Why?"), "So.") == (1, 2)
    assert memory.recall(PromptDigest(b"How?"), "So.") is None
    assert memory.recall(PromptDigest(b"Why?"), "So!") is None


def test_the_least_recently_used_message_is_evicted_first():
    memory = SampledMessages(max_messages=2)
    memory.remember(PromptDigest(b"a"), "x", [1])
    memory.remember(PromptDigest(b"b"), "x", [2])
    memory.recall(PromptDigest(b"a"), "x")
    memory.remember(PromptDigest(b"c"), "x", [3])

    assert [memory.recall(PromptDigest(prompt.encode()), "x") for prompt in "abc"] == [
        (1,),
        None,
        (3,),
    ]


def test_a_message_sampled_again_replaces_its_tokens():
    memory = SampledMessages()
    memory.remember(PromptDigest(b"a"), "x", [1])
    memory.remember(PromptDigest(b"a"), "x", [2, 3])

    assert memory.recall(PromptDigest(b"a"), "x") == (2, 3)


def test_a_digest_extended_in_pieces_is_that_of_all_tokens():
    whole, pieces = PromptDigest([1, 300, 3]), PromptDigest([1])
    pieces.extend([300, 3])

    assert whole.digest() == pieces.digest() != PromptDigest([1, 300]).digest()


# Sampled messages in prompts


def chat_of(name, template):
    fast = PreTrainedTokenizerFast(
        tokenizer_object=FAMILIES[name], eos_token="</s>", chat_template=TEMPLATES[template]
    )
    tokenizer = ModelTokenizer(fast, eos_token_ids=[fast.eos_token_id], vocab_size=10**6)
    return ChatTemplate(tokenizer), ChatTemplate(tokenizer), tokenizer


def message(role, content):
    return Message(role=role, content=content)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", ["gpt2", "llama2", "llama2_metaspace", "gemma", "t5_first", "ctc"])
@settings(deadline=None, max_examples=6)
@given(data=st.data())
def test_a_prompt_with_sampled_messages_decodes_to_the_same_text(name, template, data):
    chat, fresh, tokenizer = chat_of(name, template)
    texts = st.text(st.sampled_from("the not here ab."), min_size=1, max_size=8)
    messages = []
    for _ in range(3):
        messages.append(message("user", data.draw(texts)))
        prompt = chat.render(messages)
        whole = fresh.render(messages)
        assert tokenizer.decode(prompt) == tokenizer.decode(whole)
        assert prompt[-1] == whole[-1]
        answer = data.draw(texts)
        ids = [i for char in answer for i in tokenizer.encode(char)]
        shown = tokenizer.decode(ids)
        completed = Completed(
            text=shown,
            token_ids=tuple(ids),
            finish_reason=FinishReason.STOP,
            prompt_tokens=len(prompt),
            completion_tokens=len(ids),
        )
        chat.keep(prompt, completed)
        messages.append(message("assistant", shown or "a"))


@pytest.mark.parametrize("name", ["gpt2", "gemma"])
def test_a_message_between_special_tokens_keeps_its_sampled_tokens(name):
    chat, fresh, tokenizer = chat_of(name, "special")
    messages = [message("user", "a")]
    prompt = chat.render(messages)
    ids = [i for char in "here" for i in tokenizer.encode(char)]
    completed = Completed(
        text="here",
        token_ids=(*ids, *tokenizer.eos_token_ids),
        finish_reason=FinishReason.STOP,
        prompt_tokens=len(prompt),
        completion_tokens=len(ids),
    )
    chat.keep(prompt, completed)
    again = chat.render([*messages, message("assistant", "here"), message("user", "b")])
    whole = fresh.render([*messages, message("assistant", "here"), message("user", "b")])

    assert again[: len(prompt) + len(ids)] == [*prompt, *ids]
    rest = again[len(prompt) + len(ids) :]
    assert rest == whole[-len(rest) :]
    assert again != whole


def test_plain_text_after_a_sampled_message_gets_no_extra_space():
    chat, _, tokenizer = chat_of("llama2", "plain")
    messages = [message("user", "a")]
    prompt = chat.render(messages)
    ids = [FAMILIES["llama2"].token_to_id(token) for token in ("▁the", "▁not")]
    completed = Completed(
        text="the not",
        token_ids=tuple(ids),
        finish_reason=FinishReason.STOP,
        prompt_tokens=len(prompt),
        completion_tokens=2,
    )
    chat.keep(prompt, completed)
    again = chat.render([*messages, message("assistant", "the not"), message("user", "b")])

    assert tokenizer.decode(again) == "user: a\nassistant: the not\nuser: b\nassistant:"


def test_token_bytes_at_the_start_of_a_text_have_no_leading_space():
    chat, _, _ = chat_of("llama2", "plain")
    the = FAMILIES["llama2"].token_to_id("▁the")

    assert chat.token_bytes(the, at_start=True) == b"the"
    assert chat.token_bytes(the) == b" the"

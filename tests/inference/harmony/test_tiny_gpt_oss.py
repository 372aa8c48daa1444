"""A tiny random gpt-oss with the real vocabulary, from end to end."""

import o200k
from concordance_inference import LLM
from concordance_inference.harmony.place import START
from concordance_shared import Message

USER = {"role": "user", "content": "Hello"}


def test_completions_of_gpt_oss_end_at_return_call_and_end_of_text_only(gpt_oss):
    ends = {o200k.SPECIAL[i] for i in gpt_oss.loaded.tokenizer.eos_token_ids}
    assert ends == {"<|return|>", "<|call|>", "<|endoftext|>"}


def test_chat_requests_of_gpt_oss_have_a_harmony_turn_and_prompts_as_text_have_none(gpt_oss):
    chat = gpt_oss.request([Message(role="user", content="Hello")])
    assert chat.harmony.opened == START
    assert chat.reasoning is None
    assert set(chat.kept_ids) == {200003, 200005, 200006, 200007, 200008}
    assert gpt_oss.request("Hello").harmony is None


def test_llm_runs_gpt_oss(gpt_oss):
    with LLM(gpt_oss.loaded.place) as llm:
        completion = llm.chat([USER], max_tokens=4)
    assert completion.usage.prompt_tokens > 30


def test_server_runs_gpt_oss(gpt_oss, client):
    body = {"model": gpt_oss.model.id, "messages": [USER], "max_tokens": 4}
    response = client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200
    assert response.json()["usage"]["completion_tokens"] <= 4

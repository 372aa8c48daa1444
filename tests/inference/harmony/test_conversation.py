"""A conversation with a random tiny gpt-oss: its prompts extend what is cached."""

import pytest


@pytest.fixture(name="say")
def _say(gpt_oss, client):
    """Continue a conversation; return the usage of the completion."""
    messages = [{"role": "system", "content": "Be brief."}]

    def say(text, **fields):
        messages.append({"role": "user", "content": text})
        body = {"model": gpt_oss.model.id, "messages": messages, "max_tokens": 10, **fields}
        response = client.post("/v1/chat/completions", json=body)
        assert response.status_code == 200, response.text
        messages.append(response.json()["choices"][0]["message"])
        return response.json()["usage"]

    return say


def test_each_turn_reads_what_is_new(say):
    before = 0
    for i in range(3):
        usage = say(f"Question {i}?", seed=i)
        if before:  # the prompt before is cached, but for the end that a chat format may change
            assert usage["prompt_tokens_details"]["cached_tokens"] >= before - 16
        before = usage["prompt_tokens"]


def test_answers_are_in_the_next_prompt_as_they_were_sampled(gpt_oss, client):
    # A final answer at once: neither reasoning nor a preamble.
    body = {"model": gpt_oss.model.id, "max_tokens": 6, "return_token_ids": True,
            "logit_bias": {"35644": -100, "12606": -100}, "ignore_eos": True}  # fmt: skip
    messages = [{"role": "user", "content": "Hello"}]
    first = client.post("/v1/chat/completions", json={**body, "messages": messages}).json()
    (choice,) = first["choices"]
    messages += [choice["message"], {"role": "user", "content": "And?"}]
    second = client.post("/v1/chat/completions", json={**body, "messages": messages}).json()
    held = [*first["prompt_token_ids"], *choice["token_ids"]]
    assert choice["token_ids"][:3] == [200005, 17196, 200008]
    assert second["prompt_token_ids"][: len(held)] == held
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] >= len(held) - 1

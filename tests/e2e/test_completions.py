"""`/v1/completions` and `/v1/tokenize` of a server with the embedded model."""

import httpx2
import pytest

pytestmark = pytest.mark.model

TEXT = "The capital of France is"


@pytest.fixture(name="create")
def _create(embedded_server):
    client, model = embedded_server.client, embedded_server.model

    def create(prompt, **fields):
        return client.completions.create(
            model=model, prompt=prompt, temperature=0, **{"max_tokens": 8, **fields}
        )

    return create


@pytest.fixture(name="tokenize")
def _tokenize(embedded_server):
    def tokenize(text):
        return httpx2.post(f"{embedded_server.url}/v1/tokenize", json={"prompt": text}).json()

    return tokenize


def test_texts_and_token_ids_are_continued_alike(create, tokenize):
    ids = tokenize(TEXT)["tokens"]
    one = create(TEXT)
    several = create([ids, ids])

    assert one.choices[0].text.strip().startswith("Paris")
    assert [choice.text for choice in several.choices] == [one.choices[0].text] * 2
    assert several.usage.prompt_tokens == 2 * one.usage.prompt_tokens == 2 * len(ids)


def test_the_request_of_lm_eval_gives_the_logprobs_of_a_continuation(create, tokenize):
    context, whole = tokenize(TEXT)["tokens"], tokenize(f"{TEXT} Paris.")["tokens"]
    fields = {"max_tokens": 1, "logprobs": 1, "echo": True, "seed": 1234}
    answer = create([whole, tokenize(f"{TEXT} banana.")["tokens"]], **fields)
    right, wrong = (choice.logprobs for choice in answer.choices)
    sums = [sum(each.token_logprobs[len(context) : -1]) for each in (right, wrong)]

    assert len(right.token_logprobs) == len(right.tokens) == len(whole) + 1
    assert right.token_logprobs[0] is right.top_logprobs[0] is None
    assert sums[0] > sums[1]
    first = len(context)  # " Paris" is the most probable token
    assert right.token_logprobs[first] == max(right.top_logprobs[first].values())
    text = answer.choices[0].text
    assert text.startswith(f"{TEXT} Paris.")
    for token, offset in zip(right.tokens, right.text_offset, strict=True):
        assert text[offset:].startswith(token) or offset == len(text)


def test_logprobs_of_a_completion_are_those_of_the_same_text_as_a_prompt(create):
    done = create(TEXT, logprobs=0, max_tokens=6)
    again = create(f"{TEXT}{done.choices[0].text}", logprobs=0, echo=True, max_tokens=0)
    chosen = done.choices[0].logprobs.token_logprobs

    assert again.choices[0].text == f"{TEXT}{done.choices[0].text}"
    assert again.usage.completion_tokens == 0
    assert again.choices[0].logprobs.token_logprobs[-6:] == pytest.approx(chosen, abs=0.1)


def test_a_stream_adds_up_to_the_whole(create):
    fields = {"logprobs": 2, "echo": True, "stop": ["."], "max_tokens": 20}
    whole = create(TEXT, **fields).choices[0]
    parts = [chunk.choices[0] for chunk in create(TEXT, stream=True, **fields)]
    tokens = [token for part in parts if part.logprobs for token in part.logprobs.tokens]
    offsets = [at for part in parts if part.logprobs for at in part.logprobs.text_offset]

    assert "".join(part.text for part in parts) == whole.text
    assert tokens == whole.logprobs.tokens
    assert offsets == whole.logprobs.text_offset
    assert (parts[-1].finish_reason, whole.finish_reason) == ("stop", "stop")


def test_mods_act_on_completions(create):
    done = create(TEXT, extra_body={"mods": ["greeting"], "return_token_ids": True})

    assert "greeting" in done.choices[0].forced_by
    assert len(done.choices[0].token_ids) == done.usage.completion_tokens

"""`prompt_logprobs` and `sampled_logprobs` of chat and of plain completions."""

import json

import pytest
from concordance_inference.generation import Started, TextDelta, TokenLogprobs
from fake_engine import FakeEngine, completed

CHAT = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
PLAIN = {"model": "fake", "prompt": "hi"}

TOP = ((120, -0.25), (105, -1.5))
PROMPT = (
    None,
    TokenLogprobs(token_id=105, logprob=-1.5, top=TOP, rank=2),
    TokenLogprobs(token_id=33, logprob=float("-inf"), top=TOP, rank=257),
)
ENCODED = [
    None,
    {
        "120": {"logprob": -0.25, "rank": 1, "decoded_token": "x"},
        "105": {"logprob": -1.5, "rank": 2, "decoded_token": "i"},
    },
    {
        "120": {"logprob": -0.25, "rank": 1, "decoded_token": "x"},
        "105": {"logprob": -1.5, "rank": 2, "decoded_token": "i"},
        "33": {"logprob": -9999.0, "rank": 257, "decoded_token": "!"},
    },
]
SAMPLED = TokenLogprobs(token_id=65, logprob=-2.0, top=(), sampled_logprob=-0.5)
FORCED = TokenLogprobs(token_id=66, logprob=-3.0, top=())


def engine():
    ended = {"prompt_ids": (104, 105, 33), "prompt_logprobs": PROMPT}
    delta = TextDelta(text="AB", token_ids=(65, 66), forced_by=(None, "m"))
    return FakeEngine(
        [
            Started(prompt_tokens=3, prompt_ids=(104, 105, 33), prompt_logprobs=PROMPT),
            _with_logprobs(delta),
            completed("AB", logprobs=(SAMPLED, FORCED), token_ids=(65, 66), **ended),
        ]
    )


def _with_logprobs(delta):
    return TextDelta(text=delta.text, logprobs=(SAMPLED, FORCED), token_ids=delta.token_ids)


def chunks_of(response):
    lines = [line for line in response.text.split("\n\n") if line.startswith("data: {")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_a_chat_completion_has_the_logprobs_of_its_prompt_in_the_shape_of_vllm(serve):
    fake = engine()
    body = {**CHAT, "prompt_logprobs": 2}
    answer = serve(fake).post("/v1/chat/completions", json=body).json()

    assert answer["prompt_logprobs"] == ENCODED
    assert fake.requests[0].prompt_logprobs == 2


def test_a_stream_has_the_logprobs_of_the_prompt_in_its_first_chunk(serve):
    body = {**CHAT, "prompt_logprobs": 2, "stream": True}
    first, *others = chunks_of(serve(engine()).post("/v1/chat/completions", json=body))

    assert first["prompt_logprobs"] == ENCODED
    assert not any("prompt_logprobs" in chunk for chunk in others)


def test_a_choice_of_plain_completions_has_the_logprobs_of_its_prompt(serve):
    body = {**PLAIN, "prompt_logprobs": 2}
    answer = serve(engine()).post("/v1/completions", json=body).json()
    first, *_ = chunks_of(serve(engine()).post("/v1/completions", json={**body, "stream": True}))

    assert answer["choices"][0]["prompt_logprobs"] == ENCODED
    assert first["choices"][0]["prompt_logprobs"] == ENCODED


def test_an_echo_beside_prompt_logprobs_has_as_many_alternatives_as_logprobs_says(serve):
    fake = engine()
    body = {**PLAIN, "prompt_logprobs": 2, "echo": True, "logprobs": 1}
    (choice,) = serve(fake).post("/v1/completions", json=body).json()["choices"]

    assert fake.requests[0].prompt_logprobs == 2
    assert choice["logprobs"]["top_logprobs"][1] == {"x": -0.25, "i": -1.5}
    assert choice["prompt_logprobs"] == ENCODED


def test_no_logprobs_of_the_prompt_are_sent_unless_they_are_requested(serve):
    answer = serve(engine()).post("/v1/chat/completions", json=CHAT).json()

    assert "prompt_logprobs" not in answer


@pytest.mark.parametrize("stream", [False, True])
def test_each_entry_of_logprobs_has_the_sampled_logprob_null_for_a_forced_token(serve, stream):
    body = {**CHAT, "logprobs": True, "sampled_logprobs": True, "stream": stream}
    fake = engine()
    response = serve(fake).post("/v1/chat/completions", json=body)
    chunks = chunks_of(response) if stream else [response.json()]

    entries = [
        entry
        for chunk in chunks
        for choice in chunk["choices"]
        for entry in (choice["logprobs"] or {"content": []})["content"]
    ]
    assert [entry["sampled_logprob"] for entry in entries] == [-0.5, None]
    assert fake.requests[0].sampled_logprobs


def test_plain_completions_have_a_list_of_sampled_logprobs(serve):
    body = {**PLAIN, "logprobs": 0, "sampled_logprobs": True}
    (choice,) = serve(engine()).post("/v1/completions", json=body).json()["choices"]

    assert choice["logprobs"]["token_logprobs"] == [-2.0, -3.0]
    assert choice["logprobs"]["sampled_token_logprobs"] == [-0.5, None]


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/chat/completions", CHAT), ("/v1/completions", PLAIN)]
)
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"sampled_logprobs": True}, "sampled_logprobs"),
        ({"prompt_logprobs": 21}, "prompt_logprobs"),
        ({"prompt_logprobs": -1}, "prompt_logprobs"),
        ({"prompt_logprobs": True}, "prompt_logprobs"),
        ({"logprobs_mode": "processed_logprobs"}, "logprobs_mode"),
    ],
)
def test_logprobs_that_cannot_be_reported_are_refused_by_name(serve, path, body, fields, param):
    response = serve().post(path, json={**body, **fields})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == param

"""The fields `n` and `best_of` of chat and of plain completions."""

import json
import time

import pytest
from concordance_inference.choices import seed_of_choice
from concordance_inference.generation import Failed, Started, TokenLogprobs
from concordance_inference.runtime import Runtime
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from concordance_shared import EngineError
from fake_engine import FakeEngine, completed, says
from openai import OpenAI
from sandboxes import mod_catalog
from starlette.testclient import TestClient
from tiny_folder import write_tiny_folder

CHAT = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
PLAIN = {"model": "fake", "prompt": "hi"}
PATHS = [("/v1/chat/completions", CHAT), ("/v1/completions", PLAIN)]

NAMES = ["zero", "one", "two", "three", "four", "five"]


def number_of(request):
    """Return the number of a request to the engine, which its id ends with."""
    number = request.request_id.partition(" ")[2]
    return int(number) if number else 0


def by_number(request):
    """Say another word in each choice; the later, the less probable."""
    i = number_of(request)
    entries = tuple(TokenLogprobs(token_id=1, logprob=-float(i + 1), top=()) for _ in range(3))
    fields = {"prompt_tokens": 10, "completion_tokens": 3 + i, "cached_tokens": 9 if i else 4}
    fields |= {"forced_tokens": i, "backtracked_tokens": 2, "logprobs": entries}
    return says(NAMES[i], **fields)


def worst_first(request):
    i = number_of(request)
    return says(NAMES[i], mean_logprob=float(i - 9), prompt_tokens=10, completion_tokens=3)


def text_of(choice):
    return choice["message"]["content"] if "message" in choice else choice["text"]


def chunks_of(response):
    lines = [line for line in response.text.split("\n\n") if line.startswith("data: {")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


@pytest.mark.parametrize(("path", "body"), PATHS)
def test_n_choices_are_numbered_and_their_prompt_is_counted_once(serve, path, body):
    answer = serve(FakeEngine(by_number)).post(path, json={**body, "n": 3}).json()

    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert [text_of(choice) for choice in answer["choices"]] == NAMES[:3]
    assert answer["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 3 + 4 + 5,
        "total_tokens": 22,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "sampled_tokens": 9,
            "forced_tokens": 3,
            "backtracked_tokens": 6,
        },
    }


@pytest.mark.parametrize(("path", "body"), PATHS)
def test_each_choice_has_a_seed_of_its_own_and_the_prompt_of_all(serve, path, body):
    engine = FakeEngine(by_number)
    serve(engine).post(path, json={**body, "n": 3, "seed": 5})

    seeds = [request.sampling.seed for request in engine.requests]
    assert seeds == [seed_of_choice(5, i) for i in range(3)]
    assert len({request.prompt_ids for request in engine.requests}) == 1


@pytest.mark.parametrize(("path", "body"), PATHS)
def test_chunks_of_a_stream_have_the_index_of_their_choice(serve, path, body):
    options = {"include_usage": True}
    response = serve(FakeEngine(by_number)).post(
        path, json={**body, "n": 3, "stream": True, "stream_options": options}
    )
    *chunks, last = chunks_of(response)

    texts = {0: "", 1: "", 2: ""}
    for chunk in chunks:
        (choice,) = chunk["choices"]
        texts[choice["index"]] += choice.get("text") or choice.get("delta", {}).get("content") or ""
    assert list(texts.values()) == NAMES[:3]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert [c["choices"][0]["index"] for c in chunks if c["choices"][0]["finish_reason"]] == [
        0,
        1,
        2,
    ]
    assert last["usage"]["prompt_tokens"] == 10
    assert last["usage"]["completion_tokens"] == 12


@pytest.mark.parametrize(("path", "body"), PATHS)
def test_best_of_gives_the_choices_of_the_highest_mean_logprob(serve, path, body):
    engine = FakeEngine(worst_first)
    answer = serve(engine).post(path, json={**body, "n": 2, "best_of": 5}).json()

    assert [text_of(choice) for choice in answer["choices"]] == ["four", "three"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert {json.dumps(choice["logprobs"]) for choice in answer["choices"]} == {"null"}
    assert "token_ids" not in answer["choices"][0]
    assert answer["usage"]["completion_tokens"] == 5 * 3
    assert answer["usage"]["prompt_tokens"] == 10
    assert len(engine.requests) == 5


def test_prompts_have_n_choices_each_one_prompt_after_another(serve):
    engine = FakeEngine(by_number)
    answer = serve(engine).post("/v1/completions", json={**PLAIN, "prompt": ["a", "b"], "n": 2})

    choices = answer.json()["choices"]
    assert [choice["text"] for choice in choices] == ["zero", "one", "two", "three"]
    assert [choice["index"] for choice in choices] == [0, 1, 2, 3]
    assert [request.prompt_ids[1:] for request in engine.requests] == [(97,)] * 2 + [(98,)] * 2
    assert len({request.request_id for request in engine.requests}) == 4
    assert answer.json()["usage"]["prompt_tokens"] == 20


def test_every_choice_echoes_its_prompt_and_the_logprobs_of_the_prompt(serve):
    entries = (None, TokenLogprobs(token_id=97, logprob=-0.5, top=()))

    def updates(request):
        known = entries if request.prompt_logprobs is not None else ()
        own = (TokenLogprobs(token_id=33, logprob=-1.0, top=()),)
        fields = {"prompt_ids": (1, 97), "prompt_logprobs": known, "logprobs": own}
        return [Started(prompt_tokens=2), completed("!", **fields)]

    engine = FakeEngine(updates)
    body = {**PLAIN, "prompt": "a", "echo": True, "logprobs": 0, "n": 2}
    choices = serve(engine).post("/v1/completions", json=body).json()["choices"]

    assert [request.prompt_logprobs for request in engine.requests] == [0, None]
    assert [choice["text"] for choice in choices] == ["a!", "a!"]
    assert [c["logprobs"]["token_logprobs"] for c in choices] == [[None, -0.5, -1.0]] * 2


@pytest.mark.parametrize(("path", "body"), PATHS)
def test_an_error_of_one_choice_is_the_response_and_the_others_are_cancelled(serve, path, body):
    def updates(request):
        if number_of(request) == 1:
            return [Failed(error=EngineError("broken"))]
        return [5.0, *by_number(request)]

    engine = FakeEngine(updates)
    response = serve(engine).post(path, json={**body, "n": 3})

    assert response.json()["error"]["message"] == "broken"
    assert {number_of(request) for request in engine.cancelled} == {0, 2}


@pytest.mark.parametrize(("path", "body"), PATHS)
@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"n": 265}, "n", "at most 264 completions"),
        ({"best_of": 265}, "best_of", "at most 264 completions"),
        ({"n": 3, "best_of": 2}, "best_of", "less than n"),
        ({"best_of": 2, "stream": True}, "best_of", "not available in a stream"),
        ({"n": 1.5}, "n", ""),
        ({"best_of": 0}, "best_of", ">= 1"),
    ],
)
def test_a_wrong_number_of_choices_is_refused_by_its_name(
    serve, path, body, fields, param, message
):
    engine = FakeEngine()
    response = serve(engine).post(path, json={**body, **fields})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert message in response.json()["error"]["message"]
    assert not engine.requests


def test_choices_of_several_prompts_are_limited_together(serve):
    body = {**PLAIN, "prompt": ["a", "b", "c"], "n": 100}
    error = serve().post("/v1/completions", json=body).json()["error"]

    assert error["param"] == "n"
    assert "at most 88 completions of each of 3 prompts" in error["message"]


def test_one_choice_is_best_of_one_also_in_a_stream(serve):
    response = serve().post(PATHS[0][0], json={**CHAT, "n": 1, "best_of": 1, "stream": True})

    assert response.status_code == 200


def test_the_openai_client_reads_n_choices(serve):
    http = serve(FakeEngine(by_number))
    client = OpenAI(api_key="any", base_url="http://127.0.0.1:8000/v1", http_client=http)
    completion = client.chat.completions.create(**CHAT, n=2)
    with client.chat.completions.stream(**CHAT, n=2) as stream:
        streamed = stream.get_final_completion()

    for answer in (completion, streamed):
        assert [choice.message.content for choice in answer.choices] == NAMES[:2]


def test_the_openai_client_reads_the_best_of_several(serve):
    http = serve(FakeEngine(worst_first))
    client = OpenAI(api_key="any", base_url="http://127.0.0.1:8000/v1", http_client=http)
    completion = client.completions.create(**PLAIN, n=2, best_of=4)

    assert [choice.text for choice in completion.choices] == ["three", "two"]


# With a model


@pytest.fixture(name="tiny", scope="module")
def _tiny(tmp_path_factory):
    folder = write_tiny_folder(tmp_path_factory.mktemp("model") / "tiny")
    with Runtime(str(folder), mod_catalog(), progress=lambda _: None) as runtime:
        context = ServerContext(models=OneModel(runtime, runtime.chat), mods=mod_catalog())
        client = TestClient(create_app(context), base_url="http://127.0.0.1:8000")
        yield client, runtime.model.id


def texts_of(response):
    """Return the text of each choice, of a response or of a stream."""
    texts = {}
    for part in chunks_of(response) or [response.json()]:
        for choice in part["choices"]:
            said = choice.get("message") or choice.get("delta") or choice
            texts[choice["index"]] = texts.get(choice["index"], "") + (
                said.get("content") or said.get("text") or ""
            )
    return [texts[i] for i in sorted(texts)]


@pytest.mark.parametrize(("path", "body"), PATHS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_choice_has_the_text_of_a_request_with_its_seed(tiny, path, body, stream):
    client, model = tiny
    body = {**body, "model": model, "max_tokens": 12, "temperature": 1.5}
    several = client.post(path, json={**body, "seed": 5, "n": 3, "stream": stream})
    alone = [client.post(path, json={**body, "seed": seed_of_choice(5, i)}) for i in range(3)]

    assert texts_of(several) == [texts_of(one)[0] for one in alone]
    assert len({*texts_of(several)}) == 3


def test_choices_with_mods_have_logprobs_that_say_what_was_sampled(tiny):
    client, model = tiny
    body = {**CHAT, "model": model, "max_tokens": 12, "n": 2, "mods": ["greeting"], "seed": 1}
    body |= {"logprobs": True, "sampled_logprobs": True, "return_token_ids": True, "top_k": 5}
    answer = client.post("/v1/chat/completions", json=body).json()

    for choice in answer["choices"]:
        entries = choice["logprobs"]["content"]
        assert [entry["sampled_logprob"] is None for entry in entries] == [
            mod is not None for mod in choice["forced_by"]
        ]
    assert [choice["concordance"]["forced_tokens"] for choice in answer["choices"]] == [
        sum(mod is not None for mod in choice["forced_by"]) for choice in answer["choices"]
    ]
    details = answer["usage"]["completion_tokens_details"]
    assert details["forced_tokens"] > 0
    assert (
        details["forced_tokens"] + details["sampled_tokens"]
        == (answer["usage"]["completion_tokens"])
    )


def test_the_last_chunk_of_each_choice_says_what_its_mods_did(tiny):
    client, model = tiny
    body = {**CHAT, "model": model, "max_tokens": 12, "n": 2, "mods": ["greeting"], "seed": 1}
    whole = client.post("/v1/chat/completions", json=body).json()
    streamed = chunks_of(client.post("/v1/chat/completions", json={**body, "stream": True}))

    ended = {
        choice["index"]: choice["concordance"]["forced_tokens"]
        for chunk in streamed
        for choice in chunk["choices"]
        if choice["finish_reason"]
    }
    assert ended == {c["index"]: c["concordance"]["forced_tokens"] for c in whole["choices"]}


def test_choices_for_which_too_few_places_are_free_are_refused_together(tiny):
    client, model = tiny
    runtime = client.app.state.context.models.loaded[0].engine
    body = {**PLAIN, "model": model, "max_tokens": 100}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime.engine, "_max_unfinished", 3)
        response = client.post("/v1/completions", json={**body, "n": 4})

    assert response.status_code == 429
    assert response.headers["retry-after"]
    while runtime.engine.num_unfinished:
        time.sleep(0.01)

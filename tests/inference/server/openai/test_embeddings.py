"""`/v1/embeddings`: shapes with a fake embedder, values with tiny real models."""

import base64
import struct

import mlx.core as mx
import msgspec
import numpy as np
import pytest
from concordance_inference.engine import embedding
from concordance_inference.runtime import Runtime
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel, ServedModel
from fake_engine import FakeChat, FakeEngine
from openai import OpenAI
from openai.types import CreateEmbeddingResponse
from sandboxes import mod_catalog
from starlette.testclient import TestClient
from tiny_embedder import write_tiny_embedder

URL = "/v1/embeddings"


class FakeEmbedder:
    """The bytes of a text are its tokens, and the first of them its embedding."""

    size = 4

    def tokenize(self, text):
        return list(text.encode())

    async def embed(self, token_ids, dimensions=None):
        return [float(token_id) for token_id in [*token_ids, 0, 0, 0][: dimensions or 4]]


class Embeds(OneModel):
    """One model that makes embeddings."""

    def __init__(self, engine, chat, embedder):
        super().__init__(engine, chat)
        self._served = ServedModel(engine=engine, chat=chat, embedder=embedder)


def client_of(models):
    app = create_app(ServerContext(models=models, mods=mod_catalog()))
    return TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


@pytest.fixture(name="http")
def _http():
    return client_of(Embeds(FakeEngine(), FakeChat(), FakeEmbedder()))


def posted(http, **fields):
    return http.post(URL, json={"model": "fake", **fields})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("ab", [[97, 98, 0, 0]]),
        (["ab", "c"], [[97, 98, 0, 0], [99, 0, 0, 0]]),
        ([1, 2, 3, 4], [[1, 2, 3, 4]]),
        ([[1, 2, 3, 4], [5]], [[1, 2, 3, 4], [5, 0, 0, 0]]),
        (["a", [5]], [[97, 0, 0, 0], [5, 0, 0, 0]]),
    ],
)
def test_texts_and_token_ids_are_embedded_in_order(http, given, expected):
    body = posted(http, input=given).json()

    CreateEmbeddingResponse.model_validate(body, strict=True)
    assert [entry["embedding"] for entry in body["data"]] == expected
    assert [entry["index"] for entry in body["data"]] == list(range(len(expected)))
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] > 0
    assert body["model"] == "fake"


def test_base64_is_float32_in_little_endian_order(http):
    data = posted(http, input="ab", encoding_format="base64").json()["data"]

    assert struct.unpack("<4f", base64.b64decode(data[0]["embedding"])) == (97, 98, 0, 0)


def test_the_official_client_decodes_what_it_asks_for(http):
    client = OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="x", http_client=http)

    created = client.embeddings.create(model="fake", input="ab", dimensions=2)

    assert created.data[0].embedding == [97, 98]


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({}, 400, "input"),
        ({"input": ""}, 400, "input"),
        ({"input": []}, 400, "input"),
        ({"input": [1, "a"]}, 400, "input"),
        ({"input": ["a", ""]}, 400, "input[1]"),
        ({"input": [[1, 999]]}, 400, "input[0][1]"),
        ({"input": [-1]}, 400, "input[0]"),
        ({"input": "x" * 101}, 400, "input"),
        ({"input": ["x"] * 2049}, 400, "input"),
        ({"input": "a", "encoding_format": "int8"}, 400, "encoding_format"),
        ({"input": "a", "dimensions": 5}, 400, "dimensions"),
        ({"input": "a", "dimensions": 0}, 400, "dimensions"),
        ({"input": "a", "model": "nosuch"}, 404, "model"),
    ],
)
def test_a_wrong_field_is_refused_by_name(http, fields, status, param):
    response = posted(http, **fields)

    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (status, param), error


def test_a_text_longer_than_the_context_has_the_code_of_openai(http):
    assert posted(http, input="x" * 101).json()["error"]["code"] == "context_length_exceeded"


def test_a_model_that_is_none_for_it_is_refused(client):
    error = posted(client, input="a").json()["error"]

    assert "'fake' makes no embeddings" in error["message"]
    assert error["param"] == "model"


# Tiny real models


@pytest.fixture(name="embedder")
def _embedder(tmp_path):
    """Run a tiny embedding model; a client of it, and the model."""
    started = []

    def start(**settings):
        folder = write_tiny_embedder(tmp_path / f"model{len(started)}", **settings)
        runtime = Runtime(str(folder), mod_catalog(), progress=lambda _: None).start()
        started.append(runtime)
        served = OneModel(runtime, runtime.chat)
        if not isinstance(runtime.embedder, str):
            served = Embeds(runtime, runtime.chat, runtime.embedder)
        return client_of(served), runtime

    yield start
    for runtime in started:
        runtime.stop()


def vector(http, runtime, text, **fields):
    body = {"model": runtime.model.id, "input": text, **fields}
    return np.array(http.post(URL, json=body).json()["data"][0]["embedding"])


def hidden(runtime, text):
    """The hidden states of a text, each from a pass of its own."""
    model, ids = runtime.loaded.model, runtime.loaded.tokenizer.encode(text)
    return np.array(model.model(mx.array([ids]))[0].astype(mx.float32))


POOLED = {
    "lasttoken": lambda states: states[-1],
    "cls": lambda states: states[0],
    "mean": lambda states: states.mean(axis=0),
    "max": lambda states: states.max(axis=0),
}


@pytest.mark.parametrize("pooling", POOLED)
@pytest.mark.parametrize("chunk", [3, 256])
def test_an_embedding_is_the_pooled_hidden_state(embedder, monkeypatch, pooling, chunk):
    monkeypatch.setattr("concordance_inference.embedder.default_chunk", lambda: chunk)
    http, runtime = embedder(pooling=pooling, normalizes=False)

    found = vector(http, runtime, "Hello, world")

    expected = POOLED[pooling](hidden(runtime, "Hello, world"))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_normalized_embeddings_and_shortened_ones_have_length_1(embedder):
    http, runtime = embedder()

    whole = vector(http, runtime, "Hello")
    short = vector(http, runtime, "Hello", dimensions=8)

    assert np.linalg.norm(whole) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(short, whole[:8] / np.linalg.norm(whole[:8]), rtol=1e-4)


def test_embeddings_beside_completions_are_those_alone(embedder):
    http, runtime = embedder()
    alone = vector(http, runtime, "Hello, world")
    running = runtime.submit(runtime.request("Good morning", max_tokens=40))
    next(running)

    assert (vector(http, runtime, "Hello, world") == alone).all()
    assert len([*running][-1].token_ids) <= 40


def test_a_failure_of_the_model_is_an_error_and_the_engine_continues(embedder, monkeypatch):
    http, runtime = embedder()
    with monkeypatch.context() as patch:
        patch.setattr(embedding, "make_prompt_cache", lambda _: 1 / 0)
        response = http.post(URL, json={"model": runtime.model.id, "input": "a"})
        assert "ZeroDivisionError" in response.json()["error"]["message"]

    assert len(vector(http, runtime, "a")) == 32


def test_a_model_with_bidirectional_attention_is_refused_with_the_reason(embedder):
    http, runtime = embedder(use_bidirectional_attention=True)

    assert "bidirectional" in runtime.embedder
    assert http.post(URL, json={"model": runtime.model.id, "input": "a"}).status_code == 400


def test_an_unknown_pooling_or_module_is_named(tmp_path):
    from concordance_inference.models.pooling import pooling_of

    folder = write_tiny_embedder(tmp_path / "odd", pooling="weightedmean")
    assert "'weightedmean' is not one of cls, mean, max, lasttoken" in pooling_of(folder)
    modules = msgspec.json.decode((folder / "modules.json").read_bytes())
    dense = {"type": "sentence_transformers.models.Dense", "path": "3_Dense"}
    (folder / "modules.json").write_bytes(msgspec.json.encode([*modules, dense]))
    assert "Dense" in pooling_of(folder)

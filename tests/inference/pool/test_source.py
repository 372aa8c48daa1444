"""Tiny real models in one server: loaded on demand, exact beside each other, freed when evicted."""

import gc
import shutil
import threading
import weakref

import mlx.core as mx
import pytest
from concordance_inference.engine.config import EngineConfig
from concordance_inference.models.options import ModelOptions
from concordance_inference.pool.idle import unloading_idle
from concordance_inference.pool.memory import MemoryBudget
from concordance_inference.pool.pool import ModelPool
from concordance_inference.pool.source import RuntimeSource
from concordance_inference.pool.spec import parse_models
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from sandboxes import mod_catalog
from servers import eventually
from starlette.testclient import TestClient
from tiny_folder import write_tiny_folder


@pytest.fixture(name="folders", scope="module")
def _folders(tmp_path_factory):
    """Two models of different weights."""
    root = tmp_path_factory.mktemp("models")
    first = write_tiny_folder(root / "first")
    second = shutil.copytree(first, root / "second")
    weights = mx.load(str(first / "model.safetensors"))
    changed = {name: array * (1.5 if "embed" in name else 1) for name, array in weights.items()}
    mx.save_safetensors(str(second / "model.safetensors"), changed, {"format": "mlx"})
    return first, second


@pytest.fixture(name="pool")
def _pool(folders):
    mods = mod_catalog()
    source = RuntimeSource(
        mods,
        config=EngineConfig(),
        options=ModelOptions(),
        locks_memory=False,
        progress=lambda _: None,
    )
    specs = parse_models([str(folders[0]), f"other={folders[1]}"])
    with ModelPool(specs, source, budget=MemoryBudget(total=100_000_000)) as pool:
        yield pool


@pytest.fixture(name="client")
def _client(pool):
    app = create_app(ServerContext(models=pool, mods=mod_catalog()))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        yield client


def completion(client, model):
    body = {"model": model, "prompt": "Hello", "max_tokens": 20, "temperature": 0}
    response = client.post("/v1/completions", json={**body, "return_token_ids": True}).json()
    return response["choices"][0]["token_ids"]


def states(client):
    return {
        m["id"]: m["status"] for m in client.get("/v1/models").json()["data"] if "/" not in m["id"]
    }


def test_models_are_loaded_on_demand_and_answer_beside_each_other_as_they_do_alone(client, pool):
    assert states(client) == {"first": "unloaded", "other": "unloaded"}
    alone = {"first": completion(client, "first"), "other": completion(client, "other")}
    assert states(client) == {"first": "loaded", "other": "loaded"}
    assert alone["first"] != alone["other"]

    together = []
    threads = [
        threading.Thread(target=lambda n=n: together.append((n, completion(client, n))))
        for n in ["first", "other"] * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(ids == alone[name] for name, ids in together)
    assert len(together) == 8


def test_an_unloaded_model_frees_its_memory_without_a_collection_and_answers_again(client, pool):
    before = completion(client, "other")
    model = weakref.ref(pool.running[0].loaded.model)
    gc.disable()
    try:
        response = client.post("/v1/models/unload", json={"model": "other"})
        assert response.json()["status"] == "unloaded"
        assert model() is None
    finally:
        gc.enable()

    assert completion(client, "other") == before


def test_a_model_is_loaded_and_described_over_the_api(client):
    described = client.post("/v1/models/load", json={"model": "other"}).json()

    assert (described["id"], described["status"], described["max_model_len"]) == (
        "other",
        "loaded",
        128,
    )
    assert described["memory_bytes"] > 0
    assert described == client.get("/v1/models/other").json()


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [({"model": "nosuch"}, 404, "model"), ({"model": 1}, 400, "model"), ({}, 400, "model")],
)
@pytest.mark.parametrize("what", ["load", "unload"])
def test_a_wrong_name_to_load_or_unload_is_refused(client, what, body, status, param):
    response = client.post(f"/v1/models/{what}", json=body)

    assert (response.status_code, response.json()["error"]["param"]) == (status, param)


def test_a_folder_that_cannot_be_loaded_is_the_error_of_its_requests_only(tmp_path, folders):
    shutil.copytree(folders[0], tmp_path / "broken")
    (tmp_path / "broken" / "config.json").write_text("{}")
    source = RuntimeSource(
        mod_catalog(),
        config=EngineConfig(),
        options=ModelOptions(),
        locks_memory=False,
        progress=lambda _: None,
    )
    specs = parse_models([str(folders[0]), str(tmp_path / "broken")])
    with ModelPool(specs, source, budget=MemoryBudget(total=100_000_000)) as pool:
        app = create_app(ServerContext(models=pool, mods=mod_catalog()))
        with TestClient(app, base_url="http://127.0.0.1:8000") as client:
            refused = client.post("/v1/completions", json={"model": "broken", "prompt": "a"})
            assert refused.json()["error"]["code"] == "model_load_failed"
            assert "broken" in refused.json()["error"]["message"]
            assert len(completion(client, "first")) == 20


def test_idle_models_are_unloaded_by_time(client, pool):
    completion(client, "first")
    with unloading_idle(pool, 0.01):
        eventually(lambda: states(client) == {"first": "unloaded", "other": "unloaded"})
    assert len(completion(client, "first")) == 20

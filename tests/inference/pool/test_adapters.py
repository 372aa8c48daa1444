"""One model with several LoRA adapters: each request is exact, and the base weights are shared."""

import threading

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.config import EngineConfig
from concordance_inference.generation import SamplingParams
from concordance_inference.models.options import ModelOptions
from concordance_inference.pool.memory import MemoryBudget
from concordance_inference.pool.pool import ModelPool
from concordance_inference.pool.source import RuntimeSource
from concordance_inference.pool.spec import parse_adapters, parse_models
from concordance_inference.runtime import Runtime
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_shared import InvalidRequestError
from mlx.utils import tree_flatten
from sandboxes import mod_catalog
from starlette.testclient import TestClient
from tiny_adapter import write_tiny_adapter
from tiny_folder import write_tiny_folder

PROMPT = "Hello, and good"


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    write_tiny_adapter(root / "first", seed=1)
    write_tiny_adapter(root / "second", seed=2)
    return write_tiny_folder(root / "tiny").parent


def source_of():
    return RuntimeSource(
        mod_catalog(),
        config=EngineConfig(),
        options=ModelOptions(),
        locks_memory=False,
        progress=lambda _: None,
    )


@pytest.fixture(name="pool", scope="module")
def _pool(folder):
    models = parse_models([str(folder / "tiny")])
    adapters = parse_adapters([f"a={folder / 'first'}", f"tiny:b={folder / 'second'}"], models)
    with ModelPool([*models, *adapters], source_of(), budget=MemoryBudget(total=10**9)) as pool:
        yield pool


@pytest.fixture(name="client", scope="module")
def _client(pool):
    app = create_app(ServerContext(models=pool, mods=mod_catalog()))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        yield client


def completion(client, model):
    body = {"model": model, "prompt": PROMPT, "max_tokens": 24, "temperature": 0}
    response = client.post("/v1/completions", json={**body, "return_token_ids": True}).json()
    return response["choices"][0]["token_ids"]


def alone(folder, adapter, place=None):
    """The completion of a model that is loaded with the adapter and nothing else."""
    options = ModelOptions(adapter_path=adapter and folder / adapter)
    place = place or folder / "tiny"
    with Runtime(str(place), mod_catalog(), options=options, progress=lambda _: None) as runtime:
        sampling = SamplingParams(temperature=0)
        request = runtime.request(PROMPT, max_tokens=24, sampling=sampling)
        return list([*runtime.submit(request)][-1].token_ids)


def test_requests_of_all_adapters_together_are_those_of_each_model_alone(client, folder):
    names = {"tiny": None, "tiny:a": "first", "tiny:b": "second"}
    expected = {name: alone(folder, adapter) for name, adapter in names.items()}
    assert len({tuple(ids) for ids in expected.values()}) == 3

    found = []
    threads = [
        threading.Thread(target=lambda n=n: found.append((n, completion(client, n))))
        for n in [*names] * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 9
    assert all(ids == expected[name] for name, ids in found)


def test_the_weights_of_the_base_are_in_memory_once(client, pool):
    for name in ("tiny", "tiny:a", "tiny:b"):
        completion(client, name)
    base, first, second = (dict(tree_flatten(r.loaded.model.parameters())) for r in pool.running)

    for adapted in (first, second):
        for name, array in base.items():
            wrapped = name.rpartition(".")
            kept = adapted.get(name)
            if kept is None:
                kept = adapted[f"{wrapped[0]}.linear.{wrapped[2]}"]
            assert _address(kept) == _address(array), name


def _address(array):
    return np.asarray(array).__array_interface__["data"][0]


def test_an_adapter_stays_exact_when_its_base_is_unloaded(client, folder):
    completion(client, "tiny")
    before = completion(client, "tiny:a")
    assert client.post("/v1/models/unload", json={"model": "tiny"}).status_code == 200

    assert completion(client, "tiny:a") == before
    assert completion(client, "tiny") == alone(folder, None)


def test_adapters_that_replace_the_weights_share_none_and_are_exact(folder, tmp_path):
    weights = mx.load(str(folder / "tiny" / "model.safetensors"))
    full = tmp_path / "full"
    full.mkdir()
    changed = {name: array * 1.5 for name, array in weights.items() if "embed" in name}
    mx.save_safetensors(str(full / "adapters.safetensors"), changed)
    (full / "adapter_config.json").write_text('{"fine_tune_type": "full", "num_layers": 2}')
    models = parse_models([str(folder / "tiny")])
    specs = [*models, *parse_adapters([f"full={full}"], models)]
    with ModelPool(specs, source_of(), budget=MemoryBudget(total=10**9)) as pool:
        app = create_app(ServerContext(models=pool, mods=mod_catalog()))
        with TestClient(app, base_url="http://127.0.0.1:8000") as client:
            adapted = completion(client, "tiny:full")
            assert pool.running[0].loaded.base is None
            assert completion(client, "tiny") == alone(folder, None) != adapted
            assert adapted == alone(tmp_path, "full", place=folder / "tiny")


def test_cached_prefixes_are_not_shared_between_adapters(client):
    body = {"prompt": "a long prefix " * 7, "max_tokens": 1, "temperature": 0}
    for name in ("tiny", "tiny:a"):
        usage = client.post("/v1/completions", json={"model": name, **body}).json()["usage"]
        assert usage["prompt_tokens_details"]["cached_tokens"] == 0


def test_adapters_are_listed_with_their_base(client):
    models = {m["id"]: m for m in client.get("/v1/models").json()["data"]}

    assert models["tiny"]["adapters"] == ["tiny:a", "tiny:b"]
    assert (models["tiny:a"]["parent"], models["tiny"]["parent"]) == ("tiny", None)
    assert models["tiny:b"]["max_model_len"] == 128


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a", "write NAME=FOLDER"),
        ("=x", "write NAME=FOLDER"),
        ("nosuch:a=x", "MODEL is one of tiny"),
        ("a=/nowhere", "no adapter_config.json"),
    ],
)
def test_a_wrong_adapter_is_refused(folder, given, message):
    with pytest.raises(InvalidRequestError, match=message):
        parse_adapters([given], parse_models([str(folder / "tiny")]))


def test_two_adapters_of_one_name_are_refused(folder):
    given = [f"a={folder / 'first'}", f"a={folder / 'second'}"]
    with pytest.raises(InvalidRequestError, match="a model 'tiny:a' already"):
        parse_adapters(given, parse_models([str(folder / "tiny")]))

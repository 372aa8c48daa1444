"""Models that are stored while a server runs are found."""

import asyncio

import pytest
from concordance_inference.pool import entries
from concordance_inference.pool.pool import ModelPool
from concordance_inference.pool.spec import ModelSpec
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_shared import UnknownModelError
from fake_source import FakeSource
from sandboxes import mod_catalog
from starlette.testclient import TestClient


class Store:
    """The names of stored models; counts the looks at it."""

    def __init__(self, *names):
        self.names = list(names)
        self.num_looks = 0

    def find_new(self, others):
        self.num_looks += 1
        return [ModelSpec(name=name, place=name) for name in self.names if name not in others]


@pytest.fixture(name="store")
def _store(monkeypatch):
    monkeypatch.setattr(entries, "LOOK_S", 0.0)
    return Store()


def pool_of(store):
    specs = [ModelSpec(name="a", place="a")]
    return ModelPool(specs, FakeSource(), aliases={"b": "a"}, find_new=store.find_new)


@pytest.fixture(name="client")
def _client(store):
    context = ServerContext(models=pool_of(store), mods=mod_catalog())
    return TestClient(create_app(context), base_url="http://127.0.0.1:8000")


def test_a_request_can_name_a_model_that_was_stored_later(client, store):
    body = {"model": "org/new/greeting", "messages": [{"role": "user", "content": "hi"}]}
    assert client.post("/v1/chat/completions", json=body).status_code == 404
    store.names.append("org/new")
    response = client.post("/v1/chat/completions", json=body)

    assert response.json()["choices"][0]["message"]["content"] == "Hello"


def test_the_models_that_were_stored_later_are_listed(client, store):
    store.names.append("org/new")
    names = [model["id"] for model in client.get("/v1/models").json()["data"]]

    assert "org/new" in names
    assert client.get("/v1/models/org/new").json()["status"] == "unloaded"


def test_a_model_that_was_stored_later_can_be_loaded_by_name(client, store):
    store.names.append("org/new")
    response = client.post("/v1/models/load", json={"model": "org/new"})

    assert response.json()["status"] == "loaded"


def test_an_alias_is_no_new_model(store):
    store.names.append("b")
    pool = pool_of(store)
    pool.look_again()

    assert list(pool.names) == ["a", "b"]


def test_the_store_is_looked_at_once_a_second_at_most(store, monkeypatch):
    monkeypatch.setattr(entries, "LOOK_S", 60.0)
    pool = pool_of(store)
    for _ in range(5):
        with pytest.raises(UnknownModelError, match="'c'"):
            pool.named("c")

    assert store.num_looks == 1


def test_known_models_are_found_without_a_look(store):
    pool = pool_of(store)
    asyncio.run(pool.load("a"))
    pool.named("b")

    assert store.num_looks == 0


def test_models_can_be_read_while_others_are_added(store):
    pool = pool_of(store)
    entries_read = iter(pool._entries.values())
    assert next(entries_read).spec.name == "a"
    store.names.append("org/new")
    pool.look_again()

    assert list(entries_read) == []
    assert list(pool._entries) == ["a", "org/new"]

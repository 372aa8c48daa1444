"""The tokenizers that workers know."""

import pytest
from concordance_inference.sandbox.served_models import ServedModels
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import SandboxUnavailableError


class Pool:
    """Records the models of its workers."""

    def __init__(self):
        self.models = []

    def add_model(self, model):
        self.models.append(model.id)

    def remove_model(self, model):
        self.models.remove(model)


@pytest.fixture(name="pool")
def _pool():
    return Pool()


@pytest.fixture(name="models")
def _models(pool):
    return ServedModels(pool)


def test_tokenizer_of_a_loaded_model_is_there_before_the_first_request(models, pool):
    tokenizer = ByteTokenizer()
    models.serve(tokenizer, width=257)

    assert pool.models == ["", "model-1"]
    assert models.id_of(tokenizer, width=257) == "model-1"
    assert pool.models == ["", "model-1"]


def test_each_of_several_models_has_an_id_that_is_never_used_again(models, pool):
    first, second = ByteTokenizer(), ByteTokenizer()
    ids = [models.id_of(each, width=257) for each in (first, second, first)]
    models.release(first)

    assert ids == ["model-1", "model-2", "model-1"]
    assert models.id_of(first, width=257) == "model-3"
    assert pool.models == ["", "model-2", "model-3"]


def test_tokenizer_that_models_share_is_freed_with_the_last_of_them(models, pool):
    tokenizer = ByteTokenizer()
    models.serve(tokenizer, width=257)
    models.serve(tokenizer, width=257)
    models.release(tokenizer)
    shared = list(pool.models)
    models.release(tokenizer)

    assert (shared, pool.models) == (["", "model-1"], [""])
    with pytest.raises(SandboxUnavailableError, match="not known"):
        models.check("model-1")


def test_tokenizer_that_workers_cannot_load_is_an_error_of_requests_only(models, pool):
    tokenizer = object.__new__(_Foreign)
    models.serve(tokenizer, width=257)

    with pytest.raises(SandboxUnavailableError, match="cannot load the tokenizer"):
        models.id_of(tokenizer, width=257)
    assert pool.models == [""]


def test_model_that_the_zygote_cannot_load_is_refused(models):
    name = models.id_of(ByteTokenizer(), width=257)
    models.loaded(name, "ValueError: no")

    with pytest.raises(SandboxUnavailableError, match="no"):
        models.check(name)


class _Foreign:
    """A tokenizer of another package."""

    eos_token_ids = frozenset({1})

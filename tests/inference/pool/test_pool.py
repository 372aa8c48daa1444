"""Models are loaded on demand, share the memory, and are evicted when no request uses them."""

import asyncio

import pytest
from concordance_inference.pool.loading import ModelsBusyError
from concordance_inference.pool.memory import MemoryBudget, ModelTooLargeError
from concordance_inference.pool.pool import ModelPool
from concordance_inference.pool.spec import ModelSpec
from concordance_inference.server import model_use
from concordance_inference.server.model_use import ModelUse
from concordance_inference.server.served_models import ModelNotLoadedError
from concordance_shared import (
    ConflictError,
    EngineStoppedError,
    ModelLoadError,
    UnknownModelError,
)
from fake_source import FakeSource

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


def pool_of(*names, source=None, total=100, kv_bytes=30, **options):
    specs = [ModelSpec(name=name, place=name) for name in names]
    budget = MemoryBudget(total=total, kv_bytes=kv_bytes)
    return ModelPool(specs, source or FakeSource(), budget=budget, **options)


def states(pool):
    return {card.name: card.status for card in pool.cards()}


class Request:
    """A request that holds the models that it names until it ends."""

    def __init__(self, pool, name):
        self.pool, self.name = pool, name
        self.use = ModelUse()

    async def __aenter__(self):
        token = model_use._USE.set(self.use)
        try:
            while True:
                try:
                    return self.pool.named(self.name)
                except ModelNotLoadedError as exc:
                    await self.pool.load(exc.name)
        finally:
            model_use._USE.reset(token)

    async def __aexit__(self, *_):
        self.use.close()


async def ask(pool, name):
    async with Request(pool, name) as served:
        return served


async def test_a_model_is_loaded_when_it_is_named_first():
    source = FakeSource()
    pool = pool_of("a", "b", source=source)
    with pytest.raises(ModelNotLoadedError, match="'b'"):
        pool.named("b")

    assert (await ask(pool, "b")).info.id == "b"
    assert (await ask(pool, "b/upper")).mods[0].name == "upper"
    assert source.loads == ["b"]
    assert states(pool) == {"a": "unloaded", "b": "loaded"}


async def test_requests_that_name_a_model_at_the_same_time_load_it_once():
    source = FakeSource()
    pool = pool_of("a", source=source)

    await asyncio.gather(*(ask(pool, "a") for _ in range(5)))

    assert source.loads == ["a"]


async def test_the_least_recently_used_model_is_evicted():
    source = FakeSource()
    pool = pool_of("a", "b", "c", source=source)  # 40 bytes each
    await ask(pool, "a")
    await ask(pool, "b")
    await ask(pool, "a")

    await ask(pool, "c")

    assert states(pool) == {"a": "loaded", "b": "unloaded", "c": "loaded"}


async def test_a_model_that_a_request_uses_is_not_evicted():
    pool = pool_of("a", "b", "c")
    async with Request(pool, "a") as served:
        await ask(pool, "b")
        await ask(pool, "c")

        assert states(pool) == {"a": "loaded", "b": "unloaded", "c": "loaded"}
        assert served.engine.is_running


async def test_a_model_waits_until_requests_of_others_end():
    pool = pool_of("a", "b", total=40)
    async with Request(pool, "a"):
        waiting = asyncio.ensure_future(ask(pool, "b"))
        await asyncio.sleep(0.1)
        assert states(pool) == {"a": "loaded", "b": "loading"}

    assert (await waiting).info.id == "b"
    assert states(pool) == {"a": "unloaded", "b": "loaded"}


async def test_models_that_do_not_fit_together_take_turns():
    pool = pool_of("a", "b", total=40)

    served = await asyncio.gather(*(ask(pool, name) for name in "abababab"))

    assert [each.info.id for each in served] == [*"abababab"]


async def test_a_request_continues_while_its_model_is_drained():
    pool = pool_of("a", "b", total=40)
    async with Request(pool, "a"):
        waiting = asyncio.ensure_future(ask(pool, "b"))
        await asyncio.sleep(0.1)
        with pytest.raises(ModelNotLoadedError):
            pool.named("a")  # a new request
        waiting.cancel()


async def test_a_wait_for_memory_ends_with_the_figures():
    pool = pool_of("a", "b", total=40_000_000_000, kv_bytes=30_000_000_000, wait_s=0)
    async with Request(pool, "a"):
        with pytest.raises(ModelsBusyError, match=r"'b' needs 30 GB of the 40 GB.*'a' 30 GB"):
            await ask(pool, "b")
        assert (await ask(pool, "a")).info.id == "a"

    assert (await ask(pool, "b")).info.id == "b"


async def test_a_model_that_never_fits_is_refused_with_the_figures():
    source = FakeSource({"b": 90_000_000_000})
    pool = pool_of("a", "b", source=source, total=50_000_000_000)
    await ask(pool, "a")

    with pytest.raises(ModelTooLargeError, match=r"'b' needs 90 GB.*may use 50 GB"):
        await ask(pool, "b")
    assert states(pool) == {"a": "loaded", "b": "unloaded"}


async def test_without_a_choice_caches_share_what_the_weights_leave():
    source = FakeSource({"a": 10, "b": 30})
    pool = pool_of("a", "b", source=source, kv_bytes=None)
    await ask(pool, "a")
    await ask(pool, "b")

    assert sum(card.memory_bytes for card in pool.cards()) <= 100
    assert source.caches["b"] == 30


async def test_a_failure_is_that_of_the_requests_that_wait_and_of_no_other():
    source = FakeSource(failing="b")
    pool = pool_of("a", "b", source=source)
    await ask(pool, "a")

    failed = await asyncio.gather(ask(pool, "b"), ask(pool, "b"), return_exceptions=True)

    assert [str(error) for error in failed] == ["b has no weights"] * 2
    assert failed[0] is not failed[1]
    assert (await ask(pool, "a")).info.id == "a"
    assert states(pool) == {"a": "loaded", "b": "unloaded"}
    with pytest.raises(ModelLoadError):
        await ask(pool, "b")
    assert source.loads == ["a", "b"]  # not tried again at once


async def test_a_client_that_leaves_does_not_cancel_the_loading():
    source = FakeSource()
    source.may_load.clear()
    pool = pool_of("a", source=source)
    leaving = asyncio.ensure_future(ask(pool, "a"))
    staying = asyncio.ensure_future(ask(pool, "a"))
    await asyncio.sleep(0.05)
    leaving.cancel()
    source.may_load.set()

    assert (await staying).info.id == "a"
    assert source.loads == ["a"]


async def test_other_models_answer_while_a_model_is_loaded():
    source = FakeSource()
    pool = pool_of("a", "b", source=source)
    await ask(pool, "a")
    source.may_load.clear()
    loading = asyncio.ensure_future(ask(pool, "b"))
    await asyncio.sleep(0.05)

    assert (await asyncio.wait_for(ask(pool, "a"), 1)).info.id == "a"
    assert states(pool)["b"] == "loading"
    source.may_load.set()
    await loading


async def test_a_model_whose_engine_has_stopped_is_loaded_again():
    source = FakeSource()
    pool = pool_of("a", source=source)
    (await ask(pool, "a")).engine.stop()

    assert (await ask(pool, "a")).engine.is_running
    assert source.loads == ["a", "a"]


async def test_idle_models_are_unloaded():
    pool = pool_of("a", "b")
    async with Request(pool, "b"):
        await ask(pool, "a")
        pool.unload_idle(0)

    assert states(pool) == {"a": "unloaded", "b": "loaded"}
    pool.unload_idle(1000)
    assert states(pool) == {"a": "unloaded", "b": "loaded"}


async def test_a_model_is_unloaded_on_demand_unless_a_request_uses_it():
    pool = pool_of("a", "b")
    async with Request(pool, "a"):
        with pytest.raises(ConflictError, match="1 requests use the model 'a'"):
            await pool.unload("a")
    await pool.unload("a")
    await pool.unload("a")

    assert states(pool) == {"a": "unloaded", "b": "unloaded"}


async def test_aliases_name_the_same_model():
    pool = pool_of("a", "b", aliases={"gpt-4o": "b"})

    assert (await ask(pool, "gpt-4o")).info.id == "b"
    assert (await ask(pool, "gpt-4o/upper")).mods[0].name == "upper"
    assert {card.name: card.aliases for card in pool.cards()} == {"a": (), "b": ("gpt-4o",)}


async def test_an_unknown_model_lists_those_that_there_are():
    pool = pool_of("a", "b", aliases={"c": "a"})

    for name in ("d", "d/upper", ""):
        with pytest.raises(UnknownModelError, match="this server has 'a', 'b', 'c'"):
            pool.named(name)
    with pytest.raises(UnknownModelError):
        await pool.load("d")


async def test_the_first_model_is_the_default():
    pool = pool_of("a", "b")
    with pytest.raises(ModelNotLoadedError, match="'a'"):
        pool.named(None)
    await pool.load("a")

    assert pool.named(None).info.id == "a"


async def test_a_stopped_pool_loads_nothing():
    pool = pool_of("a", "b")
    await ask(pool, "a")
    pool.stop()

    for name in "ab":
        with pytest.raises(EngineStoppedError):
            pool.named(name)
        with pytest.raises(EngineStoppedError):
            await pool.load(name)

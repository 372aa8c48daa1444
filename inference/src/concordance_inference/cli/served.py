"""The models of `concordance serve`, from its options."""

from collections.abc import Callable

from concordance_inference.cli.given_models import GivenModels
from concordance_inference.cli.options import Serve
from concordance_inference.engine.model.memory import default_kv_bytes
from concordance_inference.hosted_tools import HostedTools
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.pool.memory import MemoryBudget
from concordance_inference.pool.pool import ModelPool
from concordance_inference.pool.source import RuntimeSource
from concordance_inference.pool.spec import stored_models


def model_pool(
    options: Serve,
    given: GivenModels,
    mods: ModCatalog,
    tools: HostedTools,
    *,
    progress: Callable[[str], None],
) -> ModelPool:
    """Make the pool of a server's models, none of them loaded.

    A single model without `--model-memory` has the memory that it needs.
    """
    source = RuntimeSource(
        mods,
        config=options.config,
        options=options.model_options,
        locks_memory=options.mlock,
        hosted_tools=tools,
        progress=progress,
    )
    return ModelPool(
        given.specs,
        source,
        aliases=given.aliases,
        budget=memory_budget(options, len(given.specs)),
        find_new=stored_models if options.allow_stored else None,
    )


def memory_budget(options: Serve, num_models: int) -> MemoryBudget | None:
    """Return the memory that models share; `None` for a single one that has what it needs."""
    total = options.model_bytes
    if num_models == 1 and total is None and not options.allow_stored:
        return None
    return MemoryBudget(
        total=default_kv_bytes(0) if total is None else total, kv_bytes=options.config.kv_bytes
    )

"""The models of `concordance serve`, from its options."""

from collections.abc import Callable

from concordance_shared import InvalidRequestError

from concordance_inference.cli.options import Serve
from concordance_inference.engine.model.memory import default_kv_bytes
from concordance_inference.hosted_tools import HostedLimits, load_hosted_tools
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.pool.memory import MemoryBudget
from concordance_inference.pool.pool import ModelPool
from concordance_inference.pool.source import RuntimeSource
from concordance_inference.pool.spec import (
    parse_adapters,
    parse_aliases,
    parse_models,
    stored_models,
)


def model_pool(options: Serve, mods: ModCatalog, *, progress: Callable[[str], None]) -> ModelPool:
    """Make the pool of a server's models, none of them loaded.

    A single model without `--model-memory` has the memory that it needs.

    Raises:
        InvalidRequestError: The names of models clash.
    """
    models = parse_models(options.model)
    if options.adapter_path and len(models) > 1:
        raise InvalidRequestError(
            "--adapter-path is for a single model; with several, name adapters with "
            "--adapter MODEL:NAME=FOLDER"
        )
    specs = (*models, *parse_adapters(options.adapter, models))
    if options.allow_stored:
        specs = (*specs, *stored_models({spec.name for spec in specs}))
    source = RuntimeSource(
        mods,
        config=options.config,
        options=options.model_options,
        locks_memory=options.mlock,
        hosted_tools=load_hosted_tools(
            options.tools, HostedLimits(calls=options.tool_calls, seconds=options.tool_seconds)
        ),
        progress=progress,
    )
    names = [spec.name for spec in specs]
    aliases = parse_aliases(options.alias, names)
    return ModelPool(
        specs,
        source,
        aliases=aliases,
        budget=memory_budget(options, len(specs)),
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

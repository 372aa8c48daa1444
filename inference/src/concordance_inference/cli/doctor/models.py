"""Checks of models: what is on this machine, and what fits into its memory."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from concordance_inference.cli.doctor.finding import Finding, gigabytes, note, ok, problem
from concordance_inference.cli.options import Doctor

if TYPE_CHECKING:
    from concordance_inference.models.sizes import ModelSize

#: Bytes of a parameter by its format; quantized ones with their scales.
_FORMATS: Mapping[str, float] = {"4 bits": 4.5 / 8, "8 bits": 8.5 / 8, "16 bits": 2.0}

#: The part of the memory that weights should take, so that caches have the others.
_WEIGHTS_PART = 0.7


def memory(_: Doctor) -> Iterator[Finding]:
    """The memory of the device, and the models that fit into it."""
    from concordance_inference.engine.model.memory import memory_size, usable_bytes

    size, room = memory_size(), _WEIGHTS_PART * usable_bytes()
    fits = {name: round(room / each / 1e9, 1) for name, each in _FORMATS.items()}
    listed = ", ".join(f"{billions:g} B in {name}" for name, billions in fits.items())
    text = f"{gigabytes(size)}; with room for caches, models of up to {listed}"
    yield ok("memory", text, bytes=size, billions_of_parameters=fits)


def embedded(_: Doctor) -> Iterator[Finding]:
    """The embedded model."""
    from concordance_inference.models.embedded import PACKAGE, embedded_gguf

    gguf = embedded_gguf()
    if gguf is None:
        text = f"the embedded model is fetched when it is first loaded: {PACKAGE}, 95 MB"
        yield note("embedded", text)
    else:
        yield ok("embedded", str(gguf), file=str(gguf))


def model(options: Doctor) -> Iterator[Finding]:
    """Each chosen model: is it here, its size, and how much text fits beside it."""
    from concordance_inference.models.places import present_folder
    from concordance_inference.models.sizes import model_size
    from concordance_inference.pool.spec import parse_aliases, parse_models

    specs = parse_models(options.model)
    parse_aliases(options.alias, [spec.name for spec in specs])
    sizes: dict[str, ModelSize] = {}
    for spec in specs:
        folder = present_folder(spec.place)
        if folder is None:
            yield _absent(spec.name)
        else:
            sizes[spec.name] = model_size(folder, options.model_options)
    for name, size in sizes.items():
        yield _fit(name, size, _kv_bytes(name, sizes, options, len(specs)), options)


def _kv_bytes(name: str, sizes: "Mapping[str, ModelSize]", options: Doctor, num_models: int) -> int:
    """The bytes for the caches of a model, beside those of the other models.

    Raises:
        ModelTooLargeError: It does not fit, even alone.
    """
    from concordance_inference.cli.served import memory_budget
    from concordance_inference.engine.model.memory import default_kv_bytes

    weights = sizes[name].weight_bytes
    if budget := memory_budget(options, num_models):
        of_all = sum(size.weight_bytes for size in sizes.values())
        return budget.cache_bytes(name, weights, of_all=of_all, num_models=len(sizes))
    chosen = options.config.kv_bytes
    return default_kv_bytes(weights) if chosen is None else chosen


def _absent(name: str) -> Finding:
    """A model whose files are not there yet."""
    from huggingface_hub import constants

    from concordance_inference.models.embedded import DEFAULT_MODEL

    is_file = name == DEFAULT_MODEL or name.endswith(".gguf")
    if constants.HF_HUB_OFFLINE and not is_file:
        text = f"{name} is not on this machine, and HF_HUB_OFFLINE is set: download it first"
        return problem("model", text)
    how = "converted" if is_file else "downloaded"
    return note("model", f"{name} is {how} when it is first loaded; its size is known after that")


def _fit(name: str, size: "ModelSize", kv_bytes: int, options: Doctor) -> Finding:
    """How a model and its caches fit into memory."""
    from concordance_inference.engine.caches.budget import KvBudget
    from concordance_inference.engine.model.memory import memory_size

    config = options.config
    length = size.context_length
    budget = KvBudget(
        size.footprint, max_bytes=kv_bytes, max_rows=config.max_rows, context_length=length
    )
    share = budget.length_of(0, None)
    data = {
        "weight_bytes": size.weight_bytes,
        "kv_bytes_per_token": size.footprint.per_token,
        "kv_bytes": kv_bytes,
        "context_length": length,
        "longest": budget.longest,
        "longest_of_max_rows": share,
    }
    text = (
        f"{name}: weights {gigabytes(size.weight_bytes)}, KV cache "
        f"{gigabytes(size.footprint.per_token)} per token"
    )
    if size.weight_bytes > memory_size():
        text += f", more than the memory of {gigabytes(memory_size())}; choose a smaller model"
        return problem("model", text, **data)
    if budget.longest == 0:
        text += f"; {gigabytes(kv_bytes)} for caches hold no request; choose a smaller model"
        return problem("model", text, **data)
    text += (
        f"; {gigabytes(kv_bytes)} for caches hold a request of {budget.longest:,} tokens "
        f"(context: {length:,}), or {config.max_rows} of {share:,} each"
    )
    return (note if share < length else ok)("model", text, **data)

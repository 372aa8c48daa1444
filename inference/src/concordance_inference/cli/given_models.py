"""The models that the options of `serve` name, checked before anything slow is imported."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from concordance_shared import InvalidRequestError

from concordance_inference.cli.options import Serve
from concordance_inference.models.embedded import DEFAULT_MODEL
from concordance_inference.models.given_names import model_at
from concordance_inference.pool.spec import (
    ModelSpec,
    parse_adapters,
    parse_aliases,
    parse_models,
    stored_models,
)


@dataclass(frozen=True, kw_only=True)
class GivenModels:
    """The models of a server, the first of which is loaded at the start."""

    specs: tuple[ModelSpec, ...]
    aliases: Mapping[str, str]


def given_models(options: Serve) -> GivenModels:
    """Return the models with their adapters and aliases.

    Raises:
        InvalidRequestError: Their names clash, or an adapter or the model of an alias is not there.
        ModelLoadError: The first is a path, and there is no model.
    """
    models = parse_models(options.model)
    _check_adapter_path(options.adapter_path, len(models))
    specs = (*models, *parse_adapters(options.adapter, models))
    if options.allow_stored:
        specs = (*specs, *stored_models({spec.name for spec in specs}))
    aliases = parse_aliases(options.alias, [spec.name for spec in specs])
    place = models[0].place
    if place is not None and place != DEFAULT_MODEL:
        model_at(place)
    return GivenModels(specs=specs, aliases=aliases)


def _check_adapter_path(path: Path | None, num_models: int) -> None:
    if path is None:
        return
    if num_models > 1:
        raise InvalidRequestError(
            "--adapter-path is for a single model; with several, name adapters with "
            "--adapter MODEL:NAME=FOLDER"
        )
    if not (path / "adapter_config.json").is_file():
        raise InvalidRequestError(
            f"--adapter-path {path}: it has no adapter_config.json, so it is not a folder of "
            "adapters as written by mlx_lm.lora"
        )

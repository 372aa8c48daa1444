"""The models that a server may load, as its operator names them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from concordance_shared import InvalidRequestError
from msgspec import Struct

from concordance_inference.models.download import hub_names
from concordance_inference.models.given_names import default_id
from concordance_inference.models.store import lm_studio_names, stored_names


class ModelSpec(Struct, frozen=True, kw_only=True):
    """A model that may be loaded."""

    name: str  # in requests
    place: str | None  # a folder, a GGUF file, or an id on the hub; `None`: the embedded default
    adapter: Path | None = None  # a folder of LoRA adapters
    parent: str | None = None  # the name of the model without the adapter


def parse_models(given: Sequence[str]) -> tuple[ModelSpec, ...]:
    """Parse the values of `--model`, each `PLACE` or `NAME=PLACE`; none is the embedded default.

    Raises:
        InvalidRequestError: Two models have the same name.
    """
    specs = tuple(map(_parsed, given)) or (ModelSpec(name=default_id(None), place=None),)
    places: dict[str, str | None] = {}
    for spec in specs:
        if spec.name in places:
            raise InvalidRequestError(
                f"--model {places[spec.name]} and --model {spec.place} are both named "
                f"{spec.name!r}; name one of them: --model NAME={spec.place}"
            )
        places[spec.name] = spec.place
    return specs


def _parsed(text: str) -> ModelSpec:
    name, equals, place = text.partition("=")
    if not equals or "/" in name or Path(text).exists():
        return ModelSpec(name=default_id(text), place=text)
    if not name or not place:
        raise InvalidRequestError(f"--model {text!r}: write a model as PLACE or as NAME=PLACE")
    return ModelSpec(name=name, place=place)


def stored_models(others: Collection[str]) -> tuple[ModelSpec, ...]:
    """Return the models in the store, in the hub's cache and in LM Studio's folder.

    Args:
        others: The names of models that are served anyway.
    """
    names = dict.fromkeys([*stored_names(), *hub_names(), *lm_studio_names()])
    return tuple(ModelSpec(name=name, place=name) for name in names if name not in others)


def parse_adapters(given: Iterable[str], models: Sequence[ModelSpec]) -> tuple[ModelSpec, ...]:
    """Parse the values of `--adapter`, each `NAME=FOLDER` or `MODEL:NAME=FOLDER`.

    The name of a model with an adapter is `MODEL:NAME`.

    Args:
        given: The values.
        models: The models; an adapter without one is of the first.

    Raises:
        InvalidRequestError: The model or the folder does not exist, or two have the same name.
    """
    by_name = {model.name: model for model in models}
    specs: dict[str, ModelSpec] = {}
    for text in given:
        left, _, folder = text.partition("=")
        of, colon, name = left.rpartition(":")
        model = by_name.get(of) if colon else models[0]
        if model is None or not name or not folder or "/" in name:
            raise InvalidRequestError(
                f"--adapter {text!r}: write NAME=FOLDER, or MODEL:NAME=FOLDER, where MODEL is one "
                f"of {', '.join(by_name)}"
            )
        path = Path(folder).expanduser()
        if not (path / "adapter_config.json").is_file():
            raise InvalidRequestError(
                f"--adapter {text!r}: {path} has no adapter_config.json, so it is not a folder of "
                "adapters as written by mlx_lm.lora"
            )
        full = f"{model.name}:{name}"
        if full in specs or full in by_name:
            raise InvalidRequestError(f"--adapter {text!r}: there is a model {full!r} already")
        specs[full] = ModelSpec(name=full, place=model.place, adapter=path, parent=model.name)
    return tuple(specs.values())


def parse_aliases(given: Iterable[str], names: Sequence[str]) -> Mapping[str, str]:
    """Parse the values of `--alias`, each `ALIAS=NAME`; return the model of each alias.

    Args:
        given: The values.
        names: The names of the models.

    Raises:
        InvalidRequestError: An alias is of no model, or is a model's name.
    """
    aliases: dict[str, str] = {}
    for text in given:
        alias, _, name = text.partition("=")
        if not alias or name not in names:
            raise InvalidRequestError(
                f"--alias {text!r}: write ALIAS=NAME, where NAME is one of {', '.join(names)}"
            )
        if alias in names:
            raise InvalidRequestError(f"--alias {text!r}: {alias!r} is the name of a model")
        aliases[alias] = name
    return aliases

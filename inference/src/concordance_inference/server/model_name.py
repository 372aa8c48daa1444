"""The model string: `<model>`, or `<model>/<mod>+<mod>`."""

from collections.abc import Collection

from concordance_shared import UnknownModelError

from concordance_inference.mods.catalog import NamedMod

#: The most names of models that a message lists.
_MAX_NAMES = 16


def parse_model(model: str, known: Collection[str]) -> tuple[str, tuple[NamedMod, ...]]:
    """Return the name of the model and the mods that a model string names.

    Args:
        model: The request's `model`.
        known: The names of the models that are served, which may themselves hold slashes.

    Raises:
        UnknownModelError: It names another model.
    """
    if model in known:
        return model, ()
    name, slash, mods = model.rpartition("/")
    if slash and name in known:
        return name, tuple(NamedMod(name=mod, where="model") for mod in mods.split("+"))
    raise unknown_model(model, known)


def unknown_model(model: str, known: Collection[str]) -> UnknownModelError:
    """Return the error of a request that names a model that is not there."""
    names = [repr(name) for name, _ in zip(known, range(_MAX_NAMES), strict=False)]
    more = (
        f" and {len(known) - len(names)} more (GET /v1/models)" if len(known) > len(names) else ""
    )
    return UnknownModelError(
        f"there is no model {model!r:.120}; this server has {', '.join(names)}{more}, and "
        f"'{next(iter(known))}/<mod>+<mod>' to run it with mods",
        param="model",
    )

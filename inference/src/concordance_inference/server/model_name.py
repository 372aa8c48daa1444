"""The model string: `<model>`, or `<model>/<mod>+<mod>`."""

from collections.abc import Collection

from concordance_shared import UnknownModelError

from concordance_inference.mods.catalog import NamedMod


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
    example = next(iter(known))
    raise UnknownModelError(
        f"there is no model {model!r:.120}; this server has {', '.join(map(repr, known))}, and "
        f"'{example}/<mod>+<mod>' to run it with mods",
        param="model",
    )

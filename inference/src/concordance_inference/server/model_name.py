"""The model string: `<model>`, or `<model>/<mod>+<mod>`."""

from concordance_shared import UnknownModelError

from concordance_inference.mods.catalog import NamedMod


def parse_model(model: str, served: str) -> tuple[NamedMod, ...]:
    """Return the mods that a model string names.

    Args:
        model: The request's `model`.
        served: The id of the model that is served, which may itself hold slashes.

    Raises:
        UnknownModelError: It names another model.
    """
    if model == served:
        return ()
    name, slash, mods = model.rpartition("/")
    if slash and name == served:
        return tuple(NamedMod(name=mod, where="model") for mod in mods.split("+"))
    raise UnknownModelError(
        f"there is no model {model!r:.120}; this server has {served!r}, and "
        f"'{served}/<mod>+<mod>' to run it with mods",
        param="model",
    )

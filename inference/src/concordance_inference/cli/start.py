"""Starts an engine for a command, saying what it waits for."""

import re
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from concordance_shared import InvalidRequestError

from concordance_inference.generation import ModCall
from concordance_inference.models.blas import preload_blas
from concordance_inference.models.options import ModelOptions
from concordance_inference.mods.catalog import ModCatalog, NamedMod

if TYPE_CHECKING:
    from concordance_inference.runtime import Runtime

_PARAMETER = re.compile(r",(?=[A-Za-z_]\w*=)")


@contextmanager
def running(
    model: str | None,
    mods: Sequence[str] = (),
    mod_paths: Sequence[Path] = (),
    *,
    options: ModelOptions | None = None,
) -> Generator[tuple["Runtime", tuple[ModCall, ...]]]:
    """A running engine and the mods that were named, until the block ends.

    The BLAS is loaded first, and everything that imports mlx after it.

    Raises:
        ConcordanceError: The model or a mod cannot be found or loaded.
    """
    catalog = ModCatalog(mod_paths)
    calls = catalog.resolve([parse_mod(mod) for mod in mods], strict=False)
    preload_blas()
    with _status() as progress:
        from concordance_inference.runtime import Runtime

        runtime = Runtime(model, catalog, options=options, progress=progress).start()
    try:
        yield runtime, calls
    finally:
        runtime.stop()


@contextmanager
def _status() -> Generator[Callable[[str], None]]:
    """A line in the terminal that says what is waited for; nothing where no terminal is."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # slow to import

    with Console(stderr=True).status("starting") as status:
        yield status.update


def parse_mod(text: str) -> NamedMod:
    """`NAME`, or `NAME:key=value,key=value`. A comma splits only where a key follows.

    Raises:
        InvalidRequestError: A parameter has no `=`.
    """
    name, colon, rest = text.partition(":")
    params: dict[str, str] = {}
    for part in _PARAMETER.split(rest) if colon else []:
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise InvalidRequestError(
                f"--mod {text!r}: write parameters as NAME:key=value,key=value"
            )
        params[key] = value
    return NamedMod(name=name, params=params, where="--mod")

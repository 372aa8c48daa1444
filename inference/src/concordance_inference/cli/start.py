"""Starts an engine for a command, saying what it waits for."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from concordance_inference.generation import ModCall
from concordance_inference.models.blas import preload_blas

if TYPE_CHECKING:
    from concordance_inference.cli.runtime import Runtime


@contextmanager
def running(
    model: str | None, mods: Sequence[str] = (), mod_paths: Sequence[Path] = ()
) -> Generator[tuple["Runtime", tuple[ModCall, ...]]]:
    """A running engine and the mods that were named, until the block ends.

    The BLAS is loaded first, and everything that imports mlx after it.

    Raises:
        ConcordanceError: The model or a mod cannot be found or loaded.
    """
    preload_blas()
    with Console(stderr=True).status("starting") as status:
        from concordance_inference.cli.runtime import Runtime, parse_mod

        runtime = Runtime(model, mod_paths, progress=status.update)
        calls = runtime.mods.resolve([parse_mod(mod) for mod in mods], strict=False)
        runtime.start()
    try:
        yield runtime, calls
    finally:
        runtime.stop()

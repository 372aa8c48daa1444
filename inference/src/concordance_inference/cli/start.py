"""Starts an engine for a command, with its progress in the terminal."""

import re
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from concordance_shared import InvalidRequestError

from concordance_inference.cli.collection import collect_as_usual
from concordance_inference.cli.last_resort import exit_now
from concordance_inference.cli.options import ModelArgs
from concordance_inference.generation import ModCall
from concordance_inference.models.blas import preload_blas
from concordance_inference.mods.catalog import ModCatalog, NamedMod
from concordance_inference.mods.mod_output import Sink, captured_output

if TYPE_CHECKING:
    from concordance_inference.runtime import Runtime

#: Seconds after which a step of loading is reported on a pipe.
NOTICE_S = 2.0

_PARAMETER = re.compile(r",(?=[A-Za-z_]\w*=)")


@contextmanager
def running(
    options: ModelArgs,
    mods: Sequence[str] = (),
    mod_paths: Sequence[Path] = (),
    *,
    resume_seconds: float = 0.0,
) -> Generator[tuple["Runtime", tuple[ModCall, ...]]]:
    """Run a model until the block ends; yield it with the mods that were named.

    The BLAS is loaded before mlx is imported.

    Args:
        options: The model, and how to load it.
        mods: Mods as `NAME` or `NAME:key=value,key=value`.
        mod_paths: Files and folders of mods.
        resume_seconds: How long completions that were cut can be resumed; 0: never.

    Raises:
        ConcordanceError: The model or a mod cannot be found or loaded.
    """
    catalog = ModCatalog(mod_paths)
    calls = catalog.resolve([parse_mod(mod) for mod in mods], strict=False)
    preload_blas()
    with _status() as progress:
        from concordance_inference.engine.config import EngineConfig
        from concordance_inference.runtime import Runtime

        runtime = Runtime(
            options.model,
            catalog,
            config=EngineConfig(resume_s=resume_seconds),
            options=options.model_options,
            locks_memory=options.mlock,
            progress=progress,
        ).start()
    collect_as_usual()
    try:
        with captured_output(_print_line(sys.stderr)):
            yield runtime, calls
    finally:
        runtime.stop()
        if runtime.engine.is_abandoned:
            exit_now("a handler of a mod does not return")


def _print_line(stream: TextIO) -> Sink:
    """Print lines of mods with their names, apart from the completion on standard output."""
    return lambda scope, line: print(f"[{scope.mod}] {line}", file=stream, flush=True)


@contextmanager
def _status() -> Generator[Callable[[str], None]]:
    """A status line in the terminal; on a pipe, a line for each step that takes long."""
    if not sys.stderr.isatty():
        with _slow_steps() as begin:
            yield begin
        return
    from rich.console import Console  # slow to import

    with Console(stderr=True).status("starting") as status:
        yield status.update


@contextmanager
def _slow_steps() -> Generator[Callable[[str], None]]:
    """Print a step to standard error if it takes longer than `NOTICE_S`, and while it runs."""
    timer: threading.Timer | None = None

    def begin(step: str) -> None:
        nonlocal timer
        end()
        timer = threading.Timer(NOTICE_S, print, [f"… {step}"], {"file": sys.stderr, "flush": True})
        timer.daemon = True
        timer.start()

    def end() -> None:
        if timer:
            timer.cancel()

    begin("starting")
    try:
        yield begin
    finally:
        end()


def parse_mod(text: str) -> NamedMod:
    """Parse `NAME` or `NAME:key=value,key=value`. A comma splits only before a key.

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

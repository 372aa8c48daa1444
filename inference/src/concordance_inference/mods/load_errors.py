"""Errors for mods that cannot be loaded: the exception, its location, and a suggested fix."""

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from concordance_sdk.host.hints import hint_for
from concordance_shared import ModError, ModLoadError

from concordance_inference.mods.module_names import with_plain_names

T = TypeVar("T")

#: The folders of the loader's own files, which are left out of tracebacks.
_OURS = (str(Path(__file__).parent), str(Path(__file__).parent.parent / "sandbox"))

#: Syntax of newer Python versions: version, description, pattern of a source line.
_NEWER_SYNTAX = (
    (
        (3, 12),
        "f-strings with their own quotes inside of braces",
        r"\b[rR]?[fF][rR]?\"[^\"]*\{[^\"}]*\"",
    ),
    (
        (3, 12),
        "f-strings with their own quotes inside of braces",
        r"\b[rR]?[fF][rR]?'[^']*\{[^'}]*'",
    ),
    ((3, 12), "f-strings with a backslash inside of braces", r"\b[fF][\"'][^\"'{]*\{[^}]*\\"),
    ((3, 12), "`type` statements", r"^\s*type\s+\w+\s*[=\[]"),
    ((3, 12), "type parameters in brackets", r"^\s*(?:async\s+def|def|class)\s+\w+\["),
    ((3, 14), "`except` of several exceptions without parentheses", r"^\s*except\s+[\w.]+\s*,"),
    ((3, 14), "t-strings", r"\b[rR]?[tT][rR]?['\"]"),
)


def guarded(load: Callable[[], T], where: str, *, beside: Path | None = None) -> T:
    """Run an author's code and wrap any exception in a `ModLoadError` with its location.

    Args:
        load: Runs the code.
        where: The name of what is being loaded.
        beside: The folder of a file that is loaded alone.

    Raises:
        ModLoadError: `load` raised.
    """
    try:
        return load()
    except ModError as exc:
        raise ModLoadError(f"{where}: {exc.message}", mod=exc.mod) from exc
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # `sys.exit()` at the top of a module must not end the server
        described = with_plain_names(f"{_described(exc)}{_suggestion(exc, beside)}")
        raise ModLoadError(f"{where} cannot be loaded: {described}") from exc


def _described(exc: BaseException) -> str:
    """Format an exception with its innermost line in the loaded code."""
    if isinstance(exc, SyntaxError):
        return f"{exc.msg} ({exc.filename}, line {exc.lineno})"
    frames = inspect.getinnerframes(exc.__traceback__) if exc.__traceback__ else []
    frames = [f for f in frames if not _is_machinery(f.filename)] or frames
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(exc).__name__}: {exc}{place}{hint_for(exc)}"


def _is_machinery(filename: str) -> bool:
    return filename.startswith((*_OURS, "<frozen importlib")) or "/importlib/" in filename


def _suggestion(exc: BaseException, beside: Path | None) -> str:
    """Suggest a fix for common errors; empty for others."""
    if isinstance(exc, SyntaxError):
        return _newer_python(exc)
    if isinstance(exc, ModuleNotFoundError) and exc.name:
        return _missing(with_plain_names(exc.name), beside)
    if isinstance(exc, ImportError) and "no known parent package" in str(exc) and beside:
        return f"; it imports other files of its folder: load the folder, {beside}, instead"
    return ""


def _newer_python(exc: SyntaxError) -> str:
    line = exc.text or ""
    for version, what, pattern in _NEWER_SYNTAX:
        if sys.version_info < version and re.search(pattern, line):
            running = ".".join(map(str, sys.version_info[:2]))
            needed = ".".join(map(str, version))
            return (
                f"; this is Python {running}, and {what} need Python {needed}: rewrite the line, "
                "or run the server with that version"
            )
    return ""


def _missing(name: str, beside: Path | None) -> str:
    """Suggest how to provide a missing module."""
    top = name.partition(".")[0]
    if beside and ((beside / f"{top}.py").is_file() or (beside / top).is_dir()):
        return f"; {top} is in the file's folder: load the folder, {beside}, instead"
    if top in sys.stdlib_module_names or "." in name:
        return ""
    if not sys.path:  # in a worker, which can import what it says only
        return f"; include {top!r} in the `files` of the upload"
    return (
        f"; install {top!r} in the server's environment, or include it: load a folder, or upload "
        "`files`"
    )

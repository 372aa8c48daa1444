"""Determines the package structure of a folder of mods from the imports of its files.

The files may treat the folder as an import root (`from words import W`), as a package
(`from .words import W`), or as a package within others (`from examples.airline.words import W`).
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from concordance_shared import ModLoadError
from msgspec import Struct

from concordance_inference.mods.compat.quote_mod_sdk.aliases import imported_names

#: Number of parent folders that can be packages.
_MAX_DEPTH = 4


class SourceFolder(Struct, frozen=True):
    """The files of a folder, as a `ModuleSpace` takes them.

    Attributes:
        files: Path -> text. The path starts with the packages that contain the files.
        place: The folder that the paths are relative to.
        home: The folder's dotted package name; empty if the folder is an import root.
    """

    files: dict[str, str]
    place: str
    home: str


def source_folder(folder: Path, paths: Sequence[Path]) -> SourceFolder:
    """Read files of a folder.

    Args:
        folder: The folder, absolute.
        paths: The files to read.

    Raises:
        ModLoadError: A file cannot be read.
    """
    texts = {path.relative_to(folder).as_posix(): _text(path) for path in paths}
    depth = _depth_of(folder, texts)
    above = [part.replace(".", "_") for part in folder.parts[len(folder.parts) - depth :]]
    prefix = "".join(f"{part}/" for part in above)
    place = folder.parents[depth - 1] if depth else folder
    files = {f"{prefix}{path}": text for path, text in texts.items()}
    return SourceFolder(files, str(place), ".".join(above))


def _depth_of(folder: Path, texts: Mapping[str, str]) -> int:
    """Return the number of packages that lead to the folder, itself included, by the imports.

    If a file of `/srv/examples/air` imports `examples.air.words`, the depth is 2.
    """
    inside = {path.partition("/")[0].removesuffix(".py") for path in texts}
    named = {name for text in texts.values() for name in imported_names(text)}
    for depth in range(min(_MAX_DEPTH, len(folder.parts) - 1), 0, -1):
        above = folder.parts[len(folder.parts) - depth :]
        dotted = ".".join(above)
        is_named = any(name == dotted or name.startswith(f"{dotted}.") for name in named)
        if is_named and above[0] not in inside:
            return depth
    return max((_leads_out(path, text) for path, text in texts.items()), default=0)


def _leads_out(path: str, text: str) -> int:
    """Return how many packages its relative imports go up beyond the folder's root."""
    return max(0, max(_levels(text), default=0) - path.count("/"))


def _levels(text: str) -> Iterator[int]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    yield from (node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ModLoadError(f"{path} cannot be read: {exc}") from exc

"""How the files of a folder of mods find each other, and which of them are loaded.

A folder may be what its files import from (`from words import W`), a package itself (`from .words
import W`), or a package inside of others (`from examples.airline.words import W`): what the files
import says which.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from concordance_shared import ModLoadError
from msgspec import Struct

from concordance_inference.mods.compat.quote_mod_sdk.aliases import imported_names

#: So far up are folders looked for that the files name as packages.
_MAX_ABOVE = 4


class SourceFolder(Struct, frozen=True):
    """The files of a folder, ready for a `ModuleSpace`.

    Attributes:
        files: Texts by path, with the packages in front that the folder is or is in.
        place: The folder that the paths are relative to.
        home: The package that the folder is, dotted; empty if it is none.
    """

    files: dict[str, str]
    place: str
    home: str


def source_folder(folder: Path, paths: Sequence[Path]) -> SourceFolder:
    """Read files of a folder.

    Args:
        folder: The folder, absolute.
        paths: Those of its files that are read.

    Raises:
        ModLoadError: One cannot be read.
    """
    texts = {path.relative_to(folder).as_posix(): _text(path) for path in paths}
    depth = _depth_of(folder, texts)
    above = [part.replace(".", "_") for part in folder.parts[len(folder.parts) - depth :]]
    prefix = "".join(f"{part}/" for part in above)
    place = folder.parents[depth - 1] if depth else folder
    files = {f"{prefix}{path}": text for path, text in texts.items()}
    return SourceFolder(files, str(place), ".".join(above))


def _depth_of(folder: Path, texts: Mapping[str, str]) -> int:
    """How many packages the folder is inside of, itself included, as its files import."""
    inside = {path.partition("/")[0].removesuffix(".py") for path in texts}
    named = {name for text in texts.values() for name in imported_names(text)}
    for depth in range(min(_MAX_ABOVE, len(folder.parts) - 1), 0, -1):
        above = folder.parts[len(folder.parts) - depth :]
        dotted = ".".join(above)
        is_named = any(name == dotted or name.startswith(f"{dotted}.") for name in named)
        if is_named and above[0] not in inside:
            return depth
    return max((_leads_out(path, text) for path, text in texts.items()), default=0)


def _leads_out(path: str, text: str) -> int:
    """How many packages above the folder the relative imports of a file need."""
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

"""Validates the body of an upload, in the current form and in those of older clients."""

import re
import textwrap
from pathlib import PurePosixPath
from typing import cast

from concordance_sdk import ModPayload
from concordance_shared import InvalidRequestError, TooLargeError
from msgspec import Struct

#: Maximum length of all files of an upload together, in characters.
MAX_SOURCE_LENGTH = 256 * 1024

#: Default name of the module in an upload of one source.
_MODULE = "client_mod"

#: The name of a mod that a module registers.
_REGISTERED = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")

_MOD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


class Upload(Struct, frozen=True):
    """A validated upload.

    Attributes:
        name: The mod's name in requests.
        module: The dotted name of the module with the entry point.
        entrypoint: The function or class that is the mod, or the mod's registered name.
        files: Relative path -> text.
        home: A package whose modules can also be imported without its name; may be empty.
    """

    name: str
    module: str
    entrypoint: str
    files: dict[str, str]
    home: str = ""


def upload_of(payload: ModPayload) -> Upload:
    """Validate a payload.

    Raises:
        InvalidRequestError: A field is malformed.
        TooLargeError: The source is too long.
    """
    _check_name(payload.name)
    if payload.language.lower() != "python":
        raise InvalidRequestError(
            f"`language` is {payload.language!r:.40}; it must be 'python'", param="language"
        )
    if not payload.entrypoint.isidentifier() and not _REGISTERED.fullmatch(payload.entrypoint):
        raise InvalidRequestError(
            f"{payload.entrypoint!r:.80} is not the name of a function or class",
            param="entrypoint",
        )
    files = _files_of(payload)
    if sum(map(len, files.values())) > MAX_SOURCE_LENGTH:
        raise TooLargeError(
            f"a mod's source has at most {MAX_SOURCE_LENGTH} characters", param="source"
        )
    if payload.home and not _is_module(payload.home):
        raise InvalidRequestError(f"{payload.home!r:.80} is not a package's name", param="home")
    module = _module_of(payload, files)
    return Upload(payload.name, module, payload.entrypoint, files, payload.home)


def _check_name(name: str) -> None:
    if not _MOD_NAME.fullmatch(name) or set(name) == {"."}:
        raise InvalidRequestError(
            f"{name!r:.80} is not a valid mod name: use up to 64 letters, digits, '_', '-' and '.'",
            param="name",
        )


def _files_of(payload: ModPayload) -> dict[str, str]:
    """Return the files: from `files`, from a mapping in `source`, or a single text in `source`."""
    if payload.dir is not None or isinstance(payload.files, list):
        raise InvalidRequestError(
            "an upload cannot refer to paths on the server: send the texts, in `files` as path -> "
            "text, or start the server with --mods FOLDER",
            param="dir" if payload.dir is not None else "files",
        )
    if (payload.source is None) == (payload.files is None):
        raise InvalidRequestError("give either `source` or `files`", param="source")
    if isinstance(payload.source, str):
        module = _plain_module(payload)
        return {f"{module.replace('.', '/')}.py": textwrap.dedent(payload.source)}
    given = payload.files if payload.source is None else payload.source
    param = "files" if payload.source is None else "source"
    files = cast(dict[str, str], given)
    if not files:
        raise InvalidRequestError(f"`{param}` has no file", param=param)
    return {_path_of(name, param): text for name, text in files.items()}


def _path_of(name: str, param: str) -> str:
    """Normalize a relative path, with forward slashes."""
    path = name.replace("\\", "/")
    while path.startswith("./"):
        path = path[2:]
    parts = PurePosixPath(path).parts
    if not path.endswith(".py") or path.startswith("/") or ".." in parts or ":" in parts[0]:
        raise InvalidRequestError(
            f"{name!r:.80} is not a relative path of a Python file", param=param
        )
    return "/".join(parts)


def _plain_module(payload: ModPayload) -> str:
    """Return the module name of an upload of one text."""
    module = payload.module or _MODULE
    if not _is_module(module):
        raise _no_module(module)
    return _MODULE if module == "__main__" else module


def _module_of(payload: ModPayload, files: dict[str, str]) -> str:
    """Return the module with the entry point; optional in the payload if there is one file."""
    if isinstance(payload.source, str):
        return _plain_module(payload)
    known = sorted(_dotted(path) for path in files)
    if payload.module is None or (payload.module == _MODULE and _MODULE not in known):
        if len(known) != 1:
            raise InvalidRequestError(
                f"`module` must name the module with the entry point, one of: {', '.join(known)}",
                param="module",
            )
        return known[0]
    if payload.module not in known and not _is_module(payload.module):
        raise _no_module(payload.module)
    return payload.module


def _no_module(name: str) -> InvalidRequestError:
    """Return an error that suggests the dotted name where a path was given."""
    meant = name.strip("/.").removesuffix(".py").replace("/", ".")
    hint = f"; use dots: {meant!r}" if _is_module(meant) else ""
    return InvalidRequestError(f"{name!r:.80} is not a module name{hint}", param="module")


def _is_module(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

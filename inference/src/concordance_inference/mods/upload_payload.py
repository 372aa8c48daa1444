"""The body of an upload, in every form that clients have sent: what it asks for, checked."""

import re
import textwrap
from pathlib import PurePosixPath
from typing import cast

from concordance_sdk import ModPayload
from concordance_shared import InvalidRequestError
from msgspec import Struct

#: How many characters of source one upload may have, all its files together.
MAX_SOURCE_LENGTH = 256 * 1024

#: What a source is called that has no name of its own.
_MODULE = "client_mod"

_MOD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


class Upload(Struct, frozen=True):
    """What is uploaded.

    Attributes:
        name: What requests will call it.
        module: The module that has the entry point, dotted.
        entrypoint: The function or class in it.
        files: Relative path -> text.
    """

    name: str
    module: str
    entrypoint: str
    files: dict[str, str]


def upload_of(payload: ModPayload) -> Upload:
    """Check a payload.

    Raises:
        InvalidRequestError: It is malformed; the message names the field and what it may be.
    """
    _check_name(payload.name)
    if payload.language.lower() != "python":
        raise InvalidRequestError(
            f"mods are written in 'python', not in {payload.language!r:.40}", param="language"
        )
    if not payload.entrypoint.isidentifier():
        raise InvalidRequestError(
            f"{payload.entrypoint!r:.80} is no name of a function or class", param="entrypoint"
        )
    files = _files_of(payload)
    if sum(map(len, files.values())) > MAX_SOURCE_LENGTH:
        raise InvalidRequestError(
            f"a mod's source has at most {MAX_SOURCE_LENGTH} characters", param="source"
        )
    return Upload(payload.name, _module_of(payload, files), payload.entrypoint, files)


def _check_name(name: str) -> None:
    if not _MOD_NAME.fullmatch(name) or set(name) == {"."}:
        raise InvalidRequestError(
            f"{name!r:.80} cannot name a mod: use letters, digits, '_', '-' and '.', at most 64 "
            "of them",
            param="name",
        )


def _files_of(payload: ModPayload) -> dict[str, str]:
    """The files, whether they are given as `files`, as `source`, or as the text of one."""
    if payload.dir is not None or isinstance(payload.files, list):
        raise InvalidRequestError(
            "paths on the server are not read for uploads: send the texts, as `files` from path to "
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
    """The path of a file: relative, by forward slashes, as a module has it."""
    path = name.replace("\\", "/")
    while path.startswith("./"):
        path = path[2:]
    parts = PurePosixPath(path).parts
    if not path.endswith(".py") or path.startswith("/") or ".." in parts or ":" in parts[0]:
        raise InvalidRequestError(f"{name!r:.80} is no relative path of a Python file", param=param)
    return "/".join(parts)


def _plain_module(payload: ModPayload) -> str:
    """The name of a source that comes alone."""
    module = payload.module or _MODULE
    if not _is_module(module):
        raise _no_module(module)
    return _MODULE if module == "__main__" else module


def _module_of(payload: ModPayload, files: dict[str, str]) -> str:
    """The module that has the entry point; it may be left out where there is one file."""
    if isinstance(payload.source, str):
        return _plain_module(payload)
    known = sorted(_dotted(path) for path in files)
    if payload.module is None or (payload.module == _MODULE and _MODULE not in known):
        if len(known) != 1:
            raise InvalidRequestError(
                f"`module` says which module has the entry point, one of: {', '.join(known)}",
                param="module",
            )
        return known[0]
    if not _is_module(payload.module):
        raise _no_module(payload.module)
    return payload.module


def _no_module(name: str) -> InvalidRequestError:
    """What is said of a name that no module has."""
    meant = name.strip("/.").removesuffix(".py").replace("/", ".")
    hint = f"; it is written with dots: {meant!r}" if _is_module(meant) else ""
    return InvalidRequestError(f"{name!r:.80} is no module's name{hint}", param="module")


def _is_module(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

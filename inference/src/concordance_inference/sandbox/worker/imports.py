"""Imports in a worker: only what the zygote has loaded."""

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import ModuleType

#: Modules that a mod may import. Others that these need can be imported, too.
PRELOADED = [
    "abc",
    "array",
    "ast",
    "base64",
    "binascii",
    "bisect",
    "calendar",
    "cmath",
    "codecs",
    "collections",
    "collections.abc",
    "colorsys",
    "contextlib",
    "contextvars",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "enum",
    "fractions",
    "functools",
    "graphlib",
    "hashlib",
    "heapq",
    "hmac",
    "html",
    "html.entities",
    "html.parser",
    "inspect",
    "io",
    "itertools",
    "json",
    "keyword",
    "linecache",
    "locale",
    "logging",
    "math",
    "numbers",
    "operator",
    "pprint",
    "queue",
    "random",
    "re",
    "reprlib",
    "secrets",
    "shlex",
    "statistics",
    "string",
    "stringprep",
    "struct",
    "textwrap",
    "threading",
    "time",
    "timeit",
    "token",
    "tokenize",
    "traceback",
    "types",
    "typing",
    "unicodedata",
    "urllib.parse",
    "uuid",
    "warnings",
    "weakref",
    "zlib",
    "_strptime",
    "msgspec",
    "msgspec.json",
    "msgspec.msgpack",
    "msgspec.structs",
    "msgspec.inspect",
    "typing_extensions",
    "numpy",
    "numpy.fft",
    "numpy.linalg",
    "numpy.random",
    "concordance_shared",
    "concordance_sdk",
    "concordance_sdk.builtin",
    "concordance_sdk.constraints",
    "concordance_sdk.flow",
    "concordance_sdk.script",
    "concordance_sdk.self_prompt",
    "concordance_sdk.text",
    "concordance_sdk.channels",
    "concordance_sdk.host.dispatch",
    "concordance_sdk.host.hints",
    "concordance_sdk.testing",
    "jsonschema_rs",
    "llguidance",
    "concordance_inference.mods.loading",
    "concordance_inference.mods.description",
]

#: Text encodings; each is a module that is loaded on first use.
_ENCODINGS = [
    "ascii",
    "latin-1",
    "cp1252",
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "utf-32-le",
    "utf-32-be",
    "utf-7",
    "idna",
    "punycode",
    "unicode_escape",
    "raw_unicode_escape",
    "hex",
    "base64",
    "rot13",
]

#: The prefixes of modules of ours that are no part of what a mod imports.
_INTERNAL = ("concordance_inference", "concordance_sdk.host")


def importable() -> list[str]:
    """List the modules that errors and pages name as those a mod may import."""
    return [name for name in PRELOADED if name[0] != "_" and not name.startswith(_INTERNAL)]


def preload() -> None:
    """Import all that mods may import, so that workers share it."""
    for name in PRELOADED:
        with suppress(ModuleNotFoundError):  # the SDK's optional dependencies
            importlib.import_module(name)
    for encoding in _ENCODINGS:
        codecs_lookup(encoding)
    _preload_older_sdk()


def codecs_lookup(encoding: str) -> None:
    """Load a text encoding."""
    import codecs  # noqa: PLC0415  # beside its only use

    codecs.lookup(encoding)


def _preload_older_sdk() -> None:
    """Import the modules by which mods for `quote_mod_sdk` run."""
    from concordance_inference.mods.compat.quote_mod_sdk.names import ALIASES  # noqa: PLC0415

    for targets in ALIASES.values():
        for target in targets.values():
            name, _, _ = str(target).partition(":")
            with suppress(ImportError, ValueError):
                importlib.import_module(name)


def forget_folders() -> None:
    """Drop the lists of files that importing has cached: workers read no folder."""
    sys.path_importer_cache.clear()


def close() -> None:
    """Refuse to import what is not loaded, with a list of what is."""
    kept = (importlib.machinery.BuiltinImporter, importlib.machinery.FrozenImporter)
    sys.meta_path[:] = [*kept, _Closed()]
    sys.path = []
    sys.path_hooks = []


class _Closed(importlib.abc.MetaPathFinder):
    """The last finder: nothing is found."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Raise an error that says what can be imported.

        Raises:
            ModuleNotFoundError: Always.
        """
        del path, target
        raise ModuleNotFoundError(
            f"No module named {fullname!r}: an uploaded mod can import these: "
            f"{', '.join(importable())}",
            name=fullname,
        )

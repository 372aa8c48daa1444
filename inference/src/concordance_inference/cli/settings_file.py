"""The TOML file of settings: where it is looked for, and what it says on which line."""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAME = "concordance.toml"

_TABLE = re.compile(r"\s*\[\s*([\w.-]+)\s*\]\s*(?:#.*)?$")
_KEY = re.compile(r"\s*([\w-]+)\s*=")


class SettingsError(Exception):
    """A setting that no command can use; the message says which, where, and what is right."""


@dataclass(frozen=True)
class SettingsFile:
    """The contents of a file of settings."""

    path: Path | None = None  # `None`: there is no file
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    lines: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])

    def place(self, table: str, key: str) -> str:
        """Return `FILE:LINE` of a key in a table, or in none if `table` is empty."""
        line = self.lines.get((table, key))
        return f"{self.path}:{line}" if line else str(self.path)


def find_file(given: Path | None, environ: Mapping[str, str] = os.environ) -> SettingsFile:
    """Read the file of settings: the given one, or the first that exists in the usual places.

    Raises:
        SettingsError: It cannot be read, or is not TOML.
    """
    chosen, flag = given, "--config"
    if chosen is None and (named := environ.get("CONCORDANCE_CONFIG")):
        chosen, flag = Path(named), "CONCORDANCE_CONFIG"
    if chosen is not None:
        return read_file(chosen.expanduser(), f"{flag} names {chosen}, which")
    for path in usual_places(environ):
        if path.is_file():
            return read_file(path, f"{path}, which holds settings,")
    return SettingsFile()


def usual_places(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Return where a file of settings is looked for if none is named, in this order."""
    folder = config_folder(environ)
    return [Path(NAME).absolute(), *([folder / NAME] if folder else [])]


def config_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the user's folder of configuration; `None` without a home folder."""
    try:
        folder = Path(environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    except RuntimeError:
        return None
    return folder / "concordance"


def read_file(path: Path, what: str) -> SettingsFile:
    """Read a file.

    Args:
        path: The file.
        what: The beginning of an error message: who names the file.

    Raises:
        SettingsError: It cannot be read, or is not TOML.
    """
    try:
        text = path.read_bytes().decode()
        values = tomllib.loads(text)
    except OSError as exc:
        raise SettingsError(f"{what} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise SettingsError(f"{what} is not UTF-8: {exc.reason} at byte {exc.start}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError(f"{what} is not TOML: {exc}") from exc
    return SettingsFile(path.absolute(), values, _lines(text))


def _lines(text: str) -> dict[tuple[str, str], int]:
    """The line of each table (with an empty key) and of each key, as far as they are plain."""
    found: dict[tuple[str, str], int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if heading := _TABLE.match(line):
            table = heading[1]
            found.setdefault((table, ""), number)
        elif key := _KEY.match(line):
            found.setdefault((table, key[1]), number)
    return found

"""`concordance config`: every setting with its value and its source."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from concordance_shared import InvalidRequestError
from concordance_shared.suggestions import did_you_mean, similar_names

from concordance_inference.cli.options import Config
from concordance_inference.cli.settings import COMMANDS, shared_settings
from concordance_inference.cli.settings_file import SettingsFile, find_file, usual_places
from concordance_inference.cli.settings_values import Value, values_of

#: Shown in place of a secret.
HIDDEN = "(not shown)"

#: Columns of a key with its value, before its source.
_WIDTH = 44


def run(options: Config) -> None:
    """Print the settings of one command, or of all; as TOML that can be used, or as JSON.

    Raises:
        InvalidRequestError: There is no such command.
    """
    file = find_file(options.config_file)
    commands = [_known(options.command)] if options.command else list(COMMANDS)
    values = {command: values_of(command, file) for command in commands}
    if options.json:
        sys.stdout.write(msgspec.json.format(_as_json(file, values)).decode() + "\n")
    else:
        print(*_as_toml(file, values), sep="\n")


def _known(command: str) -> str:
    name = command.replace(" ", "_").replace("-", "_")
    if name in COMMANDS:
        return name
    hint = did_you_mean(similar_names(name, COMMANDS), f"commands are: {', '.join(COMMANDS)}")
    raise InvalidRequestError(f"{command!r} is not a command with settings{hint}")


def _as_toml(file: SettingsFile, values: Mapping[str, Mapping[str, Value]]) -> Iterator[str]:
    """A file of settings with these values; a key without a value is a comment."""
    yield f"# file: {file.path or 'none; looked for at'}"
    if file.path is None:
        yield from (f"#   {place}" for place in usual_places())
    yield "# The command line wins over variables, variables over the file, it over the defaults."
    for command, settings in values.items():
        yield f"\n[{command}]"
        for name, each in settings.items():
            key = f"# {name} =" if each.value is None else f"{name} = {_toml(each)}"
            yield f"{key:<{_WIDTH}} # {each.source}"


def _toml(value: Value) -> str:
    """A value as TOML, on one line. What JSON writes for these types is TOML too."""
    return msgspec.json.encode(shown(value)).decode()


def _as_json(file: SettingsFile, values: Mapping[str, Mapping[str, Value]]) -> bytes:
    """The file, where one is looked for, and the settings in a list."""
    shared = shared_settings()
    settings: list[dict[str, Any]] = [
        {
            "command": command,
            "key": name,
            "value": shown(each),
            "source": each.source,
            "flag": each.setting.flag,
            "variables": [each.setting.own_variable] + [each.setting.variable] * (name in shared),
        }
        for command, them in values.items()
        for name, each in them.items()
    ]
    about = {
        "file": None if file.path is None else str(file.path),
        "usual_places": [str(place) for place in usual_places()],
        "settings": settings,
    }
    return msgspec.json.encode(about)


def shown(value: Value) -> Any:
    """Return a value to print: secrets are left out, as are passwords in URLs."""
    if value.setting.is_secret and value.value:
        return HIDDEN
    return _plain(value.value)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, Path):
        return str(value)
    return _without_password(value) if isinstance(value, str) else value


def _without_password(text: str) -> str:
    """A text; if it is a URL with a password, without that."""
    try:
        password = urlsplit(text).password
    except ValueError:
        return text
    return text.replace(f":{password}@", f":{HIDDEN}@", 1) if password else text

"""The values of a command's settings, each with its source.

The command line wins over variables, variables over the file, the file over the defaults. Among
variables, and in the file, what is set for one command wins over what is set for all.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from concordance_shared.suggestions import did_you_mean, similar_names

from concordance_inference.cli.settings import (
    COMMANDS,
    OTHER_VARIABLES,
    PREFIX,
    Setting,
    settings_by_name,
    shared_settings,
)
from concordance_inference.cli.settings_file import SettingsError, SettingsFile

#: Without the null character, which no path and no argument of a command can have.
_Text = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*\Z")]

_KUBERNETES = (
    "; Kubernetes sets such variables in every pod for a service named `concordance`: set "
    "`enableServiceLinks: false` in the pod's specification"
)
_KUBERNETES_NAMES = ("SERVICE_HOST", "SERVICE_PORT", "PORT_")


@dataclass(frozen=True)
class Value:
    """The value of a setting, and where it is set."""

    setting: Setting
    value: Any
    source: str  # "default", a variable, or `FILE:LINE`

    @property
    def is_set(self) -> bool:
        """True if it is not the default."""
        return self.source != "default"


def values_of(
    command: str, file: SettingsFile, environ: Mapping[str, str] = os.environ
) -> dict[str, Value]:
    """Return the value of each setting of a command, without the command line.

    Raises:
        SettingsError: A value has the wrong type or is out of bounds.
    """
    return {
        name: _from_variable(setting, environ)
        or _from_file(setting, file)
        or Value(setting, setting.default, "default")
        for name, setting in COMMANDS[command].items()
    }


def check_names(file: SettingsFile, environ: Mapping[str, str] = os.environ) -> None:
    """Refuse unknown keys and variables, with the nearest right name.

    Raises:
        SettingsError: One is unknown.
    """
    for message in (*_unknown_variables(environ), *_unknown_keys(file)):
        raise SettingsError(message)


def known_variables() -> set[str]:
    """Return the names of all variables that are read."""
    shared = {f"{PREFIX}{name.upper()}" for name in shared_settings()}
    own = {each.own_variable for settings in COMMANDS.values() for each in settings.values()}
    return shared | own | {*OTHER_VARIABLES}


def _from_variable(setting: Setting, environ: Mapping[str, str]) -> Value | None:
    """The value of a variable that is set and not empty."""
    names = [setting.own_variable]
    if setting.name in shared_settings():
        names.append(setting.variable)
    for name in names:
        if text := environ.get(name):
            return Value(setting, parsed_value(setting, name, text), name)
    return None


def parsed_value(setting: Setting, variable: str, text: str) -> Any:
    """Return the value in a text.

    Args:
        setting: The setting.
        variable: What has the text, for messages: a variable or a command.
        text: The text.

    Raises:
        SettingsError: It has the wrong type or is out of bounds.
    """
    given: Any = text
    if setting.is_list:
        given = _items(setting, text)
    try:
        return _converted(setting, given, strict=False, folder=Path())
    except (msgspec.ValidationError, UnicodeEncodeError) as exc:
        shown = "its value" if setting.is_secret else repr(text)
        hint = _KUBERNETES if text.startswith("tcp://") else ""
        raise SettingsError(
            f"{variable}: {shown} is not {_expected(setting, in_file=False)} ({exc}){hint}"
        ) from exc


def _items(setting: Setting, text: str) -> Any:
    """The values of a list: a JSON list, paths between colons, or a single value."""
    if text.startswith("["):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return [text]
    return text.split(os.pathsep) if setting.item is Path else [text]


def _from_file(setting: Setting, file: SettingsFile) -> Value | None:
    """The value in the command's table, or among the keys of all commands."""
    own: Any = file.values.get(setting.command)
    if isinstance(own, dict) and setting.name in own:
        return _checked(setting, own[setting.name], file, setting.command)
    if setting.name in file.values and setting.name in shared_settings():
        return _checked(setting, file.values[setting.name], file, "")
    return None


def _checked(setting: Setting, given: Any, file: SettingsFile, table: str) -> Value:
    assert file.path is not None
    place = file.place(table, setting.name)
    where = f"{place}: `{setting.name}` in [{table}]" if table else f"{place}: `{setting.name}`"
    hint = "" if table else _only_for_lists(setting, given)
    value = checked_value(setting, given, where, folder=file.path.parent, hint=hint)
    return Value(setting, value, place)


def checked_value(setting: Setting, given: Any, where: str, *, folder: Path, hint: str = "") -> Any:
    """Return a value of a file in the type of the option. A single value of a list is a list.

    Args:
        setting: The setting.
        given: The value, as the file has it.
        where: The beginning of the message: the file and the key.
        folder: Paths are relative to it.
        hint: The end of the message.

    Raises:
        SettingsError: It has the wrong type or is out of bounds.
    """
    wrapped = [given] if setting.is_list and isinstance(given, str) else given
    try:
        return _converted(setting, wrapped, strict=True, folder=folder)
    except (msgspec.ValidationError, UnicodeEncodeError) as exc:
        shown = "its value" if setting.is_secret else repr(given)
        raise SettingsError(
            f"{where}: {shown} is not {_expected(setting, in_file=True)} ({exc}){hint}"
        ) from exc


def _only_for_lists(setting: Setting, given: Any) -> str:
    """Where to write a list that only some of the commands with the option take."""
    taking = [each.command for each in shared_settings()[setting.name] if each.is_list]
    if not isinstance(given, list) or not taking:
        return ""
    return f"; write a list in {' or '.join(f'[{command}]' for command in taking)}"


def _converted(setting: Setting, given: Any, *, strict: bool, folder: Path) -> Any:
    """The value in the type of the option. Paths of a file are relative to its folder."""
    item, option = setting.item, setting.option
    if item is Path:
        item = Annotated[_Text, msgspec.Meta(min_length=1)]
    elif item is str:
        item = _Text
    elif option.min is not None or option.max is not None:
        item = Annotated[item, msgspec.Meta(ge=option.min, le=option.max)]
    value = msgspec.convert(given, list[item] if setting.is_list else item, strict=strict)
    if setting.item is not Path:
        return value
    paths = [folder / Path(each).expanduser() for each in (value if setting.is_list else [value])]
    return paths if setting.is_list else paths[0]


def _expected(setting: Setting, *, in_file: bool) -> str:
    """A description of the values that a setting can have."""
    option, item = setting.option, setting.item
    names: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false"}
    what = names.get(item) or ("a path" if item is Path else "a string")
    if literal := getattr(item, "__args__", ()):
        what = "one of " + ", ".join(map(repr, literal))
    if setting.is_list:
        what = f"a list, each item {what}" if in_file else f"{what}, or a list in JSON"
    bounds = [
        f"{word} {bound:g}"
        for word, bound in (("from", option.min), ("to", option.max))
        if bound is not None
    ]
    return " ".join([what, *bounds])


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[str]:
    known = known_variables()
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            rest = name.removeprefix(PREFIX)
            hint = _KUBERNETES if rest.startswith(_KUBERNETES_NAMES) else ""
            own = _own_only(rest.lower(), f"{PREFIX}{{}}_{rest}", str.upper)
            yield f"{name} is not a variable of Concordance{hint or own or _nearest(name, known)}"


def _unknown_keys(file: SettingsFile) -> Iterator[str]:
    shared = shared_settings()
    for key, value in file.values.items():
        if isinstance(value, dict):
            yield from _unknown_in_table(file, key, value)
        elif key in COMMANDS and key not in shared:
            yield f"{file.place('', key)}: {key!r} is a command; write a table [{key}]"
        elif key not in shared:
            hint = _own_only(key, "`" + key + "` in [{}]", str) or _nearest(key, {*shared})
            yield f"{file.place('', key)}: unknown key {key!r}{hint}"


def _unknown_in_table(file: SettingsFile, table: str, values: Mapping[str, Any]) -> Iterator[str]:
    if table not in COMMANDS:
        yield f"{file.place(table, '')}: unknown table [{table}]{_nearest(table, {*COMMANDS})}"
        return
    known = COMMANDS[table]
    for key in values:
        if key not in known:
            place = file.place(table, key)
            listed = f"its keys are: {', '.join(sorted(known))}"
            hint = did_you_mean(similar_names(key, known), listed)
            yield f"{place}: unknown key {key!r} in [{table}]{hint}"


def _own_only(name: str, form: str, spelled: Any) -> str:
    """What to write for a setting that is declared differently by several commands."""
    having = [each.command for each in settings_by_name().get(name, ())]
    if not having:
        return ""
    forms = " or ".join(form.format(spelled(command)) for command in having)
    return f": {name!r} differs from command to command; set {forms}"


def _nearest(name: str, known: set[str]) -> str:
    hint = did_you_mean(similar_names(name, sorted(known), cutoff=0.6))
    return hint or "; `concordance config` lists all settings"

"""The TOML file of profiles and prompts. Unknown keys are errors with the nearest right name.

profile = "careful"                 # used without --profile

[names]                             # placeholders of all prompts
user = "Ada"

[prompts.tutor]
system = "You teach {topic} to {user}. Today is {date}."
names = { topic = "Rust" }

[profiles.careful]
prompt = "tutor"
temperature = 0.2
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from concordance_shared import InvalidRequestError
from concordance_shared.suggestions import did_you_mean, similar_names

from concordance_inference.cli.chat.placeholders import filled
from concordance_inference.cli.chat.settings import changeable, chat_settings
from concordance_inference.cli.options import Chat
from concordance_inference.cli.settings_file import (
    SettingsError,
    SettingsFile,
    config_folder,
    read_file,
)

NAME = "chat.toml"

#: Keys of a profile besides the settings of `/set`.
_OF_PROFILE = ("model", "mod", "mods", "system", "prompt")

_OF_PROMPT = ("system", "names")


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A system message with placeholders."""

    system: str
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    where: str = ""  # for error messages

    def text(self, model: str, at: datetime) -> str:
        """Return the system message for a conversation that begins at a time.

        Raises:
            InvalidRequestError: It has a placeholder that is unknown.
        """
        return filled(self.system, {"model": model, **self.names}, at, self.where)


@dataclass(frozen=True, kw_only=True)
class Profiles:
    """The contents of the file. Values are checked, placeholders are not filled in."""

    default: str | None = None
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    prompts: Mapping[str, Prompt] = field(default_factory=dict[str, Prompt])
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    path: Path | None = None

    def applied(self, name: str, options: Chat) -> Chat:
        """Return the options with the values of a profile, where the user gave no others.

        Args:
            name: The profile.
            options: The options; a value that is not the default was given by the user.

        Raises:
            InvalidRequestError: There is no such profile.
        """
        values = self.values(name)
        known = chat_settings()
        given = {key for key in values if getattr(options, key) != known[key].default}
        if options.url:
            given |= {"model"} & values.keys()  # the server has its own
        return replace(options, **{key: values[key] for key in values.keys() - given})

    def values(self, name: str) -> Mapping[str, Any]:
        """Return the values of a profile, by option.

        Raises:
            InvalidRequestError: There is no such profile.
        """
        return _named(self.profiles, name, "profile", self.path)

    def prompt(self, name: str) -> Prompt:
        """Return a prompt.

        Raises:
            InvalidRequestError: There is no such prompt.
        """
        return _named(self.prompts, name, "prompt", self.path)


def read_profiles(given: Path | None) -> Profiles:
    """Read the file: the given one, or the one of the user's configuration, if there is one.

    Raises:
        InvalidRequestError: It cannot be read, or a key or a value is wrong.
    """
    path, what = given, f"--profiles names {given}, which"
    if path is None:
        folder = config_folder()
        path = folder / NAME if folder else None
        what = f"{path}, which holds profiles,"
        if path is None or not path.is_file():
            return Profiles()
    try:
        return _checked(read_file(path.expanduser(), what))
    except SettingsError as exc:
        raise InvalidRequestError(str(exc)) from exc


def _checked(file: SettingsFile) -> Profiles:
    known = ("profile", "names", "prompts", "profiles")
    _check_keys(file, "", file.values, known)
    names = _texts(file, "names", file.values.get("names", {}))
    prompts = {
        name: _prompt(file, f"prompts.{name}", values, names)
        for name, values in _tables(file, "prompts").items()
    }
    profiles = {
        name: _profile(file, f"profiles.{name}", values, prompts)
        for name, values in _tables(file, "profiles").items()
    }
    default = file.values.get("profile")
    if default is not None and default not in profiles:
        hint = did_you_mean(similar_names(str(default), profiles))
        raise SettingsError(f"{file.place('', 'profile')}: there is no profile {default!r}{hint}")
    return Profiles(
        default=default, profiles=profiles, prompts=prompts, names=names, path=file.path
    )


def _prompt(
    file: SettingsFile, table: str, values: Mapping[str, Any], names: Mapping[str, str]
) -> Prompt:
    _check_keys(file, table, values, _OF_PROMPT)
    place = file.place(table, "system")
    if not isinstance(values.get("system"), str):
        raise SettingsError(f"{place}: [{table}] has no `system`, a string; add it")
    own = _texts(file, f"{table}.names", values.get("names", {}))
    return Prompt(
        system=values["system"], names={**names, **own}, where=f"{place}: `system` in [{table}]"
    )


def _profile(
    file: SettingsFile,
    table: str,
    values: Mapping[str, Any],
    prompts: Mapping[str, Prompt],
) -> dict[str, Any]:
    from concordance_inference.cli.settings_values import checked_value

    _check_keys(file, table, values, (*changeable(), *_OF_PROFILE))
    assert file.path is not None, "it was read"
    folder, settings = file.path.parent, chat_settings()
    checked = {
        key: checked_value(
            settings[key], value, f"{file.place(table, key)}: `{key}` in [{table}]", folder=folder
        )
        for key, value in values.items()
    }
    if (prompt := checked.get("prompt")) is not None and prompt not in prompts:
        hint = did_you_mean(similar_names(prompt, prompts))
        place = file.place(table, "prompt")
        raise SettingsError(
            f"{place}: [{table}] names the prompt {prompt!r}, which is not in this file{hint}"
        )
    return checked


def _tables(file: SettingsFile, name: str) -> Mapping[str, Mapping[str, Any]]:
    """The tables in a table."""
    tables: Any = file.values.get(name, {})
    for key, value in tables.items() if isinstance(tables, dict) else [("", None)]:
        if not isinstance(value, dict):
            place = file.place(name, str(key))
            raise SettingsError(f"{place}: write a table [{name}.NAME] for each of the {name}")
    return cast(Mapping[str, Mapping[str, Any]], tables)


def _texts(file: SettingsFile, table: str, values: Any) -> Mapping[str, str]:
    for key, value in values.items() if isinstance(values, dict) else [("", None)]:
        if not isinstance(value, str):
            place = file.place(table, str(key))
            raise SettingsError(
                f'{place}: [{table}] has names with strings: `{key or "NAME"} = ""`'
            )
    return cast(Mapping[str, str], values)


def _check_keys(
    file: SettingsFile, table: str, values: Mapping[str, Any], known: Collection[str]
) -> None:
    for key in values:
        if key not in known:
            listed = f"its keys are: {', '.join(known)}"
            hint = did_you_mean(similar_names(key, known, cutoff=0.6), listed)
            where = f" in [{table}]" if table else ""
            place = file.place(table, key)
            raise SettingsError(f"{place}: unknown key {key!r}{where}{hint}")


def _named(found: Mapping[str, Any], name: str, what: str, path: Path | None) -> Any:
    if name not in found:
        listed = f"the {what}s are: {', '.join(found)}" if found else ""
        hint = did_you_mean(similar_names(name, found), listed)
        place = f"{path} has" if path else f"there is no file {NAME}, and so"
        raise InvalidRequestError(f"--{what} {name}: {place} no {what} {name!r}{hint}")
    return found[name]

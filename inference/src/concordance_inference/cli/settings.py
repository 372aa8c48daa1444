"""The settings of each command: its options, which variables and a TOML file can set too.

The options are declared once, in `options.py`; `takes` adds the settings of each command here. A
setting is known by three names, all of them derived from the name of the option:

    --max-rows    CONCORDANCE_MAX_ROWS          max_rows = 8     every command that has the option
                  CONCORDANCE_SERVE_MAX_ROWS    [serve]          one command
                                                max_rows = 8
"""

import types
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from typer.models import OptionInfo

PREFIX = "CONCORDANCE_"

#: Variables that are no options.
OTHER_VARIABLES = {
    "CONCORDANCE_API_KEY": "the key that commands send to a server",
    "CONCORDANCE_CACHE": "the cache folder",
    "CONCORDANCE_CONFIG": "the file of settings",
    "CONCORDANCE_STATE": "the folder of keys",
    "CONCORDANCE_STORE": "the folder of downloaded models",
}

#: Last words of the names of settings whose values are not shown.
_SECRET_WORDS = frozenset({"key", "keys", "secret", "password", "token"})


@dataclass(frozen=True, kw_only=True)
class Setting:
    """An option of a command, without its value."""

    command: str
    name: str
    declared: Any  # its type without `None`
    default: Any
    option: OptionInfo

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        spelled = [each for each in self.option.param_decls or () if each.startswith("--")]
        return spelled[0] if spelled else f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """The variable that sets it for every command that has it."""
        return f"{PREFIX}{self.name.upper()}"

    @property
    def own_variable(self) -> str:
        """The variable that sets it for its command only."""
        return f"{PREFIX}{self.command.upper()}_{self.name.upper()}"

    @property
    def is_list(self) -> bool:
        """True if it has several values."""
        return get_origin(self.declared) is list

    @property
    def item(self) -> Any:
        """The type of a value, or of each of its values."""
        return get_args(self.declared)[0] if self.is_list else self.declared

    @property
    def is_secret(self) -> bool:
        """True if its value is never shown."""
        is_hidden = bool(getattr(self.option, "hide_input", False))
        is_named_so = self.item is str and self.name.rpartition("_")[2] in _SECRET_WORDS
        return is_hidden or is_named_so


Settings = dict[str, Setting]

#: The settings of each command, by its name as an identifier: `mods_watch`.
COMMANDS: dict[str, Settings] = {}


def add_command(command: str, options: type) -> None:
    """Make the options of a command settings. Its arguments are none."""
    COMMANDS[command] = declared_settings(command, options)


def declared_settings(command: str, options: type) -> Settings:
    """Return the settings among the fields of a class of options."""
    hints = get_type_hints(options, include_extras=True)
    return {
        each.name: Setting(
            command=command,
            name=each.name,
            declared=_without_none(hints[each.name].__origin__),
            default=_default(each),
            option=hints[each.name].__metadata__[0],
        )
        for each in fields(options)
        if _is_option(hints[each.name])
    }


def shared_settings() -> dict[str, list[Setting]]:
    """Return the settings that mean the same for all commands that have them, by name.

    `tokens` is none of them: it is a number for one command and a switch for another.
    """
    by_name = settings_by_name()
    return {n: them for n, them in by_name.items() if len({each.item for each in them}) == 1}


def settings_by_name() -> dict[str, list[Setting]]:
    """Return all settings of a name, for each name."""
    by_name: dict[str, list[Setting]] = {}
    for settings in COMMANDS.values():
        for setting in settings.values():
            by_name.setdefault(setting.name, []).append(setting)
    return by_name


def _is_option(hint: Any) -> bool:
    return get_origin(hint) is Annotated and isinstance(hint.__metadata__[0], OptionInfo)


def _without_none(declared: Any) -> Any:
    """The type of a value that is given: `int` of `int | None`."""
    if get_origin(declared) not in (Union, types.UnionType):
        return declared
    (kept,) = (each for each in get_args(declared) if each is not type(None))
    return kept


def _default(field: Any) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return None if field.default is MISSING else field.default

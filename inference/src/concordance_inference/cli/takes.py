"""Makes a command of a function that takes a class of options.

The values of its options come from the command line, from variables and from a file of settings.
"""

import inspect
import math
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_type_hints

import typer

from concordance_inference.cli.options import ConfigFile, ModelArgs
from concordance_inference.cli.settings import COMMANDS, add_command
from concordance_inference.cli.settings_file import SettingsError, find_file

if TYPE_CHECKING:
    from concordance_inference.cli.settings_values import Value

Options = TypeVar("Options")

#: The exit status of a command with an option or a setting that it cannot use.
USAGE = 2

#: Options that only a model of this process has, besides those of loading it.
_LOCAL = ("says", "script", "raw")


def takes(
    options: type[Options], *, settings_of: str | None = None, announces: bool = False
) -> Callable[[Callable[[Options], None]], Callable[..., None]]:
    """Give a function that takes `options` the signature that typer makes a command of.

    Args:
        options: A class of `options.py`.
        settings_of: The command whose settings these options are; by default its own. Empty: none.
        announces: Print which settings come from where.
    """
    hints = get_type_hints(options, include_extras=True)
    names_file = "config_file" in hints
    hints = {"ctx": typer.Context, **hints, "config_file": ConfigFile}
    defaults = {each.name: _default(each) for each in fields(cast(Any, options))}
    defaults = {"ctx": inspect.Parameter.empty, **defaults, "config_file": None}
    parameters = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[name]
        )
        for name, default in defaults.items()
    ]

    def wrap(function: Callable[[Options], None]) -> Callable[..., None]:
        name = function.__name__ if settings_of is None else settings_of
        if settings_of is None:
            add_command(name, options)

        def command(ctx: typer.Context, config_file: Path | None, **values: Any) -> None:
            given = _given(ctx, values)
            with _settings_errors():
                found = _set_values(name, config_file)
            used = {key: each for key, each in found.items() if key in values.keys() - given}
            if announces:
                _announce(used)
            values |= {key: each.value for key, each in used.items()}
            if names_file:
                values["config_file"] = config_file
            with _settings_errors():
                _refuse_nan(values)
                function(options(**_server_or_model(values, given, options)))

        command.__name__, command.__doc__ = function.__name__, function.__doc__
        command.__annotations__ = hints
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return command

    return wrap


def _given(ctx: typer.Context, names: Mapping[str, Any]) -> set[str]:
    """The options that are on the command line."""
    sources = {name: ctx.get_parameter_source(name) for name in names}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def _set_values(command: str, config_file: Path | None) -> "dict[str, Value]":
    """The settings of a command that variables or the file set.

    Raises:
        SettingsError: The file cannot be read, or a name or a value is wrong.
    """
    from concordance_inference.cli.settings_values import check_names, values_of

    file = find_file(config_file)
    check_names(file)
    found = values_of(command, file) if command in COMMANDS else {}
    return {name: value for name, value in found.items() if value.is_set}


def _refuse_nan(values: Mapping[str, Any]) -> None:
    """Refuse a number that is none, which is within all bounds.

    Raises:
        SettingsError: There is one.
    """
    for name, value in values.items():
        if isinstance(value, float) and math.isnan(value):
            raise SettingsError(f"--{name.replace('_', '-')}: nan is not a number; write one")


@contextmanager
def _settings_errors() -> Generator[None]:
    """Exit with status `USAGE` if a setting is wrong."""
    try:
        yield
    except SettingsError as exc:
        print(f"concordance: {exc}", file=sys.stderr)
        sys.exit(USAGE)


def _announce(used: "Mapping[str, Value]") -> None:
    """Print the names of settings with their sources: a file may be there by accident."""
    for name, value in used.items():
        print(f"… {name} is set by {value.source}", file=sys.stderr)


def _server_or_model(values: dict[str, Any], given: set[str], options: type) -> dict[str, Any]:
    """Leave out either the URL of a server or the options of a model that is loaded here.

    A URL that a variable or the file sets gives way to an option of a model on the command line.
    """
    local = {each.name for each in fields(ModelArgs)}.union(_LOCAL) & values.keys()
    if not values.get("url") or "model" not in values:
        return values
    if "url" not in given and local & given:
        return {**values, "url": None}
    defaults = {each.name: _default(each) for each in fields(options)}
    return {**values, **{name: defaults[name] for name in local - given}}


def _default(declared: Any) -> Any:
    if declared.default_factory is not MISSING:
        return declared.default_factory()
    return inspect.Parameter.empty if declared.default is MISSING else declared.default

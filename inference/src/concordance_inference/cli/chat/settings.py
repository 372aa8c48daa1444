"""The options of `concordance chat` that `/set`, profiles and saved conversations change.

Type, bounds and help of each are declared once, in `cli/options.py`.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from concordance_shared import InvalidRequestError
from concordance_shared.suggestions import did_you_mean, similar_names

from concordance_inference.cli.options import Chat
from concordance_inference.cli.settings import Setting, Settings, declared_settings
from concordance_inference.cli.settings_file import SettingsError

#: How tokens are generated. Conversations record these when they change.
HYPERPARAMETERS = (
    "max_tokens",
    "min_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "ignore_eos",
    "loop_detection",
    "loop_action",
    "reasoning_effort",
    "thinking_token_budget",
)

#: What is shown and saved.
DISPLAY = (
    "reasoning",
    "truncate_thinking",
    "truncate_response",
    "markdown",
    "stats",
    "auto_resume",
    "autosave",
)

_SPOKEN = {"on": "true", "yes": "true", "off": "false", "no": "false"}


@cache
def chat_settings() -> Settings:
    """Return all settings of the command, by name."""
    return declared_settings("chat", Chat)


def changeable() -> Settings:
    """Return the settings that change while the program runs, by name."""
    return {name: chat_settings()[name] for name in (*HYPERPARAMETERS, *DISPLAY)}


def with_text(options: Chat, name: str, text: str) -> Chat:
    """Return the options with a setting that the user typed.

    Args:
        options: The options.
        name: The setting, with dashes or underscores.
        text: The value; `default` for that of the command.

    Raises:
        InvalidRequestError: There is no such setting, or it has no such value.
    """
    setting = _named(name.replace("-", "_"))
    if text == "default":
        return replace(options, **{setting.name: setting.default})
    from concordance_inference.cli.settings_values import parsed_value  # imports difflib

    spoken = _SPOKEN.get(text.lower(), text) if setting.item is bool else text
    try:
        value = parsed_value(setting, f"/set {setting.name}", spoken)
    except SettingsError as exc:
        raise InvalidRequestError(str(exc)) from exc
    return replace(options, **{setting.name: value})


def with_recorded(options: Chat, values: Mapping[str, Any], where: str) -> Chat:
    """Return the options with the hyperparameters that a conversation recorded.

    Args:
        options: The options.
        values: The hyperparameters; the others are those of the command.
        where: The file, for the message.

    Raises:
        InvalidRequestError: A name or a value is wrong.
    """
    from concordance_inference.cli.settings_values import checked_value

    known = {name: chat_settings()[name] for name in HYPERPARAMETERS}
    for name in values:
        if name not in known:
            hint = did_you_mean(similar_names(name, known))
            raise InvalidRequestError(f"{where}: unknown hyperparameter {name!r}{hint}")
    changed = {name: setting.default for name, setting in known.items()}
    try:
        for name, value in values.items():
            at = f"{where}: `{name}`"
            changed[name] = checked_value(known[name], value, at, folder=Path())
    except SettingsError as exc:
        raise InvalidRequestError(str(exc)) from exc
    return replace(options, **changed)


def hyperparameters(options: Chat) -> dict[str, Any]:
    """Return the hyperparameters that are set."""
    values = {name: getattr(options, name) for name in HYPERPARAMETERS}
    return {name: value for name, value in values.items() if value is not None}


def shown_value(options: Chat, name: str) -> str:
    """Return the value of a setting as the user would type it."""
    value = getattr(options, name)
    if isinstance(value, bool):
        return "on" if value else "off"
    return "default" if value is None else str(value)


def _named(name: str) -> Setting:
    known = changeable()
    if name not in known:
        hint = did_you_mean(similar_names(name, known), f"the settings are: {', '.join(known)}")
        raise InvalidRequestError(f"/set: there is no setting {name!r}{hint}")
    return known[name]

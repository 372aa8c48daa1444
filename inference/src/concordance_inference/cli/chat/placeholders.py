"""Placeholders in prompts: dates, names, and values of the user's own.

"You are {assistant}, a tutor of {user}. Today is {date:%A, %d %B %Y}."
"""

import getpass
from collections.abc import Mapping
from datetime import datetime
from string import Formatter
from typing import Any

from concordance_shared import InvalidRequestError
from concordance_shared.suggestions import did_you_mean, similar_names

#: Placeholders of a time, with the format they have without one of their own.
_TIMES = {
    "date": "%Y-%m-%d",
    "time": "%H:%M",
    "datetime": "%Y-%m-%d %H:%M",
    "weekday": "%A",
    "month": "%B",
    "year": "%Y",
}

#: The placeholders that are known without a definition.
BUILT_IN = (*_TIMES, "user", "assistant", "model")


def filled(template: str, names: Mapping[str, str], at: datetime, where: str) -> str:
    """Return a text with its placeholders filled in.

    Args:
        template: The text; `{{` and `}}` are braces.
        names: The values of placeholders. They win over the built-in ones.
        at: The time.
        where: The beginning of an error message.

    Raises:
        InvalidRequestError: A placeholder is unknown, or the braces do not match.

    Examples:
        >>> filled("{user}, {date:%d %b}", {"user": "Ada"}, datetime(2026, 11, 28), "prompt")
        'Ada, 28 Nov'
    """
    try:
        pieces = [*Formatter().parse(template)]
    except ValueError as exc:
        raise InvalidRequestError(
            f"{where}: {exc}; write {{{{ and }}}} for braces that are no placeholder"
        ) from exc
    return "".join(
        text if name is None else text + _value(name, spec or "", names, at, where)
        for text, name, spec, _ in pieces
    )


def _value(name: str, spec: str, names: Mapping[str, str], at: datetime, where: str) -> str:
    if name in names and not spec:
        return names[name]
    if name in _TIMES and name not in names:
        return at.strftime(spec or _TIMES[name])
    if not spec and name in _DEFAULTS:
        return _DEFAULTS[name]()
    if spec and name in {*names, *BUILT_IN}:
        raise InvalidRequestError(
            f"{where}: the placeholder {{{name}:{spec}}} has a format, which only those of dates "
            f"have: {', '.join(_TIMES)}"
        )
    known = sorted({*names, *BUILT_IN})
    hint = did_you_mean(similar_names(name, known), f"the placeholders are: {', '.join(known)}")
    raise InvalidRequestError(f"{where}: unknown placeholder {{{name}}}{hint}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no entry for this user, as in some containers
        return "the user"


_DEFAULTS: Mapping[str, Any] = {
    "user": _user,
    "assistant": lambda: "the assistant",
    "model": lambda: "the model",
}

"""Reports: data that mods send to the client, validated and limited."""

import json
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct

MAX_REPORTS = 10_000
"""The maximum number of reports of one request."""

MAX_REPORT_BYTES = 256 * 1024
"""The maximum size of the data of all reports of one request, in bytes of JSON."""

#: Levels of lists and mappings in a report. Encoders and clients recurse.
_MAX_DEPTH = 100


class ModReport(Struct, frozen=True, kw_only=True):
    """A report as the client receives it: the data, and the mod and the event that it came from.

    Attributes:
        mod: The name of the mod.
        step: The completion position of the event at which it was made.
        data: The data, as JSON decodes it.

    Examples:
        >>> import msgspec
        >>> msgspec.json.encode(ModReport(mod="judge", step=7, data={"verdict": "no"}))
        b'{"mod":"judge","step":7,"data":{"verdict":"no"}}'
        >>> print(ModReport(mod="judge", step=7, data={"verdict": "no"}))
        reported 7 judge {"verdict":"no"}
    """

    mod: str
    step: int
    data: dict[str, Any]

    def __str__(self) -> str:
        """Return a line for logs and terminals."""
        return f"reported {self.step} {self.mod} {msgspec.json.encode(self.data).decode()}"


def report_data_from(data: object) -> dict[str, Any]:
    """Copy the data of a report as JSON values, so that the mod can change its own afterwards.

    Raises:
        ValueError: It is not a mapping with string keys, a value is not JSON, or it is nested too
            deeply.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"its data is {data!r:.80} instead of a mapping")  # noqa: TRY004
    values = cast(Mapping[object, object], data)
    for key in values:
        if not isinstance(key, str):
            raise ValueError(f"its data has the key {key!r:.80}, which is not a string")  # noqa: TRY004
    try:
        return msgspec.json.decode(_encode(dict(values)))
    except (TypeError, ValueError, RecursionError):
        for key, value in values.items():
            _check(f"{key}", value)
        raise


def _check(key: str, value: object) -> None:
    """Raise an error that names the key, if its value is not JSON."""
    try:
        _encode({key: value})
    except (TypeError, ValueError, RecursionError) as exc:
        raise ValueError(f"its {key!r:.80} is not JSON: {exc}") from exc


def _encode(data: dict[Any, object]) -> bytes:
    text = _ENCODER.encode(data)
    if text.count("[") + text.count("{") > _MAX_DEPTH and _depth(json.loads(text)) > _MAX_DEPTH:
        raise ValueError(f"it is nested more than {_MAX_DEPTH} levels deep")
    return text.encode()


def _depth(value: object) -> int:
    if isinstance(value, dict):
        value = list(cast(dict[str, object], value).values())
    if not isinstance(value, list):
        return 0
    return 1 + max(map(_depth, cast(list[object], value)), default=0)


def _as_json(value: object) -> object:
    """Convert a value that JSON has no type for."""
    if isinstance(value, Mapping):
        return dict(cast(Mapping[object, object], value))
    if hasattr(value, "tolist"):  # numpy and mlx arrays and scalars
        return cast(Any, value).tolist()
    raise TypeError(f"{value!r:.80} is of type {type(value).__name__}")


_ENCODER = json.JSONEncoder(
    allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_as_json
)

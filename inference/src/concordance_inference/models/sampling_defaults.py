"""The sampling parameters that a model's authors recommend."""

import logging
from pathlib import Path
from typing import Any

import msgspec

from concordance_inference.generation import SamplingDefaults
from concordance_inference.models.embedded import DEFAULT_HUB_ID, DEFAULT_MODEL

logger = logging.getLogger(__name__)

_FILE = "generation_config.json"
_NAMES = tuple(name for name in SamplingDefaults.__struct_fields__ if name != "source")

#: Recommended by the model's card; the embedded file has no generation_config.json.
_SMOLLM2 = SamplingDefaults(source="recommended", temperature=0.2, top_p=0.9)
_RECOMMENDED = {DEFAULT_MODEL: _SMOLLM2, DEFAULT_HUB_ID: _SMOLLM2}


def sampling_defaults(model_id: str, folder: Path) -> SamplingDefaults:
    """Return the values of the model's generation_config.json, or those known for the model.

    A value that is no valid parameter is reported in the log and not used.

    Args:
        model_id: The model.
        folder: Its folder.
    """
    known = _RECOMMENDED.get(model_id, SamplingDefaults())
    given = {name: value for name, value in _read(folder / _FILE).items() if name in _NAMES}
    valid = {name: value for name, value in given.items() if _is_valid(name, value, folder)}
    if not valid:
        return known
    return msgspec.structs.replace(known, source=_FILE, **_converted(valid))


def _read(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        logger.warning("%s cannot be read, so its sampling parameters are not used: %s", path, exc)
        return {}


def _is_valid(name: str, value: Any, folder: Path) -> bool:
    if value is None:
        return False
    try:
        _converted({name: value})
    except msgspec.ValidationError as exc:
        logger.warning("%s: %s=%r is not used: %s", folder / _FILE, name, value, exc)
        return False
    return True


def _converted(given: dict[str, Any]) -> dict[str, Any]:
    """The values in their types.

    Raises:
        msgspec.ValidationError: One is of another type, or out of range.
    """
    values = {name: 0 if (name, value) == ("top_k", -1) else value for name, value in given.items()}
    converted = msgspec.convert(values, SamplingDefaults)
    return {name: getattr(converted, name) for name in values}

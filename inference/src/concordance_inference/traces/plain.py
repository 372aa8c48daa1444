"""Values of mods as plain data, which JSON can have."""

from typing import Any

import msgspec


def plain(value: Any) -> Any:
    """Return a value as plain data; what JSON cannot have is shown as Python writes it."""
    try:
        return msgspec.to_builtins(value, str_keys=True)
    except (TypeError, ValueError, OverflowError):
        return repr(value)[:1000]

r"""Texts with half of a surrogate pair, as JSON's `"\ud800"` makes, which UTF-8 cannot encode."""

from typing import Any

import msgspec


def surrogate_fault(value: Any) -> str | None:
    r"""Describe half of a surrogate pair in a value; `None` if all of its texts can be encoded.

    Args:
        value: A text, or anything that JSON can encode.

    Examples:
        >>> print(surrogate_fault(["a", "b" + chr(0xD800)]))
        character 1 is '\ud800', half of a surrogate pair, which UTF-8 cannot encode; leave it out
        >>> surrogate_fault({"a": "b"}) is None
        True
    """
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError as exc:
        return (
            f"character {exc.start} is {exc.object[exc.start]!a}, half of a surrogate pair, which "
            "UTF-8 cannot encode; leave it out"
        )
    except (TypeError, ValueError, OverflowError, RecursionError):  # a value that JSON lacks
        return None
    return None

"""Fields of a request that are probably mistyped.

Unknown fields are ignored, since clients send extras. One that is nearly the name of a known field
is refused: a mod or a limit that is dropped silently is worse than an error.
"""

from collections.abc import Collection, Iterable
from itertools import islice

import msgspec
from concordance_shared import InvalidRequestError
from concordance_shared.suggestions import did_you_mean, similar_names

#: Similarity of names, 0 to 1, from which an unknown field is refused.
_CUTOFF = 0.83

#: Fields of other servers that resemble ours and do not change the completion.
_OTHERS = frozenset(
    {
        "mode",
        "model_id",
        "reasoning_split",
        "temperature_last",
        "top_logprobs_num",
        "trace_id",
    }
)

#: At most this many unknown fields, of at most this length, are compared.
_MAX_UNKNOWN = 64
_MAX_LENGTH = 48

#: Bytes of unknown fields up to which they are looked at.
_MAX_BYTES = 64 * 1024


def refuse_near_misses(
    raw: bytes | msgspec.Raw, known: Collection[str], used: Collection[str], *, at: str = ""
) -> None:
    """Refuse a field whose name is close to a known one.

    Args:
        raw: The object, which has been decoded before.
        known: The names that have been read, ignored ones included.
        used: The names to suggest.
        at: The path of the object, followed by a dot.

    Raises:
        InvalidRequestError: There is such a field, and it is not null; `param` names it.
    """
    try:
        given = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeError):
        return
    unknown = (name for name in given if name not in known and name not in _OTHERS)
    for name in islice(unknown, _MAX_UNKNOWN):
        if bytes(given[name]).strip() != b"null" and (close := _meant(name, used)):
            raise InvalidRequestError(
                f"{at}{name} is not a field of the request{did_you_mean(close[:1])}",
                param=f"{at}{name}",
            )


def is_small(raw: bytes, values: Iterable[msgspec.Raw]) -> bool:
    """True if an object has few bytes beside the values that are known."""
    return len(raw) - sum(len(bytes(value)) for value in values) <= _MAX_BYTES


def _meant(name: str, used: Collection[str]) -> list[str]:
    if len(name) > _MAX_LENGTH:
        return []
    words = set(name.lower().replace("-", "_").split("_"))
    if "mods" in used and words & {"mod", "mods"}:  # mod_name, mod_params, use_mods
        return ["mods"]
    return similar_names(name, used, cutoff=_CUTOFF)

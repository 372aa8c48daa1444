"""Suggestions for names that were probably mistyped."""

import difflib
from collections.abc import Iterable


def similar_names(name: str, known: Iterable[str], *, cutoff: float = 0.75) -> list[str]:
    """Return the known names that a mistyped one may stand for, the best first.

    Case and underscores do not count.

    Args:
        name: The mistyped name.
        known: The names that exist.
        cutoff: The similarity that a name must have, 0 to 1.

    Examples:
        >>> similar_names("forceTokens", ["force_output", "force_tokens"])
        ['force_tokens']
        >>> similar_names("max_token", ["model", "max_tokens", "top_k"])
        ['max_tokens']
    """
    plain: dict[str, list[str]] = {}
    for each in known:
        plain.setdefault(_plain(each), []).append(each)
    if _plain(name) in plain:
        return plain[_plain(name)]
    close = difflib.get_close_matches(_plain(name), plain, n=2, cutoff=cutoff)
    return [each for found in close for each in plain[found]]


def did_you_mean(names: Iterable[str], listed: str = "") -> str:
    """Return the end of a message that suggests names; empty if there are none.

    Args:
        names: The suggested names.
        listed: A sentence that follows, with all names, without its period.

    Examples:
        >>> did_you_mean(["stop"]), did_you_mean(["force_output", "force_tokens"])
        ("; did you mean 'stop'?", "; did you mean 'force_output' or 'force_tokens'?")
        >>> did_you_mean(["n"], "its arguments are: n"), did_you_mean([], "its arguments are: n")
        ("; did you mean 'n'? Its arguments are: n", '; its arguments are: n')
    """
    quoted = " or ".join(map(repr, names))
    if not quoted:
        return f"; {listed}" if listed else ""
    return f"; did you mean {quoted}? {listed[:1].upper()}{listed[1:]}".rstrip()


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").casefold()

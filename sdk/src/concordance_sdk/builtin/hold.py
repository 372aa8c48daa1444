"""What a stream holds back for mods that look for phrases: as much as the longest may have."""

from collections.abc import Sequence
from typing import Any

from concordance_shared import Added

from concordance_sdk.composition import ModUse, use
from concordance_sdk.definition import DEFAULT_MAX_BACKTRACK
from concordance_sdk.mod import mod

#: The character behind a phrase, by which a word is known to be whole, has no more bytes.
_BYTES_BEHIND = 4


def hold_for(phrases: Sequence[str]) -> list[ModUse]:
    """A mod to contain, for which a stream holds back what these phrases may have in tokens.

    A token may be a single byte. None is needed where a stream holds back as much by default.
    """
    longest = max(len(phrase.encode()) for phrase in phrases) + _BYTES_BEHIND
    if longest <= DEFAULT_MAX_BACKTRACK:
        return []

    @mod(on=[Added], max_backtrack=longest, registered=False)
    def hold(event: Any, actions: Any) -> None:
        """Does nothing: what it declares is all that is needed of it."""

    return [use(hold)]

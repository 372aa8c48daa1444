"""Where stop strings count in a completion with channels: in its content. No arrays."""

from collections.abc import Sequence

from concordance_sdk.channels import Channels

#: White space after the reasoning that is not part of the content, in characters.
MAX_SPACE = 256


class ContentScope:
    """The content of a completion: neither reasoning, nor headers, nor the arguments of calls."""

    def __init__(self, channels: Channels) -> None:
        """Follow the channels of a completion."""
        self._channels = channels

    def begin(self, index: int, ends: Sequence[int]) -> int | None:
        """Return the character at which the content of a message begins; `None` outside of one.

        Args:
            index: The token, whose message is meant.
            ends: Per token, up to this one: length of the text up to and including it.
        """
        channels = self._channels
        stretch = channels.stretch_at(index + 1)
        if not stretch.place.is_content:
            return None
        first = stretch.begin - channels.format.lead(stretch.state)
        rest = channels.format.rest(stretch.state) if first == stretch.begin else b""
        if index < first and not rest:  # the token of a mark
            return None
        begin = ends[first - 1] if first else 0
        return begin - len(rest.decode(errors="ignore"))

    def is_decided_at(self, index: int) -> bool:
        """True if a token shows that it and what precedes it are content."""
        return self._channels.stretch_at(index + 1).begin == index + 1

    def follows_reasoning(self, index: int) -> bool:
        """True if white space at the beginning of the content is not part of it."""
        channels = self._channels
        stretch = channels.stretch_at(index + 1)
        return not (channels.format.has_headers or channels.format.lead(stretch.state))

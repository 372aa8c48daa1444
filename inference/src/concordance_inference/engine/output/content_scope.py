"""Where stop strings count in a completion with channels: in its content. No arrays."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from concordance_sdk.channels import Channels
from concordance_sdk.channels.completion_channels import Stretch

#: White space after the reasoning that is not part of the content, in characters.
MAX_SPACE = 256


class ContentScope:
    """The content of a completion: neither reasoning, nor headers, nor the arguments of calls."""

    def __init__(self, channels: Channels) -> None:
        """Follow the channels of a completion."""
        self._channels = channels

    def unsearched(
        self, index: int, span: tuple[int, int], ends: Sequence[int], pieces: Sequence[str]
    ) -> tuple[int, int] | None:
        """Return where a stop string may begin, and where it must end; `None` outside of content.

        Args:
            index: The token whose text is searched next.
            span: The character from which a stop string may begin, and the one after which it ends,
                in a text that is all content.
            ends: Per token: length of the text up to and including it.
            pieces: The text of each token.
        """
        stretch = self._channels.stretch_at(index + 1)
        content = self._begin(stretch, index, ends)
        if content is None:
            return None
        if span[0] < content + MAX_SPACE and self._follows_reasoning(stretch):
            content += _num_spaces(content, ends, pieces)
        if stretch.begin == index + 1:  # the token shows that what precedes it is content
            return content, content
        return max(span[0], content), max(span[1], content)

    def _begin(self, stretch: Stretch, index: int, ends: Sequence[int]) -> int | None:
        """The character at which the content of a token's message begins; `None` if it is none."""
        if not stretch.place.is_content:
            return None
        channels = self._channels.format
        first = stretch.begin - channels.lead(stretch.state)
        rest = channels.rest(stretch.state) if first == stretch.begin else b""
        if index < first and not rest:  # the token of a mark
            return None
        begin = ends[first - 1] if first else 0
        return begin - len(rest.decode(errors="ignore"))

    def _follows_reasoning(self, stretch: Stretch) -> bool:
        """True if white space at the beginning of the content is not part of it."""
        channels = self._channels.format
        return not (channels.has_headers or channels.lead(stretch.state))


def _num_spaces(begin: int, ends: Sequence[int], pieces: Sequence[str]) -> int:
    """The number of characters of white space at a place of a text, up to `MAX_SPACE`."""
    first, last = bisect_right(ends, begin), bisect_left(ends, begin + MAX_SPACE) + 1
    before = ends[first - 1] if first else 0
    text = "".join(pieces[first:last])[begin - before :][:MAX_SPACE]
    return len(text) - len(text.lstrip())

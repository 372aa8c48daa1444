"""Channels of models that write their reasoning between two tags, such as `<think>`."""

from collections.abc import Callable, Collection, Sequence
from typing import Literal

from concordance_shared import ChannelPlace
from concordance_shared.channels import ANALYSIS, FINAL
from msgspec import Struct

#: An opening and a closing tag.
Tags = tuple[str, str]

_PLACES = {
    "start": ChannelPlace(in_header=True),
    "reasoning": ChannelPlace(channel=ANALYSIS),
    "content": ChannelPlace(channel=FINAL),
}

#: Nothing that follows the reasoning changes the channel.
_NOTHING: frozenset[int] = frozenset()


class TagState(Struct, frozen=True):
    """Where a completion is.

    Attributes:
        kind: `start`: it is not decided yet, since all so far may be the beginning of a tag.
        closing: In the reasoning, the tag that ends it.
        tail: The last bytes, if they may be the beginning of a tag.
        num_tail: The number of tokens of the tail, at the start with the white space before it; in
            the content, of what of it precedes this state.
        num_mark: In the content, the number of tokens of the tag that ended the reasoning.
        rest: The content in the token that ended the reasoning.
    """

    kind: Literal["start", "reasoning", "content"]
    closing: bytes = b""
    tail: bytes = b""
    num_tail: int = 0
    num_mark: int = 0
    rest: bytes = b""


class TagFormat:
    """The channel is `analysis` between the tags, and `final` after them.

    As the reasoning comes first, text that does not begin with an opening tag is content, and so is
    all that follows a closing tag.

    Examples:
        >>> from concordance_sdk.testing import ByteTokenizer
        >>> tokenizer = ByteTokenizer()
        >>> format = TagFormat([("<a>", "</a>")], token_bytes=tokenizer.token_bytes,
        ...                    encode=tokenizer.encode)
        >>> state = format.opened
        >>> for token_id in b"<a>hm</a>":
        ...     state = format.after(state, token_id)
        >>> format.place(state).channel
        'final'
    """

    has_headers = False

    def __init__(
        self,
        tags: Sequence[Tags],
        *,
        opened: Tags | None = None,
        token_bytes: Callable[[int], bytes],
        encode: Callable[[str], Sequence[int]],
    ) -> None:
        """Describe the tags of a model.

        Args:
            tags: The tags that it may write.
            opened: Those that the prompt has opened, so that the completion begins inside them.
            token_bytes: The bytes of a token; the name of a special one.
            encode: Encodes a text, with special tokens by name.
        """
        self.token_bytes = token_bytes
        self.tags, self.opened_tags = tuple(tags), opened
        self._encode = encode
        self._empty = "".join(tags[0])
        self._tags = [(opening.encode(), closing.encode()) for opening, closing in tags]
        self.opened = TagState("reasoning", opened[1].encode()) if opened else TagState("start")

    def watched(self, state: TagState) -> Collection[int] | None:
        """No token in the content; any before, since a tag may be written in several."""
        return _NOTHING if state.kind == "content" else None

    def after(self, state: TagState, token_id: int) -> TagState:
        """Return the state after a token; the same object if the token does not change it."""
        data = self.token_bytes(token_id)
        if state.kind == "content" or not data:
            return state
        if state.kind == "reasoning":
            return self._in_reasoning(state, data)
        return self._at_start(state, data)

    def _in_reasoning(self, state: TagState, data: bytes) -> TagState:
        closing, text = state.closing, state.tail + data
        before, tag, rest = text.partition(closing)
        if tag:
            num_mark = _num_tokens(state, len(before))
            return TagState("content", num_mark=num_mark, rest=rest)
        lengths = range(min(len(text), len(closing) - 1), 0, -1)
        tail = next((closing[:n] for n in lengths if text.endswith(closing[:n])), b"")
        if tail == state.tail:
            return state
        num_tail = _num_tokens(state, len(text) - len(tail)) if tail else 0
        return TagState("reasoning", closing, tail, num_tail)

    def _at_start(self, state: TagState, data: bytes) -> TagState:
        text = (state.tail + data).lstrip()
        num_tail = state.num_tail + 1
        for opening, closing in self._tags:
            if text.startswith(opening):
                begun = TagState("reasoning", closing)
                return self._in_reasoning(begun, text[len(opening) :])
        if any(opening.startswith(text) for opening, _ in self._tags):
            return TagState("start", tail=text, num_tail=num_tail)
        return TagState("content", num_tail=num_tail)

    def place(self, state: TagState) -> ChannelPlace:
        """The channel of a state."""
        return _PLACES[state.kind]

    def lead(self, state: TagState) -> int:
        """The tokens before a state that are content already: all of a text without a tag."""
        return state.num_tail if state.kind == "content" else 0

    def num_mark(self, state: TagState) -> int:
        """The number of tokens of the tag that ended the reasoning."""
        return state.num_mark

    def rest(self, state: TagState) -> bytes:
        """The content in the token that ended the reasoning."""
        return state.rest

    def reasoning_ends(self, state: TagState) -> tuple[str, ...]:
        """The closing tag."""
        return (state.closing.decode(),) if state.closing else ()

    def to_final(self, state: TagState) -> Sequence[int] | None:
        """The closing tag, or what it lacks; at the start, after the opening one."""
        if state.kind == "content":
            return ()
        if state.kind == "start":
            return None if state.tail else self._encode(self._empty)
        return self._encode(state.closing[len(state.tail) :].decode())

    def to_header(self, state: TagState) -> Sequence[int] | None:
        """The same: nothing but the tag decides where the reasoning ends."""
        return self.to_final(state)

    def reopening(self, state: TagState) -> Collection[int]:
        """No token."""
        del state
        return ()

    def end_id(self, place: ChannelPlace) -> None:
        """None: such a model has one way to end."""


def _num_tokens(state: TagState, begin: int) -> int:
    """The number of tokens of a tag that begins at a byte of a tail and the token after it.

    A token in which text precedes the tag belongs to the text.
    """
    if begin < len(state.tail) or not begin:
        return state.num_tail + 1
    return int(begin == len(state.tail))

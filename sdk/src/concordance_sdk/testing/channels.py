"""Models with channels for tests: one that writes tags, and one that writes messages with headers.

play(MyMod, says="<think>hm</think>4", channels=tag_channels())
play(MyMod, says="<|channel|>analysis<|message|>hm<|end|>...", channels=message_channels())
"""

import re
from collections.abc import Collection, Sequence
from functools import cached_property

from concordance_shared import ChannelPlace
from concordance_shared.channels import FINAL
from msgspec import Struct

from concordance_sdk.channels.tags import TagFormat
from concordance_sdk.detokenizer import Detokenizer, PieceDetokenizer, TokenPiece
from concordance_sdk.testing.byte_tokenizer import ByteTokenizer

#: The special tokens of a model that writes messages, as those of gpt-oss, from id 256 on.
_NAMES = (
    "<|return|>",
    "<|call|>",
    "<|endoftext|>",
    "<|start|>",
    "<|channel|>",
    "<|message|>",
    "<|end|>",
    "<|constrain|>",
)
_SPLIT = re.compile("(" + "|".join(map(re.escape, _NAMES)) + ")")


def tag_channels(
    opening: str = "<think>", closing: str = "</think>", *, opened: bool = False
) -> TagFormat:
    """Make the channels of a model of `ByteTokenizer` that reasons between two tags.

    Args:
        opening: The tag that opens the reasoning.
        closing: The tag that closes it.
        opened: True if the prompt has opened the reasoning.

    Examples:
        >>> from concordance_sdk import Added, mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[Added])
        ... def shout(event, actions, tokenizer):
        ...     text = tokenizer.decode(event.added_tokens, skip_special_tokens=True)
        ...     if event.channel == "final" and text != text.upper():
        ...         return actions.backtrack(1, tokenizer.encode(text.upper()))
        >>> play(shout, says="<think>hm</think>no", channels=tag_channels()).text
        '<think>hm</think>NO'
    """
    tokenizer, tags = ByteTokenizer(), (opening, closing)
    return TagFormat(
        [tags],
        opened=tags if opened else None,
        token_bytes=tokenizer.token_bytes,
        encode=tokenizer.encode,
    )


def message_channels() -> "MessageFormat":
    """Make the channels of a model that writes messages with headers, as gpt-oss does.

    Its tokens are those of `MessageTokenizer`, which `play` takes by default for it.

    Examples:
        >>> from concordance_sdk import ForwardPass, mod
        >>> from concordance_sdk.channels import get_channels
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[ForwardPass])
        ... def no_thoughts(event, actions):
        ...     if not event.step:
        ...         return actions.force_tokens(get_channels().to_final())
        >>> played = play(no_thoughts, says="4", channels=message_channels())
        >>> played.tokenizer.decode(played.token_ids)
        '<|channel|>final<|message|>4<|return|>'
    """
    return MessageFormat()


class MessageTokenizer:
    """Ids 0-255 are bytes; the special tokens of a model that writes messages follow.

    Examples:
        >>> MessageTokenizer().encode("Hi<|end|>")
        [72, 105, 262]
    """

    vocab_size = 256 + len(_NAMES)
    eos_token_ids = frozenset({256, 257, 258})
    special_token_ids = frozenset(range(256, 256 + len(_NAMES)))
    has_runs = False
    strip = ("", 0)

    def token_bytes(self, token_id: int) -> bytes:
        """Return the byte of a token, or the name of a special one."""
        return bytes([token_id]) if token_id < 256 else _NAMES[token_id - 256].encode()

    def piece(self, token_id: int) -> TokenPiece:
        """Return the bytes that a token adds."""
        data = self.token_bytes(token_id)
        return TokenPiece(data, data)

    def detokenizer(
        self, *, keeps_special: bool = False, kept: Collection[int] = ()
    ) -> Detokenizer:
        """Return a new incremental detokenizer.

        Args:
            keeps_special: True if special tokens are part of the text, by name.
            kept: Special tokens that are part of the text in any case.
        """
        skipped = () if keeps_special else self.special_token_ids.difference(kept)
        return PieceDetokenizer(self, skipped=skipped)

    def encode(self, text: str) -> list[int]:
        """Return the bytes of a text; the names of special tokens are recognized."""
        token_ids: list[int] = []
        for part in _SPLIT.split(text):
            token_ids += [256 + _NAMES.index(part)] if part in _NAMES else part.encode()
        return token_ids

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Decode bytes; invalid UTF-8 becomes U+FFFD."""
        kept = (i for i in token_ids if not (skip_special_tokens and i >= 256))
        return b"".join(map(self.token_bytes, kept)).decode("utf-8", "replace")


class _State(Struct, frozen=True):
    """A header so far; or within a message, its place."""

    header: str = ""
    place: ChannelPlace | None = None


class MessageFormat:
    """The channels of well-formed messages: a header names the channel and the recipient.

        <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...

    Examples:
        >>> state = MessageFormat().opened
        >>> for token_id in MessageTokenizer().encode("<|channel|>final<|message|>"):
        ...     state = MessageFormat().after(state, token_id)
        >>> MessageFormat().place(state).channel
        'final'
    """

    has_headers = True
    opened = _State("<|start|>assistant")

    @cached_property
    def tokenizer(self) -> MessageTokenizer:
        """Its tokenizer."""
        return MessageTokenizer()

    def watched(self, state: _State) -> Collection[int] | None:
        """Within a message, the tokens that end it."""
        return None if state.place is None else MessageTokenizer.special_token_ids

    def after(self, state: _State, token_id: int) -> _State:
        """Return the state after a token."""
        text = self.token_bytes(token_id).decode("latin-1")
        if state.place is not None:
            is_special = token_id in MessageTokenizer.special_token_ids
            return _State(text if text == "<|start|>" else "") if is_special else state
        if text != "<|message|>":
            return _State(state.header + text)
        channel = re.search(r"<\|channel\|>([^\s<]+)", state.header)
        recipient = re.search(r"to=([^\s<]+)", state.header)
        place = ChannelPlace(channel=channel and channel[1], recipient=recipient and recipient[1])
        return _State(place=place)

    def place(self, state: _State) -> ChannelPlace:
        """The channel of a state."""
        return state.place or ChannelPlace(in_header=True)

    def lead(self, state: _State) -> int:
        """No token."""
        del state
        return 0

    def num_mark(self, state: _State) -> int:
        """The token that ended a message."""
        del state
        return 1

    def rest(self, state: _State) -> bytes:
        """Nothing."""
        del state
        return b""

    def reasoning_ends(self, state: _State) -> tuple[str, ...]:
        """The special tokens."""
        del state
        return _NAMES

    def to_final(self, state: _State) -> Sequence[int] | None:
        """The tokens that end a message and open `final`."""
        header = "<|start|>assistant<|channel|>final<|message|>"
        if state.place is None:
            is_begun = header.startswith(state.header)
            return self.tokenizer.encode(header[len(state.header) :]) if is_begun else None
        if state.place.channel == FINAL:
            return ()
        return None if state.place.is_to_tool else self.tokenizer.encode("<|end|>" + header)

    def to_header(self, state: _State) -> Sequence[int] | None:
        """The tokens up to the name of the channel."""
        ids = self.to_final(state)
        name = self.tokenizer.encode("final<|message|>")
        return ids and ids[: max(0, len(ids) - len(name))]

    def reopening(self, state: _State) -> Collection[int]:
        """The first byte of `analysis`, after `<|channel|>`."""
        return (ord("a"),) if state.header.endswith("<|channel|>") else ()

    def end_id(self, place: ChannelPlace) -> int:
        """`<|call|>` in a message to a tool, `<|return|>` elsewhere."""
        (end,) = MessageTokenizer().encode("<|return|>" if place.recipient is None else "<|call|>")
        return end

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of a token; the name of a special one."""
        return MessageTokenizer().token_bytes(token_id)

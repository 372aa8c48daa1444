"""Text of a list of tokens that grows and shrinks, and never shows half a character.

What the text is depends on the tokens alone, not on the way they came: going back cuts both.
"""

import codecs
from collections.abc import Callable, Sequence
from typing import Protocol


class Decoder(Protocol):
    """The text of the tokens so far, token by token."""

    @property
    def pieces(self) -> Sequence[str]:
        """What each token added to the text, as far as whole characters go."""
        ...

    def append(self, token_id: int) -> None:
        """Add a token at the end."""
        ...

    def truncate(self, num_tokens: int) -> None:
        """Keep the first `num_tokens` tokens."""
        ...

    def rest(self) -> str:
        """What is still open at the end: the begin of a character that never came."""
        ...


class BytesDecoder:
    """For vocabularies whose tokens are bytes: byte-level BPE, and SentencePiece with byte tokens.

    Keeps, per token, the text that it completed and the bytes that it left open; both depend on
    the tokens before it only, so that going back is cutting two lists.
    """

    def __init__(
        self, token_bytes: Callable[[int], bytes], *, strips_leading_space: bool = False
    ) -> None:
        """Make an empty decoder.

        Args:
            token_bytes: The bytes of a token; none for a special one.
            strips_leading_space: Whether a space that begins the text is no part of it, as in
                SentencePiece's older vocabularies.
        """
        self._token_bytes = token_bytes
        self._strips = strips_leading_space
        self._pieces: list[str] = []
        self._open: list[bytes] = []

    @property
    def pieces(self) -> Sequence[str]:
        """What each token added to the text, as far as whole characters go."""
        return self._pieces

    def append(self, token_id: int) -> None:
        """Add a token at the end."""
        data = (self._open[-1] if self._open else b"") + self._token_bytes(token_id)
        text, used = codecs.utf_8_decode(data, "replace", False)  # noqa: FBT003
        if self._strips and text.startswith(" ") and not any(self._pieces):
            text = text[1:]
        self._pieces.append(text)
        self._open.append(data[used:])

    def truncate(self, num_tokens: int) -> None:
        """Keep the first `num_tokens` tokens."""
        del self._pieces[num_tokens:]
        del self._open[num_tokens:]

    def rest(self) -> str:
        """What is still open at the end: the begin of a character that never came."""
        return (self._open[-1] if self._open else b"").decode("utf-8", "replace")


class WindowDecoder:
    """For any other tokenizer: decodes the last few tokens again with each new one.

    A window opens behind the last token that ended on a whole character. What the tokens in it
    add is the difference between decoding them with the tokens before the window and without.
    """

    #: So many tokens before the window give it its context (a leading space, say).
    _CONTEXT = 6

    #: A window that never closes holds no text: it is decoded as it is.
    _LONGEST = 16

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        """Make an empty decoder.

        Args:
            decode: Text of token ids, special tokens left out.
        """
        self._decode = decode
        self._pieces: list[str] = []
        self._token_ids: list[int] = []
        self._closed: list[int] = []  # per token: how many tokens stood before the open window

    @property
    def pieces(self) -> Sequence[str]:
        """What each token added to the text, as far as whole characters go."""
        return self._pieces

    def append(self, token_id: int) -> None:
        """Add a token at the end."""
        self._token_ids.append(token_id)
        begin = self._closed[-1] if self._closed else 0
        text = self._window_text(begin)
        is_open = text.endswith("\ufffd") and len(self._token_ids) - begin < self._LONGEST
        self._pieces.append("" if is_open else text)
        self._closed.append(begin if is_open else len(self._token_ids))

    def truncate(self, num_tokens: int) -> None:
        """Keep the first `num_tokens` tokens."""
        del self._pieces[num_tokens:]
        del self._token_ids[num_tokens:]
        del self._closed[num_tokens:]

    def rest(self) -> str:
        """What is still open at the end: the begin of a character that never came."""
        return self._window_text(self._closed[-1]) if self._closed else ""

    def _window_text(self, begin: int) -> str:
        context = self._token_ids[max(0, begin - self._CONTEXT) : begin]
        before = self._decode(context)
        return self._decode([*context, *self._token_ids[begin:]])[len(before) :]

"""Incremental detokenization: the text of a token list that grows and shrinks.

The only detokenizer of the project: the engine streams text with it, and `CompletionText` gives it
to mods. The text equals that of the tokenizer's own `decode` for the whole list. A token adds the
same bytes at every position except at the start of the text. Bytes become characters in one of two
ways:

- byte-level vocabularies decode the concatenated bytes of all tokens as UTF-8;
- SentencePiece vocabularies have byte tokens besides the others. Consecutive byte tokens (a *run*)
  are decoded together. If they are not valid UTF-8, every byte of the run becomes U+FFFD, including
  those that were valid characters. So a run is final only once it has ended.

A tokenizer that decodes in any other way uses `WholeDetokenizer`, which decodes the whole list for
each token and considers no text final.

Each token has a *piece* of the text. A character that spans several tokens belongs to the one that
completes it. For "a€b", where € is three bytes, each a token of its own:

    token       a     E2    82    AC    b
    pieces     "a"    ""    ""   "€"   "b"
    whole       1     1     1     4     5     tokens before the incomplete character, if any
    final       1     2     3     4     5     byte-level: a piece never changes
    final       1     1     1     1     5     SentencePiece: the run E2 82 AC could become invalid
"""

import codecs
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol

#: The character that replaces invalid UTF-8.
REPLACEMENT = "\ufffd"

#: Number of tokens for which `WholeDetokenizer` treats a final U+FFFD as an incomplete character.
_MAX_OPEN = 8


class TokenPiece(NamedTuple):
    """The bytes that a token adds to a text.

    Attributes:
        data: Its bytes after other tokens.
        start: Its bytes as the first token of a text.
        is_byte: True for a byte token of a SentencePiece vocabulary.
    """

    data: bytes
    start: bytes
    is_byte: bool = False


class TokenPieces(Protocol):
    """The pieces of a vocabulary, and how they are joined."""

    @property
    def has_runs(self) -> bool:
        """True if byte tokens are decoded run by run, False if all bytes are decoded together."""
        ...

    @property
    def strip(self) -> tuple[str, int]:
        """A character, and the maximum number of it that is stripped from the start of a text."""
        ...

    def piece(self, token_id: int) -> TokenPiece | None:
        """Return the bytes that a token adds; `None` for an unused id."""
        ...


class Detokenizer(Protocol):
    """The text of a token list, token by token.

    The sequences have one entry per token. Callers must not modify them.
    """

    @property
    def pieces(self) -> Sequence[str]:
        """The text of each token; a character belongs to the token that completes it.

        Appending or removing tokens can change earlier pieces: `extend` and `truncate` return the
        number of leading pieces that are unchanged.
        """
        ...

    @property
    def final(self) -> Sequence[int]:
        """Per token: the number of pieces that no token after this one can change."""
        ...

    @property
    def whole(self) -> Sequence[int]:
        """Per token: the number of tokens before the character that this token leaves incomplete.

        All tokens up to and including this one, if it leaves no character incomplete.
        """
        ...

    def extend(self, token_ids: Sequence[int]) -> int:
        """Append tokens; return the number of unchanged pieces."""
        ...

    def truncate(self, num_tokens: int) -> int:
        """Keep the first `num_tokens` tokens; return the number of unchanged pieces."""
        ...

    def text(self) -> str:
        """Return the text of all tokens, exactly as the tokenizer decodes the whole list."""
        ...


class _State(NamedTuple):
    """The decoder state after a token; a function of the tokens up to it."""

    open: bytes = b""  # the first bytes of an incomplete character
    run: int = -1  # index of the first token of the current run of byte tokens; -1: no run
    is_bad: bool = False  # the run is not valid UTF-8
    num_strip: int = 0  # leading characters that may still be stripped
    is_start: bool = True  # no token has added to the text yet


class PieceDetokenizer:
    """Detokenizes a vocabulary whose tokens add the same bytes at every position.

    Appending a token takes a few microseconds, independent of the length of the list.
    """

    def __init__(self, pieces: TokenPieces, *, skipped: Collection[int] = ()) -> None:
        """Create an empty list of tokens.

        Args:
            pieces: The vocabulary.
            skipped: Tokens that are not part of the text, usually special tokens.
        """
        self._vocabulary = pieces
        self._has_runs = pieces.has_runs
        self._strip_char, num_strip = pieces.strip
        self._skipped = frozenset(skipped)
        self._empty = _State(num_strip=num_strip)
        self._token_ids: list[int] = []
        self._states: list[_State] = []
        self.pieces: list[str] = []
        self.final: list[int] = []
        self.whole: list[int] = []

    def extend(self, token_ids: Sequence[int]) -> int:
        """Append tokens; return the number of unchanged pieces."""
        unchanged = len(self.pieces)
        for token_id in token_ids:
            unchanged = min(unchanged, self._append(token_id))
        return unchanged

    def truncate(self, num_tokens: int) -> int:
        """Keep the first `num_tokens` tokens; return the number of unchanged pieces."""
        if num_tokens >= len(self.pieces):
            return len(self.pieces)
        last = self._states[num_tokens - 1] if num_tokens else self._empty
        begin = num_tokens if last.run < 0 or last.is_bad else last.run
        run_ids, run_pieces = self._token_ids[begin:num_tokens], self.pieces[begin:num_tokens]
        for per_token in (self.pieces, self.final, self.whole, self._token_ids, self._states):
            del per_token[begin:]
        # Decode the rest of the run again: the removed tokens may have made it invalid.
        self.extend(run_ids)
        return begin + len(_common_prefix(run_pieces, self.pieces[begin:]))

    def text(self) -> str:
        """Return the text of all tokens, exactly as the tokenizer decodes the whole list."""
        state = self._last
        if not state.open:
            return "".join(self.pieces)
        if not self._has_runs:
            return "".join(self.pieces) + state.open.decode("utf-8", "replace")
        num_bytes = sum(map(self._is_text, self._token_ids[state.run :]))
        return "".join(self.pieces[: state.run]) + REPLACEMENT * num_bytes

    @property
    def _last(self) -> _State:
        return self._states[-1] if self._states else self._empty

    def _append(self, token_id: int) -> int:
        """Append a token; return the number of unchanged pieces."""
        count, state = len(self.pieces), self._last
        piece = None if token_id in self._skipped else self._vocabulary.piece(token_id)
        self._token_ids.append(token_id)
        if piece is None:
            self._push("", state, self.whole[-1] if state.open else count + 1)
        elif not self._has_runs:
            self._append_bytes(piece.start if state.is_start else piece.data, state, "replace")
        elif piece.is_byte:
            return self._append_to_run(piece.data, state)
        else:
            return self._append_after_run(piece.start if state.is_start else piece.data, state)
        return count

    def _append_bytes(self, data: bytes, state: _State, errors: str) -> None:
        """Append bytes to those of an incomplete character; may leave a character incomplete."""
        count = len(self.pieces)
        text, used = codecs.utf_8_decode(state.open + data, errors, False)  # noqa: FBT003
        rest = (state.open + data)[used:]
        began_before = len(rest) > len(data)
        whole = self.whole[-1] if began_before else count + (not rest)
        if rest != state.open:
            state = state._replace(open=rest)
        self._push_text(text, state, whole)

    def _append_to_run(self, data: bytes, state: _State) -> int:
        """Append a byte token; return the number of unchanged pieces."""
        count = len(self.pieces)
        state = state if state.run >= 0 else state._replace(run=count)
        if not state.is_bad:
            try:
                self._append_bytes(data, state, "strict")
            except UnicodeDecodeError:
                self._invalidate(state.run)
            else:
                return count
        unchanged = count if state.is_bad else state.run
        self._push_text(REPLACEMENT, state._replace(open=b"", is_bad=True), count + 1)
        return unchanged

    def _append_after_run(self, data: bytes, state: _State) -> int:
        """Append another token, which ends a run, if any; return the number of unchanged pieces."""
        count = unchanged = len(self.pieces)
        if state.open:
            self._invalidate(state.run)
            unchanged = state.run
            state = state._replace(open=b"", num_strip=0)
        state = state._replace(run=-1, is_bad=False)
        self._push_text(data.decode("utf-8", "replace"), state, count + 1)
        return unchanged

    def _invalidate(self, run: int) -> None:
        """Replace every byte of the run that begins at token `run` by U+FFFD."""
        for i in range(run, len(self.pieces)):
            self.pieces[i] = REPLACEMENT if self._is_text(self._token_ids[i]) else ""

    def _is_text(self, token_id: int) -> bool:
        return token_id not in self._skipped and self._vocabulary.piece(token_id) is not None

    def _push_text(self, text: str, state: _State, whole: int) -> None:
        """Append the text of a token, stripped if at the start of the whole text."""
        num_strip = state.num_strip
        while num_strip and text.startswith(self._strip_char):
            text, num_strip = text[1:], num_strip - 1
        num_strip = 0 if text else num_strip
        if state.is_start or num_strip != state.num_strip:
            state = state._replace(num_strip=num_strip, is_start=False)
        self._push(text, state, whole)

    def _push(self, text: str, state: _State, whole: int) -> None:
        self.pieces.append(text)
        self._states.append(state)
        self.whole.append(whole)
        is_final = state.run < 0 or state.is_bad
        self.final.append(len(self.pieces) if is_final else state.run)


class WholeDetokenizer:
    """Detokenizes any vocabulary by decoding the whole list again.

    No piece is ever final, so a stream shows nothing before the end. Appending takes time
    proportional to the length of the list. If the decoder changes text far from the end of the
    list, the change is attributed to the last token.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        """Create an empty list of tokens.

        Args:
            decode: Decodes a token list, without the tokens that are not part of the text.
        """
        self._decode = decode
        self._token_ids: list[int] = []
        self.pieces: list[str] = []
        self.final: list[int] = []
        self.whole: list[int] = []

    def extend(self, token_ids: Sequence[int]) -> int:
        """Append tokens; return the number of unchanged pieces."""
        if not token_ids:
            return len(self.pieces)
        count, before = len(self.pieces), self.whole[-1] if self.whole else 0
        self._token_ids += token_ids
        self.pieces += [""] * len(token_ids)
        self.final += [0] * len(token_ids)
        self.whole += [before] * len(token_ids)
        return min(count, self._update())

    def truncate(self, num_tokens: int) -> int:
        """Keep the first `num_tokens` tokens; return the number of unchanged pieces."""
        if num_tokens >= len(self.pieces):
            return len(self.pieces)
        for per_token in (self.pieces, self.final, self.whole, self._token_ids):
            del per_token[num_tokens:]
        return self._update() if num_tokens else 0

    def text(self) -> str:
        """Return the text of all tokens, exactly as the tokenizer decodes the whole list."""
        return self._decode(self._token_ids) if self._token_ids else ""

    def _update(self) -> int:
        """Make the pieces match the text; return the number of unchanged ones."""
        text, count = self.text(), len(self.pieces)
        if text.endswith(REPLACEMENT) and count - self.whole[-1] <= _MAX_OPEN:
            text = text.rstrip(REPLACEMENT)
        else:
            self.whole[-1] = count
        unchanged = begin = 0
        while unchanged < count and text.startswith(self.pieces[unchanged], begin):
            begin += len(self.pieces[unchanged])
            unchanged += 1
        if unchanged < count:
            shared = "".join(_common_prefix(self.pieces[unchanged], text[begin:]))
            self.pieces[unchanged:] = [shared] + [""] * (count - unchanged - 1)
            begin += len(shared)
        self.pieces[-1] += text[begin:]
        return min(unchanged, count - 1) if begin < len(text) else unchanged


def _common_prefix(first: Sequence[str], second: Sequence[str]) -> Sequence[str]:
    """Return the longest common prefix of two sequences."""
    for i, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return first[:i]
    return first[: len(second)]

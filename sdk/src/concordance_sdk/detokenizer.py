"""Incremental detokenization: the text of a token list that grows and shrinks.

The text is that of the tokenizer's own `decode` for the whole list. A token adds the same bytes
wherever it stands, but at the start of the text, and bytes become characters in one of two ways:

- byte-level vocabularies decode the concatenated bytes of all tokens as UTF-8;
- SentencePiece vocabularies have byte tokens beside their ordinary ones. Consecutive byte tokens
  (a *run*) are decoded together, and if they are not valid UTF-8, every byte of the run becomes
  U+FFFD, also those that were valid characters. So a run is final only when it has ended.

A tokenizer that decodes in any other way is detokenized by `WholeDetokenizer`, which decodes the
whole list again and calls no text final.
"""

import codecs
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol

#: What stands for bytes that are not valid UTF-8.
REPLACEMENT = "\ufffd"

#: `WholeDetokenizer` takes U+FFFD at the end for an incomplete character, for this many tokens.
_MAX_OPEN = 8


class TokenPiece(NamedTuple):
    """What one token adds to a text.

    Attributes:
        data: The bytes that it adds behind other tokens.
        start: The bytes that it adds as the first token of a text.
        is_byte: It is a byte token of a SentencePiece vocabulary.
    """

    data: bytes
    start: bytes
    is_byte: bool = False


class TokenPieces(Protocol):
    """The pieces of a vocabulary, and what joins them."""

    @property
    def has_runs(self) -> bool:
        """Byte tokens are decoded run by run; otherwise all bytes are decoded together."""
        ...

    @property
    def strip(self) -> tuple[str, int]:
        """A character, and how many of it are removed from the start of a text at most."""
        ...

    def piece(self, token_id: int) -> TokenPiece | None:
        """What a token adds to a text; `None` for an id that no token has."""
        ...


class Detokenizer(Protocol):
    """The text of a token list, token by token.

    The sequences have one entry per token. Do not change them.
    """

    @property
    def pieces(self) -> Sequence[str]:
        """The text of each token: a character belongs to the token that completes it.

        Appending or removing tokens may change earlier pieces: `extend` and `truncate` return how
        many are unchanged.
        """
        ...

    @property
    def final(self) -> Sequence[int]:
        """Per token: how many pieces are final, whatever follows this token."""
        ...

    @property
    def whole(self) -> Sequence[int]:
        """Per token: how many tokens precede the character that this token leaves incomplete.

        All tokens up to this one, if it leaves none incomplete.
        """
        ...

    def extend(self, token_ids: Sequence[int]) -> int:
        """Append tokens; return how many pieces are unchanged."""
        ...

    def truncate(self, num_tokens: int) -> int:
        """Keep the first `num_tokens` tokens; return how many pieces are unchanged."""
        ...

    def text(self) -> str:
        """The text of all tokens, exactly as the tokenizer decodes the whole list."""
        ...


class _State(NamedTuple):
    """What the tokens up to one leave for those that follow. It depends on nothing else."""

    open: bytes = b""  # the beginning of a character that is not complete yet
    run: int = -1  # index of the first token of the run of byte tokens that ends here; -1: none
    is_bad: bool = False  # the run is not valid UTF-8
    num_strip: int = 0  # leading characters still to be removed
    is_start: bool = True  # no token has added to the text yet


class PieceDetokenizer:
    """Detokenizes a vocabulary whose tokens add the same bytes wherever they stand.

    Appending costs a few microseconds, whatever the length of the list.
    """

    def __init__(self, pieces: TokenPieces, *, skipped: Collection[int] = ()) -> None:
        """Start with no tokens.

        Args:
            pieces: The vocabulary.
            skipped: Tokens that are not part of the text: special tokens, usually.
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
        """Append tokens; return how many pieces are unchanged."""
        unchanged = len(self.pieces)
        for token_id in token_ids:
            unchanged = min(unchanged, self._append(token_id))
        return unchanged

    def truncate(self, num_tokens: int) -> int:
        """Keep the first `num_tokens` tokens; return how many pieces are unchanged."""
        if num_tokens >= len(self.pieces):
            return len(self.pieces)
        last = self._states[num_tokens - 1] if num_tokens else self._empty
        begin = num_tokens if last.run < 0 or last.is_bad else last.run
        run_ids, run_pieces = self._token_ids[begin:num_tokens], self.pieces[begin:num_tokens]
        for per_token in (self.pieces, self.final, self.whole, self._token_ids, self._states):
            del per_token[begin:]
        self.extend(run_ids)  # what is removed may have made the run invalid
        return begin + len(_common(run_pieces, self.pieces[begin:]))

    def text(self) -> str:
        """The text of all tokens, exactly as the tokenizer decodes the whole list."""
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
        """Append a token; return how many pieces are unchanged."""
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
            return self._append_behind_run(piece.start if state.is_start else piece.data, state)
        return count

    def _append_bytes(self, data: bytes, state: _State, errors: str) -> None:
        """Append the bytes of a token to those before; a character may be left incomplete."""
        count = len(self.pieces)
        text, used = codecs.utf_8_decode(state.open + data, errors, False)  # noqa: FBT003
        rest = (state.open + data)[used:]
        began_before = len(rest) > len(data)
        whole = self.whole[-1] if began_before else count + (not rest)
        if rest != state.open:
            state = state._replace(open=rest)
        self._push_text(text, state, whole)

    def _append_to_run(self, data: bytes, state: _State) -> int:
        """Append a byte token; return how many pieces are unchanged."""
        count = len(self.pieces)
        state = state if state.run >= 0 else state._replace(run=count)
        if not state.is_bad:
            try:
                self._append_bytes(data, state, "strict")
            except UnicodeDecodeError:
                self._spoil(state.run)
            else:
                return count
        unchanged = count if state.is_bad else state.run
        self._push_text(REPLACEMENT, state._replace(open=b"", is_bad=True), count + 1)
        return unchanged

    def _append_behind_run(self, data: bytes, state: _State) -> int:
        """Append a token that ends a run, if there is one; return how many pieces are unchanged."""
        count = unchanged = len(self.pieces)
        if state.open:
            self._spoil(state.run)
            unchanged = state.run
            state = state._replace(open=b"", num_strip=0)
        state = state._replace(run=-1, is_bad=False)
        self._push_text(data.decode("utf-8", "replace"), state, count + 1)
        return unchanged

    def _spoil(self, run: int) -> None:
        """Every byte of the run that begins at token `run` becomes U+FFFD."""
        for i in range(run, len(self.pieces)):
            self.pieces[i] = REPLACEMENT if self._is_text(self._token_ids[i]) else ""

    def _is_text(self, token_id: int) -> bool:
        return token_id not in self._skipped and self._vocabulary.piece(token_id) is not None

    def _push_text(self, text: str, state: _State, whole: int) -> None:
        """Add the text of a token, less what is stripped from the start of the whole text."""
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

    No piece is ever final, so that a stream shows nothing before the end. Extending costs time in
    proportion to the length of the list. Where a decoder rewrites text far from the end of the
    list, the change is credited to the last token.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        """Start with no tokens.

        Args:
            decode: The text of a token list, without the tokens that are not part of it.
        """
        self._decode = decode
        self._token_ids: list[int] = []
        self.pieces: list[str] = []
        self.final: list[int] = []
        self.whole: list[int] = []

    def extend(self, token_ids: Sequence[int]) -> int:
        """Append tokens; return how many pieces are unchanged."""
        if not token_ids:
            return len(self.pieces)
        count, before = len(self.pieces), self.whole[-1] if self.whole else 0
        self._token_ids += token_ids
        self.pieces += [""] * len(token_ids)
        self.final += [0] * len(token_ids)
        self.whole += [before] * len(token_ids)
        return min(count, self._update())

    def truncate(self, num_tokens: int) -> int:
        """Keep the first `num_tokens` tokens; return how many pieces are unchanged."""
        if num_tokens >= len(self.pieces):
            return len(self.pieces)
        for per_token in (self.pieces, self.final, self.whole, self._token_ids):
            del per_token[num_tokens:]
        return self._update() if num_tokens else 0

    def text(self) -> str:
        """The text of all tokens, exactly as the tokenizer decodes the whole list."""
        return self._decode(self._token_ids) if self._token_ids else ""

    def _update(self) -> int:
        """Bring the pieces up to the text; return how many are unchanged."""
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
            shared = "".join(_common(self.pieces[unchanged], text[begin:]))
            self.pieces[unchanged:] = [shared] + [""] * (count - unchanged - 1)
            begin += len(shared)
        self.pieces[-1] += text[begin:]
        return min(unchanged, count - 1) if begin < len(text) else unchanged


def _common(first: Sequence[str], second: Sequence[str]) -> Sequence[str]:
    """The longest common beginning of two lists."""
    for i, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return first[:i]
    return first[: len(second)]

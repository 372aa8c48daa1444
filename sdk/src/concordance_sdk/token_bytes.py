"""The bytes that each token of a vocabulary adds to a text.

The text of completions, constraints, stop strings, logprobs and mods is derived from these bytes.
They are taken from the tokenizer's own `decode`, except for tokens that are not text on their own
(parts of a character): their bytes are derived from their names, and compared with `decode` on
first use.

Works on a tokenizer of the package `tokenizers`, without importing that package.
"""

import functools
import json
import random
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple, cast

from concordance_sdk.detokenizer import (
    REPLACEMENT,
    Detokenizer,
    PieceDetokenizer,
    TokenPiece,
    WholeDetokenizer,
)

#: Decoders that map each token on its own, possibly depending on being the first one.
_PER_TOKEN = frozenset({"Replace", "Metaspace", "WordPiece", "Strip"})

#: Those that treat the first token differently.
_BY_POSITION = frozenset({"Metaspace", "WordPiece"})

_BYTE_TOKEN = re.compile(r"<0x(?:[0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>")

#: Number of random lists that `check` decodes, and their length in tokens.
_NUM_LISTS, _LIST_LENGTH = 16, 64


class TokenBytes:
    """The bytes of each token, for vocabularies whose tokens add the same bytes at every position.

    Attributes:
        kinds: The types of the tokenizer's decoders, in order.
        why_unknown: Why the tokens are not byte sequences; empty if they are.
    """

    def __init__(self, tokenizer: Any, decode: Callable[[list[int]], str] | None = None) -> None:
        """Analyze how a tokenizer decodes.

        Args:
            tokenizer: A `tokenizers.Tokenizer`; `None` if there is none to analyze.
            decode: Decodes token ids, special tokens included; by default the tokenizer's own.
        """
        self._tokenizer = tokenizer
        stages = _stages(getattr(tokenizer, "decoder", None))
        self.kinds = tuple(str(stage["type"]) for stage in stages)
        self._scheme = _scheme_of(stages) if tokenizer is not None else None
        self.why_unknown = "" if self._scheme else f"they are decoded by {self._kind_names}"
        self._decode = decode or self._own_decode
        self._pieces: dict[int, TokenPiece | None] = {}
        self._anchor: tuple[int, str] | None = None

    @property
    def is_known(self) -> bool:
        """True if the tokens are byte sequences."""
        return self._scheme is not None

    @property
    def has_runs(self) -> bool:
        """True if byte tokens are decoded run by run, False if all bytes are decoded together."""
        return self._known_scheme().has_runs

    @property
    def strip(self) -> tuple[str, int]:
        """A character, and the maximum number of it that is stripped from the start of a text."""
        return self._known_scheme().strip

    def of(self, token_id: int) -> bytes:
        """Return the bytes that a token adds after other tokens; empty for an unused id.

        A special token adds its name.

        Raises:
            ValueError: The tokens of this vocabulary are not byte sequences.
        """
        piece = self.piece(token_id)
        return piece.data if piece else b""

    def at_start(self, token_id: int) -> bytes:
        """Return the bytes that a token adds at the start of a text; a space may be dropped.

        Raises:
            ValueError: The tokens of this vocabulary are not byte sequences.
        """
        piece = self.piece(token_id)
        if piece is None:
            return b""
        char, count = self.strip
        data = piece.start
        while count and data.startswith(char.encode()):
            data, count = data[len(char.encode()) :], count - 1
        return data

    def piece(self, token_id: int) -> TokenPiece | None:
        """Return the bytes that a token adds; `None` for an unused id.

        Raises:
            ValueError: The tokens of this vocabulary are not byte sequences.
        """
        if token_id not in self._pieces:
            self._pieces[token_id] = self._new_piece(token_id)
        return self._pieces[token_id]

    def all_of(self, token_ids: Iterable[int]) -> list[bytes]:
        """Return the bytes that each of many tokens adds after other tokens.

        Raises:
            ValueError: The tokens of this vocabulary are not byte sequences.
        """
        return [self.of(token_id) for token_id in token_ids]

    def decode(self, token_ids: Sequence[int], *, skipped: Collection[int] = ()) -> str:
        """Decode a token list with the tokenizer.

        Args:
            token_ids: The tokens.
            skipped: Tokens that are not part of the text. They are removed here, as incremental
                detokenizers do, and not by the tokenizer: its own flags do not cover every
                end-of-sequence token.
        """
        return self._decode([token_id for token_id in token_ids if token_id not in skipped])

    def detokenizer(self, *, skipped: Collection[int] = ()) -> Detokenizer:
        """Return a new incremental detokenizer, whose text equals that of `decode`.

        Args:
            skipped: Tokens that are not part of the text, usually special tokens.
        """
        if self.is_known:
            return PieceDetokenizer(self, skipped=skipped)
        return WholeDetokenizer(functools.partial(self.decode, skipped=skipped))

    def check(self, token_ids: Sequence[int]) -> bool:
        """Compare random lists of tokens with the tokenizer's `decode`; return True if all match.

        On a difference, the tokens no longer count as byte sequences.

        Args:
            token_ids: The tokens to draw from.
        """
        if self._scheme is None or not token_ids:
            return self.is_known
        draw = random.Random(0)  # noqa: S311  # deterministic
        for _ in range(_NUM_LISTS):
            ids = draw.choices(token_ids, k=_LIST_LENGTH)
            detokenizer = PieceDetokenizer(self)
            detokenizer.extend(ids)
            if detokenizer.text() != self._decode(ids):
                self._scheme = None
                self._pieces.clear()
                self.why_unknown = f"they are decoded by {self._kind_names}, in an unknown way"
                break
        return self.is_known

    def _new_piece(self, token_id: int) -> TokenPiece | None:
        scheme, name = self._known_scheme(), self._name(token_id)
        if name is None:
            return None
        if scheme.is_byte_level:
            return self._checked(token_id, _byte_level(name), is_byte=False)
        if scheme.has_runs and _BYTE_TOKEN.fullmatch(name):
            return self._checked(token_id, bytes([int(name[3:5], 16)]), is_byte=True)
        data = self._added_text(token_id).encode()
        is_by_position = scheme.is_by_position
        return TokenPiece(data, self._decode([token_id]).encode() if is_by_position else data)

    def _checked(self, token_id: int, data: bytes, *, is_byte: bool) -> TokenPiece:
        """Return the bytes derived from a token's name, or those of `decode` if they differ."""
        text = self._added_text(token_id)
        if text == data.decode("utf-8", "replace"):
            return TokenPiece(data, data, is_byte)
        return TokenPiece(text.encode(), text.encode())

    def _added_text(self, token_id: int) -> str:
        """Return the text that `decode` adds for a token after another one."""
        if self._anchor is None:
            self._anchor = self._find_anchor()
        anchor, before = self._anchor
        return self._decode([anchor, token_id]).removeprefix(before)

    def _find_anchor(self) -> tuple[int, str]:
        """Find a token of plain text, to decode other tokens after it; return it and its text."""
        usual = (cast(int | None, self._tokenizer.token_to_id(name)) for name in ("a", "e", "0"))
        every = range(int(self._tokenizer.get_vocab_size()))
        for token_id in (*(i for i in usual if i is not None), *every):
            name = self._name(token_id)
            if name is None or _BYTE_TOKEN.fullmatch(name):
                continue
            text = self._decode([token_id])
            if text.strip() and REPLACEMENT not in text:
                return token_id, text
        return 0, ""

    def _name(self, token_id: int) -> str | None:
        return cast(str | None, self._tokenizer.id_to_token(token_id))

    def _own_decode(self, token_ids: list[int]) -> str:
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=False))

    def _known_scheme(self) -> "_Scheme":
        if self._scheme is None:
            raise ValueError(f"its tokens are not byte sequences ({self.why_unknown})")
        return self._scheme

    @property
    def _kind_names(self) -> str:
        return ", ".join(self.kinds) or "no known way"


class _Scheme(NamedTuple):
    """How a tokenizer's decoders join tokens."""

    is_byte_level: bool = False  # a name encodes bytes as printable characters
    has_runs: bool = False  # some names are single bytes, such as <0x0A>
    is_by_position: bool = False  # the first token is decoded differently
    strip: tuple[str, int] = ("", 0)  # stripped from the start of the whole text


def _scheme_of(stages: list[dict[str, Any]]) -> _Scheme | None:
    """Return the scheme of a sequence of decoders; `None` if one depends on other tokens."""
    kinds = [str(stage["type"]) for stage in stages]
    fused = next((i for i, kind in enumerate(kinds) if kind in {"Fuse", "ByteLevel"}), len(kinds))
    per_token, strip = kinds[:fused], _strip_of(stages[fused + 1 :])
    if strip is None:
        return None
    if fused < len(kinds) and kinds[fused] == "ByteLevel":
        return _Scheme(is_byte_level=True, strip=strip) if not per_token else None
    has_runs = "ByteFallback" in per_token
    if has_runs and per_token[-1] != "ByteFallback":
        return None
    per_token = per_token[:-1] if has_runs else per_token
    is_by_position = not kinds or not _BY_POSITION.isdisjoint(per_token)
    if not _PER_TOKEN.issuperset(per_token) or (is_by_position and strip[1]):
        return None
    return _Scheme(has_runs=has_runs, is_by_position=is_by_position, strip=strip)


def _strip_of(stages: list[dict[str, Any]]) -> tuple[str, int] | None:
    """Return what decoders of the whole text strip from its start; `None` if they do more."""
    strips = [stage for stage in stages if stage["type"] != "Fuse"]
    if not strips:
        return ("", 0)
    if len(strips) > 1 or strips[0]["type"] != "Strip" or strips[0]["stop"]:
        return None
    return str(strips[0]["content"]), int(strips[0]["start"])


def _stages(decoder: Any) -> list[dict[str, Any]]:
    """Return a tokenizer's decoders, in order."""
    if decoder is None:
        return []
    return _flat(json.loads(decoder.__getstate__()))


def _flat(state: dict[str, Any]) -> list[dict[str, Any]]:
    if state["type"] != "Sequence":
        return [state]
    return [stage for part in state["decoders"] for stage in _flat(part)]


def _byte_alphabet() -> dict[int, int]:
    """Return the printable characters that byte-level BPE uses for bytes, as in GPT-2."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: byte for byte in plain} | {256 + i: byte for i, byte in enumerate(others)}


#: The byte of each character, by code point, in the names of byte-level BPE.
BYTE_ALPHABET = _byte_alphabet()


def _byte_level(name: str) -> bytes:
    """Return the bytes that a name encodes; the UTF-8 of the name if it is not an encoding."""
    if all(ord(char) in BYTE_ALPHABET for char in name):
        return name.translate(BYTE_ALPHABET).encode("latin-1")
    return name.encode()

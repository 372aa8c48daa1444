"""The bytes that each token of a vocabulary adds to a text.

They are the one source for the text of completions, constraints, stop strings, log-probabilities
and mods, and they are taken from the tokenizer's own `decode`. Only tokens that are not text on
their own (parts of a character) get their bytes from their names; those are compared with `decode`
when they are first used.

It reads a tokenizer of the package `tokenizers` and does not import that package.
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

#: Decoders that map each token by itself, or by whether it is the first one.
_PER_TOKEN = frozenset({"Replace", "Metaspace", "WordPiece", "Strip"})

#: Those of them that treat the first token in another way.
_BY_POSITION = frozenset({"Metaspace", "WordPiece"})

_BYTE_TOKEN = re.compile(r"<0x(?:[0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>")

#: `check` decodes this many lists of this many tokens.
_NUM_LISTS, _LIST_LENGTH = 16, 64


class TokenBytes:
    """The bytes of each token, for vocabularies whose tokens add the same wherever they stand.

    Attributes:
        kinds: The types of the tokenizer's decoders, in order.
        why_unknown: Why the tokens have no bytes of their own; empty if they have.
    """

    def __init__(self, tokenizer: Any, decode: Callable[[list[int]], str] | None = None) -> None:
        """Find out how a tokenizer decodes.

        Args:
            tokenizer: A `tokenizers.Tokenizer`; `None` if there is none to look into.
            decode: The text of token ids, special tokens included; the tokenizer's own if left
                out.
        """
        self._tokenizer = tokenizer
        stages = _stages(getattr(tokenizer, "decoder", None))
        self.kinds = tuple(str(stage["type"]) for stage in stages)
        self._law = _law(stages) if tokenizer is not None else None
        self.why_unknown = "" if self._law else f"they are decoded by {self._said_kinds}"
        self._decode = decode or self._own_decode
        self._pieces: dict[int, TokenPiece | None] = {}
        self._anchor: tuple[int, str] | None = None

    @property
    def is_known(self) -> bool:
        """Whether the tokens have bytes of their own."""
        return self._law is not None

    @property
    def has_runs(self) -> bool:
        """Byte tokens are decoded run by run; otherwise all bytes are decoded together."""
        return self._known_law().has_runs

    @property
    def strip(self) -> tuple[str, int]:
        """A character, and how many of it are removed from the start of a text at most."""
        return self._known_law().strip

    def of(self, token_id: int) -> bytes:
        """The bytes that a token adds behind other tokens; none for an id that no token has.

        A special token adds its name.

        Raises:
            ValueError: The tokens of this vocabulary have no bytes of their own.
        """
        piece = self.piece(token_id)
        return piece.data if piece else b""

    def at_start(self, token_id: int) -> bytes:
        """The bytes that a token adds as the first one of a text: a space may be missing.

        Raises:
            ValueError: The tokens of this vocabulary have no bytes of their own.
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
        """What a token adds to a text; `None` for an id that no token has.

        Raises:
            ValueError: The tokens of this vocabulary have no bytes of their own.
        """
        if token_id not in self._pieces:
            self._pieces[token_id] = self._new_piece(token_id)
        return self._pieces[token_id]

    def all_of(self, token_ids: Iterable[int]) -> list[bytes]:
        """The bytes that each of many tokens adds behind other tokens.

        Raises:
            ValueError: The tokens of this vocabulary have no bytes of their own.
        """
        return [self.of(token_id) for token_id in token_ids]

    def decode(self, token_ids: Sequence[int], *, skipped: Collection[int] = ()) -> str:
        """The text of a token list as the tokenizer decodes it.

        Args:
            token_ids: The tokens.
            skipped: Tokens that are no part of the text. They are left out by their ids, as
                incremental detokenizers do. The tokenizer is never asked to skip any: it goes
                by flags of its own, which do not cover every token that ends a completion.
        """
        return self._decode([token_id for token_id in token_ids if token_id not in skipped])

    def detokenizer(self, *, skipped: Collection[int] = ()) -> Detokenizer:
        """A new incremental detokenizer, whose text is that of `decode`.

        Args:
            skipped: Tokens that are no part of the text: special tokens, usually.
        """
        if self.is_known:
            return PieceDetokenizer(self, skipped=skipped)
        return WholeDetokenizer(functools.partial(self.decode, skipped=skipped))

    def check(self, token_ids: Sequence[int]) -> bool:
        """Compare random lists of some tokens with the tokenizer's `decode`; return success.

        Where they differ, the tokens have no bytes of their own from now on.

        Args:
            token_ids: The tokens to draw from.
        """
        if self._law is None or not token_ids:
            return self.is_known
        draw = random.Random(0)  # noqa: S311  # the same lists every time
        for _ in range(_NUM_LISTS):
            ids = draw.choices(token_ids, k=_LIST_LENGTH)
            detokenizer = PieceDetokenizer(self)
            detokenizer.extend(ids)
            if detokenizer.text() != self._decode(ids):
                self._law = None
                self._pieces.clear()
                self.why_unknown = f"they are decoded by {self._said_kinds}, in an unknown way"
                break
        return self.is_known

    def _new_piece(self, token_id: int) -> TokenPiece | None:
        law, name = self._known_law(), self._name(token_id)
        if name is None:
            return None
        if law.is_byte_level:
            return self._checked(token_id, _byte_level(name), is_byte=False)
        if law.has_runs and _BYTE_TOKEN.fullmatch(name):
            return self._checked(token_id, bytes([int(name[3:5], 16)]), is_byte=True)
        data = self._added_text(token_id).encode()
        is_by_position = law.is_by_position
        return TokenPiece(data, self._decode([token_id]).encode() if is_by_position else data)

    def _checked(self, token_id: int, data: bytes, *, is_byte: bool) -> TokenPiece:
        """The bytes that a name says, or what `decode` says if that is different text."""
        text = self._added_text(token_id)
        if text == data.decode("utf-8", "replace"):
            return TokenPiece(data, data, is_byte)
        return TokenPiece(text.encode(), text.encode())

    def _added_text(self, token_id: int) -> str:
        """The text that `decode` adds for a token behind another one."""
        if self._anchor is None:
            self._anchor = self._find_anchor()
        anchor, before = self._anchor
        return self._decode([anchor, token_id]).removeprefix(before)

    def _find_anchor(self) -> tuple[int, str]:
        """A token of plain text, to stand before the one that is looked at, and its text."""
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

    def _known_law(self) -> "_Law":
        if self._law is None:
            raise ValueError(f"its tokens are no sequences of bytes ({self.why_unknown})")
        return self._law

    @property
    def _said_kinds(self) -> str:
        return ", ".join(self.kinds) or "no known way"


class _Law(NamedTuple):
    """How a tokenizer's decoders put tokens together."""

    is_byte_level: bool = False  # names are bytes spelled by printable characters
    has_runs: bool = False  # some names are single bytes, as <0x0A>
    is_by_position: bool = False  # the first token is decoded in another way
    strip: tuple[str, int] = ("", 0)  # removed from the start of the whole text


def _law(stages: list[dict[str, Any]]) -> _Law | None:
    """The law of a sequence of decoders; `None` for one that looks beyond a single token."""
    kinds = [str(stage["type"]) for stage in stages]
    fused = next((i for i, kind in enumerate(kinds) if kind in {"Fuse", "ByteLevel"}), len(kinds))
    per_token, strip = kinds[:fused], _strip_of(stages[fused + 1 :])
    if strip is None:
        return None
    if fused < len(kinds) and kinds[fused] == "ByteLevel":
        return _Law(is_byte_level=True, strip=strip) if not per_token else None
    has_runs = "ByteFallback" in per_token
    if has_runs and per_token[-1] != "ByteFallback":
        return None
    per_token = per_token[:-1] if has_runs else per_token
    is_by_position = not kinds or not _BY_POSITION.isdisjoint(per_token)
    if not _PER_TOKEN.issuperset(per_token) or (is_by_position and strip[1]):
        return None
    return _Law(has_runs=has_runs, is_by_position=is_by_position, strip=strip)


def _strip_of(stages: list[dict[str, Any]]) -> tuple[str, int] | None:
    """What decoders that get the whole text strip from its start; `None` if they do more."""
    strips = [stage for stage in stages if stage["type"] != "Fuse"]
    if not strips:
        return ("", 0)
    if len(strips) > 1 or strips[0]["type"] != "Strip" or strips[0]["stop"]:
        return None
    return str(strips[0]["content"]), int(strips[0]["start"])


def _stages(decoder: Any) -> list[dict[str, Any]]:
    """A tokenizer's decoders, in order."""
    if decoder is None:
        return []
    return _flat(json.loads(decoder.__getstate__()))


def _flat(state: dict[str, Any]) -> list[dict[str, Any]]:
    if state["type"] != "Sequence":
        return [state]
    return [stage for part in state["decoders"] for stage in _flat(part)]


def _byte_alphabet() -> dict[int, int]:
    """The printable characters by which byte-level BPE writes bytes, as GPT-2 introduced them."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: byte for byte in plain} | {256 + i: byte for i, byte in enumerate(others)}


_ALPHABET = _byte_alphabet()


def _byte_level(name: str) -> bytes:
    """The bytes that a name spells; the name itself if a character of it spells none."""
    if all(ord(char) in _ALPHABET for char in name):
        return name.translate(_ALPHABET).encode("latin-1")
    return name.encode()

# ruff: noqa: ARG002  # the protocol's signatures
"""The protocol of strategies, and helpers to write one.

For each state of an answer, a strategy returns the allowed next tokens, and follows the one that
was added. Authors can write their own.
"""

import weakref
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable


class RuntimeState:
    """The base class of the states of answers; each strategy has its own."""


@runtime_checkable
class Strategy(Protocol):
    """A constraint on an answer.

    One strategy serves any number of answers; the state of each is the object that `start` returns.
    """

    def start(self, tokenizer: Any) -> Any:
        """Return the state of a new answer."""
        ...

    def allowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """Return the allowed next tokens; an empty set allows all that are not disallowed."""
        ...

    def disallowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """Return tokens that must not come next."""
        return set()

    def step(self, state: Any, token_id: int, tokenizer: Any) -> Any:
        """Follow a token; may return a `ForceTokens` or a `Backtrack`."""
        ...

    def is_complete(self, state: Any) -> bool:
        """True if the answer has ended."""
        ...

    def trim_answer(self, answer: str) -> str:
        """Remove a terminator from the text of an answer."""
        return answer


def require_token_ids(tokenizer: Any) -> set[int]:
    """Return all token ids of a tokenizer.

    Raises:
        RuntimeError: It has neither a vocabulary nor a length.
    """
    if hasattr(tokenizer, "modern"):  # the engine's: avoid building the vocabulary
        return set(range(len(tokenizer)))
    get_vocab = getattr(tokenizer, "get_vocab", None)
    vocab = get_vocab() if callable(get_vocab) else None
    known = {int(each) for each in vocab.values()} if isinstance(vocab, Mapping) else set[int]()
    if hasattr(tokenizer, "__len__") and len(tokenizer) > len(known):
        return set(range(len(tokenizer)))  # `vocab` has one entry for tokens with the same name
    if not known:
        raise RuntimeError("Tokenizer must expose get_vocab() or __len__()")
    return known


def tokenize_str(text: str | None, tokenizer: Any) -> list[int]:
    """Return the token ids of a text, empty for `None`."""
    if not text:
        return []
    return [int(token_id) for token_id in tokenizer.encode(text, add_special_tokens=False)]


def decode_token(tokenizer: Any, token_id: int) -> str:
    """Return the text of a token, empty for a special one."""
    if hasattr(tokenizer, "modern"):  # the engine's: use the cached texts
        return texts_of(tokenizer).get(int(token_id), "")
    return _decoded(tokenizer, token_id)


def _decoded(tokenizer: Any, token_id: int) -> str:
    return str(tokenizer.decode([int(token_id)], skip_special_tokens=True))


_texts: "weakref.WeakKeyDictionary[Any, dict[int, str]]" = weakref.WeakKeyDictionary()


def texts_of(tokenizer: Any) -> dict[int, str]:
    """Return the text of each token; cached per tokenizer, since vocabularies are large."""
    try:
        if (known := _texts.get(tokenizer)) is not None:
            return known
    except TypeError:  # it does not support weak references
        return _read(tokenizer)
    made = _texts[tokenizer] = _read(tokenizer)
    return made


def _read(tokenizer: Any) -> dict[int, str]:
    return {token_id: _decoded(tokenizer, token_id) for token_id in require_token_ids(tokenizer)}


class TrieNode:
    """A node of a trie of token sequences."""

    def __init__(self) -> None:
        """Create an empty node."""
        self.children: dict[int, TrieNode] = {}
        self.terminal = False

    def insert(self, sequence: Iterable[int]) -> None:
        """Add a sequence."""
        node = self
        for token_id in sequence:
            node = node.children.setdefault(int(token_id), TrieNode())
        node.terminal = True

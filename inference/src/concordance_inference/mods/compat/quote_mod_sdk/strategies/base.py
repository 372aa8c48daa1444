# ruff: noqa: ARG002  # what a strategy does without, it is given
"""What a strategy is, and what strategies are built of.

A strategy says for a state which tokens may come next, and follows the one that came. Authors
write their own.
"""

import weakref
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable


class RuntimeState:
    """Where an answer stands; each strategy has a state of its own making."""


@runtime_checkable
class Strategy(Protocol):
    """Which tokens may come next in an answer.

    One serves any number of answers: what it knows of one is in the state that `start` makes.
    """

    def start(self, tokenizer: Any) -> Any:
        """The state of an answer that begins."""
        ...

    def allowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """The only tokens that may come next; none of them if all may that are not disallowed."""
        ...

    def disallowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """Tokens that may not come next."""
        return set()

    def step(self, state: Any, token_id: int, tokenizer: Any) -> Any:
        """Follow a token; may answer with a `ForceTokens` or a `Backtrack`."""
        ...

    def is_complete(self, state: Any) -> bool:
        """Whether the answer has ended."""
        ...

    def trim_answer(self, answer: str) -> str:
        """The answer in what was written: without what only ended it."""
        return answer


def require_token_ids(tokenizer: Any) -> set[int]:
    """All token ids of a tokenizer.

    Raises:
        RuntimeError: It says neither its vocabulary nor its length.
    """
    if hasattr(tokenizer, "modern"):  # the engine's, which knows without making a dictionary
        return set(range(len(tokenizer)))
    get_vocab = getattr(tokenizer, "get_vocab", None)
    vocab = get_vocab() if callable(get_vocab) else None
    known = {int(each) for each in vocab.values()} if isinstance(vocab, Mapping) else set[int]()
    if hasattr(tokenizer, "__len__") and len(tokenizer) > len(known):
        return set(range(len(tokenizer)))  # tokens that are written alike are missing in the other
    if not known:
        raise RuntimeError("Tokenizer must expose get_vocab() or __len__()")
    return known


def tokenize_str(text: str | None, tokenizer: Any) -> list[int]:
    """Token ids of a text; none of an empty one."""
    if not text:
        return []
    return [int(token_id) for token_id in tokenizer.encode(text, add_special_tokens=False)]


def decode_token(tokenizer: Any, token_id: int) -> str:
    """The text of a token; that of a special one is empty."""
    if hasattr(tokenizer, "modern"):  # the engine's: strategies ask of each token at each step
        return texts_of(tokenizer).get(int(token_id), "")
    return _decoded(tokenizer, token_id)


def _decoded(tokenizer: Any, token_id: int) -> str:
    return str(tokenizer.decode([int(token_id)], skip_special_tokens=True))


_texts: "weakref.WeakKeyDictionary[Any, dict[int, str]]" = weakref.WeakKeyDictionary()


def texts_of(tokenizer: Any) -> dict[int, str]:
    """The text of each token; found once for each tokenizer, since vocabularies are large."""
    try:
        if (known := _texts.get(tokenizer)) is not None:
            return known
    except TypeError:  # one that cannot be referred to weakly
        return _read(tokenizer)
    made = _texts[tokenizer] = _read(tokenizer)
    return made


def _read(tokenizer: Any) -> dict[int, str]:
    return {token_id: _decoded(tokenizer, token_id) for token_id in require_token_ids(tokenizer)}


class TrieNode:
    """Sequences of tokens that begin alike."""

    def __init__(self) -> None:
        """Begin an empty one."""
        self.children: dict[int, TrieNode] = {}
        self.terminal = False

    def insert(self, sequence: Iterable[int]) -> None:
        """Add a sequence."""
        node = self
        for token_id in sequence:
            node = node.children.setdefault(int(token_id), TrieNode())
        node.terminal = True

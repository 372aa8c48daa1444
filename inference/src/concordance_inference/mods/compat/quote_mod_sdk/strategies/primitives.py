# ruff: noqa: ARG002  # the protocol's signatures
"""Strategies without elements: choices, characters, text up to an end, single tokens."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from concordance_sdk.constraints import CharsMode, UntilEndType

from concordance_inference.mods.compat.quote_mod_sdk.strategies.base import (
    RuntimeState,
    Strategy,
    TrieNode,
    decode_token,
    require_token_ids,
    texts_of,
    tokenize_str,
)

_UNESCAPED_QUOTE = re.compile(r'(?<!\\)"')
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_BEGINS_NUMBER = re.compile(r"-?(?:\d+(?:\.\d*)?(?:(?<=\d)[eE][+-]?\d*)?)?")

#: Mode -> True if a text consists of its characters.
_IS_OF: dict[CharsMode, Callable[[str], bool]] = {
    CharsMode.ALPHA: str.isalpha,
    CharsMode.ALPHANUMERIC: str.isalnum,
    CharsMode.NUMERIC: str.isdigit,
    CharsMode.STRING: lambda text: not _UNESCAPED_QUOTE.search(text),
    CharsMode.JS_FLOAT: lambda text: not set(text) - set("0123456789.+-eE"),
}


def _ends(tokenizer: Any) -> set[int]:
    """Return the EOS token, if there is one, as a set."""
    end = getattr(tokenizer, "eos_token_id", None)
    return set() if end is None else {int(end)}


@dataclass
class ChoicesState(RuntimeState):
    """The choices that are still possible, as trie nodes."""

    active: list[TrieNode] = field(default_factory=list)
    has_terminal: bool = False
    started: bool = False
    done: bool = False


class ChoicesStrategy(Strategy):
    """One of several token sequences; the first complete one ends the answer."""

    def __init__(self, root: TrieNode) -> None:
        """Allow the sequences of a trie."""
        self._root = root

    def start(self, tokenizer: Any) -> ChoicesState:
        """Return a state with all choices."""
        del tokenizer
        return ChoicesState(active=[self._root])

    def allowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """Return the next token of each possible choice."""
        del tokenizer
        return {token_id for node in state.active for token_id in node.children}

    def disallowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """Return an empty set."""
        return set()

    def step(self, state: Any, token_id: int, tokenizer: Any) -> None:
        """Keep the choices that continue with this token."""
        state.started = True
        found = [node.children.get(int(token_id)) for node in state.active]
        state.active = [node for node in found if node is not None]
        state.has_terminal = any(node.terminal for node in state.active)
        state.done = state.done or state.has_terminal

    def is_complete(self, state: Any) -> bool:
        """True if a choice is complete."""
        return state.done

    def trim_answer(self, answer: str) -> str:
        """Return the choice."""
        return answer


@dataclass
class UntilState(RuntimeState):
    """The text so far."""

    done: bool = False
    accum: str = ""
    accum_toks: list[int] = field(default_factory=list)
    disallow_eos: bool = True


class UntilStrategy(Strategy):
    """Any text up to an end, after a fixed start."""

    def __init__(self, start_tag: str | None, end_type: UntilEndType, stop: str) -> None:
        """Allow text between a start and an end."""
        self._start_tag = start_tag or ""
        self.end_type = end_type
        self.stop = stop or "\n"

    def start(self, tokenizer: Any) -> UntilState:
        """Return the initial state."""
        del tokenizer
        return UntilState()

    def allowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """Return the next token of the start, and after it all tokens."""
        start_ids = tokenize_str(self._start_tag, tokenizer)
        if len(state.accum_toks) < len(start_ids) and len(state.accum) < len(self._start_tag):
            return {start_ids[len(state.accum_toks)]}
        return require_token_ids(tokenizer)

    def disallowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """Return the EOS token."""
        return _ends(tokenizer) if state.disallow_eos else set()

    def step(self, state: Any, token_id: int, tokenizer: Any) -> None:
        """Append a token and search for an end."""
        if not state.done:
            state.accum_toks.append(int(token_id))
            state.accum += decode_token(tokenizer, token_id)
            text = state.accum[len(self._start_tag) :]
            ends = [self.stop] if self.end_type is UntilEndType.TAG else self.stop
            state.done = any(end in text for end in ends)

    def is_complete(self, state: Any) -> bool:
        """True after an end."""
        return state.done

    def trim_answer(self, answer: str) -> str:
        """Return the whole text; with `NEWLINE`, the text before the line break."""
        is_line = self.end_type is UntilEndType.NEWLINE
        return answer.partition("\n")[0] if is_line else answer


@dataclass
class CharsState(RuntimeState):
    """The characters so far."""

    char_count: int = 0
    stop_token: int | None = None
    done: bool = False
    text: str = ""  # needed for numbers, and for terminators of several tokens


class CharsStrategy(Strategy):
    """Characters of one kind, up to a maximum number or a terminator."""

    def __init__(
        self,
        kind: CharsMode,
        stop: int | str,
        min_chars: int = 0,
        include_stop_in_answer: bool = False,  # noqa: FBT001, FBT002  # `quote_mod_sdk`'s signature
    ) -> None:
        """Allow characters.

        Args:
            kind: The kind of characters.
            stop: The maximum number of characters, or the terminator.
            min_chars: The minimum number of characters before the terminator.
            include_stop_in_answer: Keep the terminator in the answer.
        """
        self._kind = kind
        self._min = int(min_chars or 0)
        self._max = None if isinstance(stop, str) else int(stop)
        self._stop = stop if isinstance(stop, str) else None
        self._include_stop_in_answer = include_stop_in_answer
        self._sorted: tuple[Any, dict[int, str], dict[int, str]] | None = None

    def start(self, tokenizer: Any) -> CharsState:
        """Return the initial state."""
        stop_ids = tokenize_str(self._stop, tokenizer)
        return CharsState(stop_token=stop_ids[0] if stop_ids else None)

    def allowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """Return the tokens of the kind that fit, and those of the terminator once it may come."""
        if state.done:
            return set()
        inside, ending = self._tokens(tokenizer)
        fits_all = self._max is None and self._kind is not CharsMode.JS_FLOAT
        allowed = {t for t, text in inside.items() if fits_all or self._fits(state, text)}
        if self._stop and self._may_stop(state):
            allowed |= ending.keys()
            allowed.add(state.stop_token)
            allowed |= self._rest_of_stop(state, tokenizer)
        return allowed

    def disallowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """Return the EOS token."""
        return _ends(tokenizer)

    def step(self, state: Any, token_id: int, tokenizer: Any) -> None:
        """Count a token's characters, and search for the terminator."""
        text = decode_token(tokenizer, token_id)
        state.text += text
        if self._stop and self._stop in state.text:
            state.done = True
            return
        state.char_count += len(text)
        if self._max is not None and state.char_count >= self._max:
            state.done = True

    def is_complete(self, state: Any) -> bool:
        """True after the terminator, or at the maximum number of characters."""
        return state.done

    def trim_answer(self, answer: str) -> str:
        """Return the characters without the terminator, unless it is included."""
        if self._stop and not self._include_stop_in_answer:
            return answer.partition(self._stop)[0]
        return answer

    def _tokens(self, tokenizer: Any) -> tuple[dict[int, str], dict[int, str]]:
        """Return the tokens of the kind, and those that contain the terminator; cached."""
        texts = texts_of(tokenizer)
        if self._sorted is None or self._sorted[0] is not texts:
            kinds = {token_id: self._kind_of_token(text) for token_id, text in texts.items()}
            inside, ending = (
                {token_id: texts[token_id] for token_id, kind in kinds.items() if kind == group}
                for group in ("inside", "ending")
            )
            self._sorted = (texts, inside, ending)
        return self._sorted[1], self._sorted[2]

    def _kind_of_token(self, text: str) -> str | None:
        """Classify a token: "inside" the characters, "ending" them, or `None`."""
        before, stop, after = text.partition(self._stop) if self._stop else (text, "", "")
        if not text or (before and not _IS_OF[self._kind](before)):
            return None
        if not stop:
            return "inside"
        return "ending" if not after or self._kind is CharsMode.STRING else None

    def _fits(self, state: Any, text: str) -> bool:
        if self._max is not None and state.char_count + len(text) > self._max:
            return False
        is_number = self._kind is CharsMode.JS_FLOAT
        return not is_number or _BEGINS_NUMBER.fullmatch(state.text + text) is not None

    def _may_stop(self, state: Any) -> bool:
        if state.char_count < self._min:
            return False
        is_number = self._kind is CharsMode.JS_FLOAT and state.text
        return not is_number or _NUMBER.fullmatch(state.text) is not None

    def _rest_of_stop(self, state: Any, tokenizer: Any) -> set[int]:
        """Return the next token of a terminator that has been started."""
        assert self._stop is not None
        begun = next(
            (n for n in range(len(self._stop) - 1, 0, -1) if state.text.endswith(self._stop[:n])), 0
        )
        return set(tokenize_str(self._stop[begun:], tokenizer)[:1]) if begun else set()


@dataclass
class TokensState(RuntimeState):
    """The state of a `TokensStrategy`."""

    done: bool = False


class TokensStrategy(Strategy):
    """One of several tokens."""

    def __init__(self, token_ids: Iterable[int]) -> None:
        """Allow these tokens."""
        self._token_ids = {int(token_id) for token_id in token_ids}

    def start(self, tokenizer: Any) -> TokensState:
        """Return the state before the token."""
        del tokenizer
        return TokensState()

    def allowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """Return the tokens."""
        return set(self._token_ids)

    def disallowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """Return an empty set."""
        return set()

    def step(self, state: Any, token_id: int, tokenizer: Any) -> None:
        """Complete the answer."""
        state.done = True

    def is_complete(self, state: Any) -> bool:
        """True after the token."""
        return state.done

    def trim_answer(self, answer: str) -> str:
        """Return the token's text."""
        return answer


__all__ = [
    "CharsMode",
    "CharsState",
    "CharsStrategy",
    "ChoicesState",
    "ChoicesStrategy",
    "TokensState",
    "TokensStrategy",
    "UntilEndType",
    "UntilState",
    "UntilStrategy",
]

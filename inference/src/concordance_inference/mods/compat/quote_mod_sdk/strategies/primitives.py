# ruff: noqa: ARG002  # what a strategy does without, it is given
"""Strategies that are not made of others."""

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

#: What the characters of each mode are.
_IS_OF: dict[CharsMode, Callable[[str], bool]] = {
    CharsMode.ALPHA: str.isalpha,
    CharsMode.ALPHANUMERIC: str.isalnum,
    CharsMode.NUMERIC: str.isdigit,
    CharsMode.STRING: lambda text: not _UNESCAPED_QUOTE.search(text),
    CharsMode.JS_FLOAT: lambda text: not set(text) - set("0123456789.+-eE"),
}


def _ends(tokenizer: Any) -> set[int]:
    """The token that ends a completion, if there is one."""
    end = getattr(tokenizer, "eos_token_id", None)
    return set() if end is None else {int(end)}


@dataclass
class ChoicesState(RuntimeState):
    """The choices that can still be made."""

    active: list[TrieNode] = field(default_factory=list)
    has_terminal: bool = False
    started: bool = False
    done: bool = False


class ChoicesStrategy(Strategy):
    """One of several sequences of tokens; it has ended with the first that is whole."""

    def __init__(self, root: TrieNode) -> None:
        """Allow the sequences of a tree."""
        self._root = root

    def start(self, tokenizer: Any) -> ChoicesState:
        """All choices."""
        del tokenizer
        return ChoicesState(active=[self._root])

    def allowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """What the choices go on with."""
        del tokenizer
        return {token_id for node in state.active for token_id in node.children}

    def disallowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """None."""
        return set()

    def step(self, state: Any, token_id: int, tokenizer: Any) -> None:
        """Leave the choices that go on with this token."""
        state.started = True
        found = [node.children.get(int(token_id)) for node in state.active]
        state.active = [node for node in found if node is not None]
        state.has_terminal = any(node.terminal for node in state.active)
        state.done = state.done or state.has_terminal

    def is_complete(self, state: Any) -> bool:
        """Whether a choice is made."""
        return state.done

    def trim_answer(self, answer: str) -> str:
        """The choice."""
        return answer


@dataclass
class UntilState(RuntimeState):
    """What was written so far."""

    done: bool = False
    accum: str = ""
    accum_toks: list[int] = field(default_factory=list)
    disallow_eos: bool = True


class UntilStrategy(Strategy):
    """Any text until an end appears, behind a start that is written first."""

    def __init__(self, start_tag: str | None, end_type: UntilEndType, stop: str) -> None:
        """Allow text between a start and an end."""
        self._start_tag = start_tag or ""
        self.end_type = end_type
        self.stop = stop or "\n"

    def start(self, tokenizer: Any) -> UntilState:
        """Nothing is written."""
        del tokenizer
        return UntilState()

    def allowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """The next token of the start; all tokens behind it."""
        start_ids = tokenize_str(self._start_tag, tokenizer)
        if len(state.accum_toks) < len(start_ids) and len(state.accum) < len(self._start_tag):
            return {start_ids[len(state.accum_toks)]}
        return require_token_ids(tokenizer)

    def disallowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """The token that ends a completion."""
        return _ends(tokenizer) if state.disallow_eos else set()

    def step(self, state: Any, token_id: int, tokenizer: Any) -> None:
        """Write a token down, and see whether an end has appeared."""
        if not state.done:
            state.accum_toks.append(int(token_id))
            state.accum += decode_token(tokenizer, token_id)
            text = state.accum[len(self._start_tag) :]
            ends = [self.stop] if self.end_type is UntilEndType.TAG else self.stop
            state.done = any(end in text for end in ends)

    def is_complete(self, state: Any) -> bool:
        """Whether an end has appeared."""
        return state.done

    def trim_answer(self, answer: str) -> str:
        """All that was written, but for the line break that ended it where that is the end."""
        is_line = self.end_type is UntilEndType.NEWLINE
        return answer.partition("\n")[0] if is_line else answer


@dataclass
class CharsState(RuntimeState):
    """How much was written so far."""

    char_count: int = 0
    stop_token: int | None = None
    done: bool = False
    text: str = ""  # of a number, and of a terminator that several tokens write


class CharsStrategy(Strategy):
    """Characters of one kind: so many, or until a terminator."""

    def __init__(
        self,
        kind: CharsMode,
        stop: int | str,
        min_chars: int = 0,
        include_stop_in_answer: bool = False,  # noqa: FBT001, FBT002  # as it was
    ) -> None:
        """Allow characters.

        Args:
            kind: Which.
            stop: At most so many, or the text that ends them.
            min_chars: At least so many before that text.
            include_stop_in_answer: Whether that text is part of the answer.
        """
        self._kind = kind
        self._min = int(min_chars or 0)
        self._max = None if isinstance(stop, str) else int(stop)
        self._stop = stop if isinstance(stop, str) else None
        self._include_stop_in_answer = include_stop_in_answer
        self._sorted: tuple[Any, dict[int, str], dict[int, str]] | None = None

    def start(self, tokenizer: Any) -> CharsState:
        """Nothing is written."""
        stop_ids = tokenize_str(self._stop, tokenizer)
        return CharsState(stop_token=stop_ids[0] if stop_ids else None)

    def allowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """Tokens of the kind for which there is room, and of the terminator where it may come."""
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
        """The token that ends a completion."""
        return _ends(tokenizer)

    def step(self, state: Any, token_id: int, tokenizer: Any) -> None:
        """Count a token's characters, and see whether it ends them."""
        text = decode_token(tokenizer, token_id)
        state.text += text
        if self._stop and self._stop in state.text:
            state.done = True
            return
        state.char_count += len(text)
        if self._max is not None and state.char_count >= self._max:
            state.done = True

    def is_complete(self, state: Any) -> bool:
        """Whether they have ended."""
        return state.done

    def trim_answer(self, answer: str) -> str:
        """The characters, without their terminator."""
        if self._stop and not self._include_stop_in_answer:
            return answer.partition(self._stop)[0]
        return answer

    def _tokens(self, tokenizer: Any) -> tuple[dict[int, str], dict[int, str]]:
        """The tokens that are of the kind, and those in which it ends; found once."""
        texts = texts_of(tokenizer)
        if self._sorted is None or self._sorted[0] is not texts:
            kinds = {token_id: self._kind_of_token(text) for token_id, text in texts.items()}
            inside, ending = (
                {token_id: texts[token_id] for token_id, kind in kinds.items() if kind == wanted}
                for wanted in ("inside", "ending")
            )
            self._sorted = (texts, inside, ending)
        return self._sorted[1], self._sorted[2]

    def _kind_of_token(self, text: str) -> str | None:
        """Whether a token is characters of the kind only, or ends them, or is neither."""
        before, stop, behind = text.partition(self._stop) if self._stop else (text, "", "")
        if not text or (before and not _IS_OF[self._kind](before)):
            return None
        if not stop:
            return "inside"
        return "ending" if not behind or self._kind is CharsMode.STRING else None

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
        """What a terminator goes on with that several tokens write."""
        assert self._stop is not None
        begun = next(
            (n for n in range(len(self._stop) - 1, 0, -1) if state.text.endswith(self._stop[:n])), 0
        )
        return set(tokenize_str(self._stop[begun:], tokenizer)[:1]) if begun else set()


@dataclass
class TokensState(RuntimeState):
    """Whether the token has come."""

    done: bool = False


class TokensStrategy(Strategy):
    """One of several tokens."""

    def __init__(self, token_ids: Iterable[int]) -> None:
        """Allow these tokens."""
        self._token_ids = {int(token_id) for token_id in token_ids}

    def start(self, tokenizer: Any) -> TokensState:
        """It has not come."""
        del tokenizer
        return TokensState()

    def allowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """The tokens."""
        return set(self._token_ids)

    def disallowed_tokens(self, state: Any, tokenizer: Any) -> set[int]:
        """None."""
        return set()

    def step(self, state: Any, token_id: int, tokenizer: Any) -> None:
        """It has come."""
        state.done = True

    def is_complete(self, state: Any) -> bool:
        """Whether it has come."""
        return state.done

    def trim_answer(self, answer: str) -> str:
        """The token."""
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

"""Answers that follow a strategy of the older SDK, where today's SDK expects a constraint."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from concordance_sdk.action_builder import Actions
from concordance_sdk.constraints import Constraint, compile_constraint
from concordance_sdk.constraints.span import ConstrainedSpan
from concordance_sdk.self_prompt import EraseMode, SelfPromptRun
from concordance_sdk.self_prompt.edit import Edit
from concordance_sdk.self_prompt.ended import Ended
from concordance_shared import Action, ConstraintError

from concordance_inference.mods.compat.quote_mod_sdk.action_types import Backtrack, ForceTokens
from concordance_inference.mods.compat.quote_mod_sdk.strategies.base import texts_of
from concordance_inference.mods.compat.quote_mod_sdk.strategies.strategy_constructor import (
    ListStrat,
    constraint_of,
)
from concordance_inference.mods.compat.quote_mod_sdk.tokenizer import OlderTokenizer

#: So often may a strategy take back what it was given, in one answer.
_MAX_STRATEGY_BACKTRACKS = 3


class CompiledStrategy:
    """A strategy for a tokenizer. `start` begins an answer."""

    def __init__(self, spec: Any, completion: str, tokenizer: Any) -> None:
        """Make a strategy.

        Args:
            spec: What becomes one by `into_strategy`, or is one.
            completion: What is written behind the answer.
            tokenizer: The model's.
        """
        into = getattr(spec, "into_strategy", None)
        self._strategy: Any = into(tokenizer) if into else spec
        self._completion = completion
        self._tokenizer = tokenizer

    def start(self, *, at_start: bool = False) -> "StrategyMatcher":
        """The beginning of an answer; a strategy asks the tokenizer itself what tokens say."""
        del at_start
        return StrategyMatcher(self._strategy, self._completion, self._tokenizer)


class StrategyMatcher:
    """Where one answer stands in a strategy: as today's `Matcher`, by the strategy's own rules.

    What other mods put into an answer is stepped over as what the model wrote, since a strategy
    does not say which texts it allows.
    """

    def __init__(self, strategy: Any, completion: str, tokenizer: Any) -> None:
        """Begin an answer."""
        self.token_ids: list[int] = []
        self.wants: Edit = Edit()  # what the strategy itself asks for
        self.is_ended_by_eos = False
        self._strategy = strategy
        self._tokenizer = tokenizer
        self._suffix = _encoded(tokenizer, completion) if completion else []
        self._begin()

    def _begin(self) -> None:
        self._state = self._strategy.start(self._tokenizer)
        self._num_answer: int | None = None  # tokens of the answer, once it has ended
        self._note_end(0)

    @property
    def num_tokens(self) -> int:
        """How many tokens it has been given."""
        return len(self.token_ids)

    @property
    def is_complete(self) -> bool:
        """Whether the answer and what is written behind it have ended."""
        if self.is_ended_by_eos:
            return True
        written = self._num_answer
        return written is not None and self.num_tokens >= written + len(self._suffix)

    def mask(self) -> bytes | None:
        """The tokens that may come next, as a packed bitmask; `None` if all may.

        Raises:
            ConstraintError: None may.
        """
        found = self._strategy.allowed_tokens(self._state, self._tokenizer)
        allowed = set(cast(Sequence[int], found or ()))
        find_disallowed = getattr(self._strategy, "disallowed_tokens", None)
        found = find_disallowed(self._state, self._tokenizer) if find_disallowed else None
        disallowed = set(cast(Sequence[int], found or ()))
        if not allowed and not disallowed:
            return None
        kept = _bits(allowed, disallowed, max(texts_of(self._tokenizer), default=0) + 1)
        if not kept.any():
            name = type(self._strategy).__name__
            raise ConstraintError(
                f"{name} allows no token behind {self._text(self.token_ids)[-40:]!r}: what "
                "`allowed_tokens` gives is all in `disallowed_tokens`"
            )
        return np.packbits(kept, bitorder="little").tobytes()

    def forced(self) -> list[int]:
        """The tokens that must come next: what is written behind the answer."""
        if self._num_answer is None or self.is_ended_by_eos:
            return []
        return self._suffix[self.num_tokens - self._num_answer :]

    def accepts(self, token_ids: Sequence[int]) -> int:
        """How many of these tokens belong to the answer; they are stepped over at once."""
        for count, token_id in enumerate(token_ids):
            if self.is_complete:
                return count
            self._step(int(token_id))
        return len(token_ids)

    def extend(self, token_ids: Sequence[int]) -> None:
        """Nothing more: `accepts` has followed them."""

    def check(self) -> None:
        """Nothing: a strategy does not look at a complete answer once more."""

    def rollback(self, n: int) -> None:
        """Take back the last `n` tokens."""
        if n:
            kept = self.token_ids[: len(self.token_ids) - n]
            self.token_ids, self.is_ended_by_eos = [], False
            self._begin()
            self.accepts(kept)
            self.wants = Edit()

    @property
    def answer_ids(self) -> list[int]:
        """The tokens of the answer, without what is written behind it."""
        return self.token_ids[: self._num_answer]

    @property
    def answer(self) -> str:
        """The answer, as the strategy trims it."""
        text = self._text(self.answer_ids)
        trim = getattr(self._strategy, "trim_answer", None)
        return trim(text) if trim else text

    value = answer

    def _step(self, token_id: int) -> None:
        self.token_ids.append(token_id)
        if self._num_answer is not None:
            return
        wanted = self._strategy.step(self._state, token_id, self._tokenizer)
        if isinstance(wanted, ForceTokens):
            self.wants = self.wants.then(wanted.tokens)
        elif isinstance(wanted, Backtrack):
            self.wants = Edit(self.wants.n + wanted.n, (*self.wants.tokens, *(wanted.tokens or ())))
        self._note_end(len(self.token_ids))
        if self._num_answer is None and token_id in _end_ids(self._tokenizer):
            self._num_answer, self.is_ended_by_eos = len(self.token_ids) - 1, True

    def _note_end(self, num_tokens: int) -> None:
        if self._strategy.is_complete(self._state):
            self._num_answer = num_tokens

    def _text(self, token_ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(token_ids), skip_special_tokens=True)


class OlderRun(SelfPromptRun):
    """One asking of an older self-prompt.

    What is erased is asked for before a position and never behind tokens, where older mods drop
    answers; and an answer that stays alone has nothing behind it.
    """

    def __init__(
        self,
        prompt_ids: Sequence[int],
        compiled: Any,
        *,
        completion: str,
        erase: EraseMode,
        argmax_sampling: bool,
        mask_value: float,
        tokenizer: Any,
    ) -> None:
        """Ask nothing yet."""
        super().__init__(prompt_ids, compiled, erase=erase, argmax_sampling=argmax_sampling)
        self._completion = completion
        self._mask_value = mask_value
        self._tokenizer = tokenizer
        self._num_backtracked = 0  # times that the strategy itself took something back

    def before(self, step: int) -> Edit:
        """What is to be done before the model decides a step; nothing if it may decide."""
        edit = super().before(step)
        if self.is_complete:
            self._due = None  # it is asked for now
        return edit

    def behind(self, step: int, token_ids: Sequence[int]) -> Edit:
        """What is to be done behind tokens that were added: nothing that could not wait."""
        edit = super().behind(step, token_ids)
        if self.is_complete:
            return Edit()
        return self._wanted() or edit

    def masked(self, actions: Actions) -> Action:
        """What the model may decide between."""
        assert self._answer is not None
        mask = self._answer.matcher.mask()
        builder = cast(Any, actions)
        if cast(object, mask) is None:
            no_mask = self._temperature is None
            return builder.noop() if no_mask else builder.adjust_logits(token_temp=0.0)
        return builder.masked(mask, mask_value=self._mask_value, token_temp=self._temperature)

    def _wanted(self) -> Edit:
        """What the strategy itself asks for; it takes back a few times and not for ever."""
        matcher: Any = self._answer.matcher if self._answer else None
        if not isinstance(matcher, StrategyMatcher) or not matcher.wants:
            return Edit()
        wanted, matcher.wants = matcher.wants, Edit()
        if wanted.n:
            self._num_backtracked += 1
            if self._num_backtracked > _MAX_STRATEGY_BACKTRACKS:
                return Edit()
        return wanted

    def _kept(self, answer: ConstrainedSpan, written: list[int]) -> list[int]:
        if self._erase is not EraseMode.PROMPT:
            return super()._kept(answer, written)
        matcher: Any = answer.matcher
        if isinstance(matcher, StrategyMatcher):
            return matcher.answer_ids
        return _without_end(written, self._completion, self._tokenizer)


def compiled_for(spec: Any, completion: str, tokenizer: Any) -> Any:
    """What an answer may be, for a tokenizer: by a grammar where there is one to say it.

    Raises:
        ConstraintError: There is no such answer.
    """
    constraint = constraint_of(spec) if isinstance(tokenizer, OlderTokenizer) else None
    if constraint is None:
        return CompiledStrategy(spec, completion, tokenizer)
    ended = cast(Constraint, Ended(constraint, completion)) if completion else constraint
    return compile_constraint(ended, cast(OlderTokenizer, tokenizer).modern)


def completion_for(spec: Any, completion: Any, erase: EraseMode, tokenizer: Any) -> str:
    """What is written behind an answer: nothing that is erased, or that a list writes itself."""
    if isinstance(completion, Mapping):
        given = cast(Mapping[str, Any], completion)
        completion = given.get("suffix") if given.get("force", True) else None
    if completion is None or (isinstance(spec, ListStrat) and spec.end_with):
        return ""
    if not isinstance(completion, str):
        return tokenizer.decode([int(token_id) for token_id in completion])
    return "" if erase is EraseMode.ALL and not _may_go_on(spec) else completion


def _may_go_on(spec: Any) -> bool:
    """Whether an answer could go on where it ends, so that something has to end it."""
    is_list = isinstance(spec, ListStrat) and not spec.close and not isinstance(spec.elements, list)
    return is_list and (spec.max is None or spec.max != spec.min)


def _without_end(written: list[int], completion: str, tokenizer: Any) -> list[int]:
    """The tokens of a text without what is written behind it, split anew where one has both."""
    modern = cast(OlderTokenizer, tokenizer).modern
    pieces = [modern.token_bytes(token_id) for token_id in written]
    kept = b"".join(pieces).removesuffix(completion.encode())
    length = 0
    for count, piece in enumerate(pieces):
        if length == len(kept):
            return written[:count]
        length += len(piece)
    return written if length == len(kept) else modern.encode(kept.decode("utf-8", "replace"))


def _encoded(tokenizer: Any, text: str) -> list[int]:
    return [int(token_id) for token_id in tokenizer.encode(text, add_special_tokens=False)]


def _end_ids(tokenizer: Any) -> frozenset[int]:
    if isinstance(tokenizer, OlderTokenizer):
        return frozenset(tokenizer.modern.eos_token_ids)
    end = getattr(tokenizer, "eos_token_id", None)
    return frozenset() if end is None else frozenset({int(end)})


def _bits(allowed: set[int], disallowed: set[int], size: int) -> np.ndarray:
    """Which tokens may come next.  (vocab,) bool"""
    size = max(size, max(allowed, default=0) + 1, max(disallowed, default=0) + 1)
    bits = np.full(size, not allowed)
    bits[np.fromiter(allowed, np.int64)] = True
    bits[np.fromiter(disallowed, np.int64)] = False
    return bits

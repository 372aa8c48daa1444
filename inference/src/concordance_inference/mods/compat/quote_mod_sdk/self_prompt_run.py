"""Self-prompts of `quote_mod_sdk` in one request, where the SDK has `SelfPromptRun`."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from concordance_sdk.action_builder import Actions
from concordance_sdk.constraints import Constraint, compile_constraint
from concordance_sdk.constraints.span import ConstrainedSpan
from concordance_sdk.self_prompt import EraseMode, SelfPromptRun
from concordance_sdk.self_prompt.edit import Edit
from concordance_sdk.self_prompt.self_prompt import Ended
from concordance_shared import Action

from concordance_inference.mods.compat.quote_mod_sdk.strategies.strategy_constructor import (
    ListStrat,
    constraint_of,
)
from concordance_inference.mods.compat.quote_mod_sdk.strategy_matcher import (
    CompiledStrategy,
    StrategyMatcher,
)
from concordance_inference.mods.compat.quote_mod_sdk.tokenizer import OlderTokenizer

#: Maximum number of backtracks that a strategy can request in one answer.
_MAX_STRATEGY_BACKTRACKS = 3


class OlderRun(SelfPromptRun):
    """A self-prompt of `quote_mod_sdk` in one request.

    It erases at a `ForwardPass` only, since mods often drop the action returned by `handle_added`.
    With `EraseMode.PROMPT`, the remaining answer has no suffix.
    """

    def __init__(
        self,
        prompt_ids: Sequence[int],
        compiled: Any,
        *,
        suffix: str,
        erase: EraseMode,
        argmax_sampling: bool,
        mask_value: float,
        tokenizer: Any,
    ) -> None:
        """Create a run that has not started."""
        temperature = 0.0 if argmax_sampling else None
        super().__init__(prompt_ids, compiled, erase=erase, temperature=temperature)
        self._suffix = suffix
        self._mask_value = mask_value
        self._tokenizer = tokenizer
        self._num_backtracks = 0  # requested by the strategy itself

    def before(self, step: int) -> Edit:
        """Return the edit before the token at a step is sampled; empty to sample it."""
        edit = super().before(step)
        if self.is_complete:
            self._due = None  # `edit` contains it
        return edit

    def after(self, step: int, token_ids: Sequence[int]) -> Edit:
        """Return the edit after tokens were added; one that completes the answer waits."""
        edit = super().after(step, token_ids)
        if self.is_complete:
            if self._due and self._due[1] and self._span:
                self._hide(self._span)  # until `before` erases it
            return Edit()
        return self._requested() or edit

    def masked(self, actions: Actions) -> Action:
        """Return the action that restricts sampling to the allowed tokens."""
        assert self._span is not None
        mask = self._span.matcher.mask()
        builder = cast(Any, actions)
        if cast(object, mask) is None:
            no_mask = self._temperature is None
            return builder.noop() if no_mask else builder.adjust_logits(token_temp=0.0)
        return builder.masked(mask, mask_value=self._mask_value, token_temp=self._temperature)

    def _requested(self) -> Edit:
        """Return the edit that the strategy requested, with a limit on backtracks."""
        matcher: Any = self._span.matcher if self._span else None
        if not isinstance(matcher, StrategyMatcher) or not matcher.requested:
            return Edit()
        edit, matcher.requested = matcher.requested, Edit()
        if edit.n:
            self._num_backtracks += 1
            if self._num_backtracks > _MAX_STRATEGY_BACKTRACKS:
                return Edit()
        return edit

    def _kept(self, span: ConstrainedSpan, written: list[int]) -> list[int]:
        if self._erase is not EraseMode.PROMPT:
            return super()._kept(span, written)
        matcher: Any = span.matcher
        if isinstance(matcher, StrategyMatcher):
            return matcher.answer_ids
        return _without_suffix(written, self._suffix, self._tokenizer)


def compiled_for(spec: Any, suffix: str, tokenizer: Any) -> Any:
    """Compile a strategy for a tokenizer: to a grammar if possible, which is faster.

    Raises:
        ConstraintError: The strategy allows no answer.
    """
    constraint = constraint_of(spec) if isinstance(tokenizer, OlderTokenizer) else None
    if constraint is None:
        return CompiledStrategy(spec, suffix, tokenizer)
    ended = cast(Constraint, Ended(constraint, suffix)) if suffix else constraint
    return compile_constraint(ended, cast(OlderTokenizer, tokenizer).modern)


def suffix_for(spec: Any, completion: Any, erase: EraseMode, tokenizer: Any) -> str:
    """Return the suffix after an answer; empty if it would be erased, or if a list has its own."""
    if isinstance(completion, Mapping):
        given = cast(Mapping[str, Any], completion)
        completion = given.get("suffix") if given.get("force", True) else None
    if completion is None or (isinstance(spec, ListStrat) and spec.end_with):
        return ""
    if not isinstance(completion, str):
        return tokenizer.decode([int(token_id) for token_id in completion])
    return "" if erase is EraseMode.ALL and not _needs_end(spec) else completion


def _needs_end(spec: Any) -> bool:
    """True for a list that could continue after its last element, unless a suffix ends it."""
    is_list = isinstance(spec, ListStrat) and not spec.close and not isinstance(spec.elements, list)
    return is_list and (spec.max is None or spec.max != spec.min)


def _without_suffix(written: list[int], suffix: str, tokenizer: Any) -> list[int]:
    """Remove the suffix from tokens; encode the text again if a token spans both."""
    modern = cast(OlderTokenizer, tokenizer).modern
    pieces = [modern.token_bytes(token_id) for token_id in written]
    kept = b"".join(pieces).removesuffix(suffix.encode())
    length = 0
    for count, piece in enumerate(pieces):
        if length == len(kept):
            return written[:count]
        length += len(piece)
    return written if length == len(kept) else modern.encode(kept.decode("utf-8", "replace"))

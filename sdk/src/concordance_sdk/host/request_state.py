"""The state of one request: token ids and counters, without arrays or text.

It lives in the SDK so that the engine and the test harness share one implementation.
"""

from collections.abc import Collection, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol

from concordance_shared import ConcordanceError, FinishReason, ToolCall
from msgspec import Struct

from concordance_sdk.holds import Holds
from concordance_sdk.host.action_log import ActionLog
from concordance_sdk.host.report_log import ReportLog

if TYPE_CHECKING:
    from concordance_sdk.host.tracer import Tracer

#: A length that no completion is cut to.
_NEVER = 2**62


class Change(Struct, frozen=True):
    """An edit after which the completion is its first `kept` tokens, followed by `added`."""

    kept: int
    added: tuple[int, ...]
    forced: bool
    mod: str | None = None  # the mod that forced or backtracked; `None` for a sampled token


class Given(Struct, frozen=True):
    """The beginning of a completion, which another request generated.

    Attributes:
        token_ids: Its tokens.
        forced_by: Per token: the mod that forced it, if any.
        num_sampled: Draws of the sampler that it took.
        is_sent: The client has them: they count as released, and no mod can backtrack over them.
            If not, they are tokens of this request like others.
    """

    token_ids: tuple[int, ...] = ()
    forced_by: tuple[str | None, ...] = ()
    num_sampled: int = 0
    is_sent: bool = True


class EditLog:
    """The edits of a completion that its client has not received yet."""

    def __init__(self, *, keeps_changes: bool) -> None:
        """Create an empty log.

        Args:
            keeps_changes: Record each edit, rather than only the length that is unchanged.
        """
        self._changes: list[Change] | None = [] if keeps_changes else None
        self._num_unchanged = 0
        self._lowest_cut = _NEVER

    def record(self, kept: int, added: tuple[int, ...], *, forced: bool, mod: str | None) -> None:
        """Record an edit; the arguments are the fields of a `Change`."""
        self._num_unchanged = min(self._num_unchanged, kept)
        if not added:
            self._lowest_cut = min(self._lowest_cut, kept)
        if self._changes is not None:
            self._changes.append(Change(kept, added, forced, mod))

    def take_unchanged(self, length: int) -> int:
        """Return the number of leading tokens that did not change since the last call.

        Args:
            length: Length of the completion, which the caller now takes as known.
        """
        unchanged, self._num_unchanged = self._num_unchanged, length
        return unchanged

    def take_lowest_cut(self) -> int:
        """Return the shortest length that the completion was cut to since the last call.

        Tokens from there on are not those that were sampled, though they may be equal.
        """
        lowest, self._lowest_cut = self._lowest_cut, _NEVER
        return lowest

    def take_changes(self) -> Sequence[Change]:
        """Return the edits since the last call, oldest first; none if they are not kept."""
        changes = self._changes
        if not changes:
            return ()
        self._changes = []
        return changes


class TokenFollower(Protocol):
    """Follows the tokens of a completion."""

    def extend(self, token_ids: Sequence[int]) -> None:
        """Follow appended tokens."""
        ...

    def cut(self, length: int) -> None:
        """Follow a completion that was cut to a length."""
        ...


class RequestState:
    """One request from admission to its last token.

    `token_ids` holds the prompt and the completion. `num_cached` says how many of these tokens
    are in the KV cache, so the next forward pass processes `token_ids[num_cached:]`: the prompt
    at first, then one token per pass, more after a mod forced several.

        prompt_len = 3, after 4 sampled tokens:    P P P a b c d     num_cached = 6: `d` is next
        backtrack(2):                              P P P a b         num_cached = 5
        append([x, y], forced=True):               P P P a b x y     num_cached = 5: `x y` are next

    All attributes are read-only outside this class: each change goes through a method, which
    keeps the counters consistent. They are plain attributes because the engine reads them many
    times per token.

    Invariants: `0 <= num_cached <= len(token_ids)`; `num_completion <= max_tokens` unless a mod
    set the whole output; a token that ends the completion is its last one, unless a mod forced
    more tokens after it.
    """

    def __init__(  # noqa: PLR0913  # the parts of a request
        self,
        request_id: str,
        prompt_ids: Sequence[int],
        *,
        max_tokens: int,
        eos_ids: Collection[int] = (),
        forced_eos_ids: Collection[int] = (),
        hold: int | None = 0,
        holds: Holds | None = None,
        keeps_changes: bool = False,
        given: Given = Given(),  # noqa: B008  # frozen
    ) -> None:
        """Create the state of a request.

        Args:
            request_id: Identifies the request in events, messages and logs.
            prompt_ids: Token ids of the prompt, at least one.
            max_tokens: Budget of the completion: sampled and forced tokens together.
            eos_ids: Tokens that end the completion.
            forced_eos_ids: Tokens that end it only where a mod forces them.
            hold: Number of trailing tokens that are not released to the client, because a mod may
                still backtrack over them; `None` releases nothing before the end.
            holds: What its mods hold back beyond that, while they run.
            keeps_changes: Record every edit of the completion in `edits`.
            given: The beginning of the completion.
        """
        self.request_id = request_id
        self.token_ids = list(prompt_ids)
        self.prompt_len = len(self.token_ids)
        self.token_ids += given.token_ids
        #: Leading completion tokens that an earlier request generated and sent.
        self.num_given = len(given.token_ids) if given.is_sent else 0
        self.given_len = self.prompt_len + self.num_given
        self.max_tokens = max_tokens
        self.eos_ids = frozenset(eos_ids)
        self.forced_eos_ids = self.eos_ids.union(forced_eos_ids)
        #: Length of the completion; also the `step` of the next position.
        self.num_begun = len(given.token_ids)  # of another request, sent or not
        self.num_completion = self.num_begun
        self.num_cached = 0
        self.wants_prompt_logprobs = False  # a mod asked for them
        self.num_released = self.num_given  # leading completion tokens that can no longer change
        self.num_sampled = given.num_sampled  # draws that a mod or the completion saw
        #: Tokens of the completion that mods forced, but for those of `num_given`.
        self.num_forced = sum(mod is not None for mod in given.forced_by[self.num_given :])
        self.num_backtracked = 0
        self.num_edits = 0  # changes of the completion other than appending a sampled token
        #: Per token of the completion: 1 if a mod forced it.
        self.forced = bytearray(mod is not None for mod in given.forced_by)
        self.forced_by = list(given.forced_by)  # per token: the mod that forced it, if any
        self.finish_reason: FinishReason | None = None
        self.is_finished = False  # True once the request has a finish reason
        self.tool_calls: tuple[ToolCall, ...] = ()
        self.error: ConcordanceError | None = None
        self.edits = EditLog(keeps_changes=keeps_changes)
        self.followers: list[TokenFollower] = []
        self.tracer: Tracer | None = None  # if the request is traced token by token
        self.edits.take_unchanged(self.num_given)
        if not given.is_sent:
            _record(given, self.edits)
        self.reports = ReportLog()
        self.actions = ActionLog()
        self.dropped: tuple[int, ...] = ()  # tokens forced at the end, beyond the budget
        self.dropped_by: str | None = None  # the mod that forced them
        self.holds = Holds() if holds is None else holds
        self.holds.hold_trailing(hold)

    @property
    def completion_ids(self) -> list[int]:
        """A copy of the completion."""
        return self.token_ids[self.prompt_len :]

    @property
    def max_length(self) -> int:
        """Upper bound of `len(token_ids)`.

        A mod's `ForceOutput` may make the completion longer than its budget.
        """
        return max(self.prompt_len + self.max_tokens, len(self.token_ids))

    @property
    def room(self) -> int:
        """Remaining token budget."""
        return max(self.max_tokens - self.num_completion, 0)

    # Edits of the tokens

    def replace_prompt(self, prompt_ids: Sequence[int], *, wants_logprobs: bool = False) -> None:
        """Replace a prompt of which nothing has been processed.

        Args:
            prompt_ids: The token ids of the new prompt.
            wants_logprobs: True to ask for the log-probabilities of the final prompt.
        """
        self.wants_prompt_logprobs |= wants_logprobs
        self.token_ids[: self.prompt_len] = prompt_ids
        self.prompt_len = len(prompt_ids)
        self.given_len = self.prompt_len + self.num_given
        self.num_cached = 0

    def trace_with(self, tracer: "Tracer | None") -> None:
        """Record every event and edit from here on; `None` for none."""
        self.tracer = tracer

    def limit_tokens(self, max_tokens: int, *, restores: bool = False) -> None:
        """Lower the budget to `max_tokens`, if it is higher.

        Args:
            max_tokens: The budget.
            restores: True for the budget before a mod lowered it, which may be higher.
        """
        self.max_tokens = max_tokens if restores else min(self.max_tokens, max_tokens)

    def count_sampled(self) -> None:
        """Count a draw of the sampler."""
        self.num_sampled += 1

    def append(
        self, token_ids: Sequence[int], *, forced: bool, mod: str | None = None
    ) -> tuple[int, ...]:
        """Append tokens to the completion; return those appended.

        Tokens after an end-of-sequence token, or beyond the budget, are dropped.
        """
        ends = self.forced_eos_ids if forced else self.eos_ids
        whole, room = until_end(token_ids, ends), self.room
        added = whole[:room]
        if forced and not self.dropped:
            self.dropped, self.dropped_by = whole[room:], mod
        self._extend(added, forced=forced, mod=mod)
        return added

    def backtrack(self, n: int, *, mod: str | None = None, undoes_draw: bool = False) -> None:
        """Remove the last `n` tokens of the completion.

        Args:
            n: Their number.
            mod: The mod that removes them.
            undoes_draw: Uncount the last draw, whose token is removed if it was appended: the
                request has ended before its mods had acted on it.
        """
        assert 0 <= n <= self.num_completion
        if undoes_draw:
            self.num_sampled -= 1
        else:
            self.num_backtracked += n
        if n or not undoes_draw:
            self._cut(self.num_completion - n, mod=mod)

    def replace_completion(self, token_ids: Sequence[int], *, mod: str | None = None) -> None:
        """Replace the whole completion, regardless of the budget."""
        self.holds.clear()
        self._cut(self.num_given, mod=mod)
        kept = until_end(token_ids, self.forced_eos_ids)
        self._extend(kept[self.num_given :], forced=True, mod=mod)

    # Progress of the KV cache and of the client

    def mark_processed(self, length: int) -> None:
        """Set `num_cached`: the KV cache holds the first `length` tokens, and no more."""
        assert 0 <= length <= len(self.token_ids)
        self.num_cached = length

    def release(self) -> None:
        """Release all tokens that no mod can backtrack over any more."""
        trailing = self.holds.trailing
        if trailing is None:
            return
        released = self.num_completion - trailing
        if self.holds:
            released = min(released, self.holds.first() or 0)
        self.num_released = max(self.num_released, self.holds.lowered(released))

    # The end

    def finish(self, reason: FinishReason, tool_calls: Sequence[ToolCall] = ()) -> None:
        """End the request; a later reason does not replace an earlier one."""
        self.tool_calls = self.tool_calls or tuple(tool_calls)
        self._set_reason(self.finish_reason or reason)

    def finish_if_complete(self) -> None:
        """End the request if its last token ends the sequence or its budget is spent."""
        if has_ended(self):
            self.finish(FinishReason.STOP)
        elif self.num_completion >= self.max_tokens:
            self.finish(FinishReason.LENGTH)

    def stop_at_string(self, num_tokens: int) -> None:
        """End the request at a stop string.

        Tokens after the string, which a mod forced together with it, are dropped. A stop string
        that is completed by the last token of the budget takes precedence over `LENGTH`: the text
        ends before the budget does.

        Args:
            num_tokens: Number of leading tokens up to the one that completes the string.
        """
        if self.finish_reason in (None, FinishReason.LENGTH):
            self._set_reason(FinishReason.STOP)
            self.remove_hidden()
        if num_tokens < self.num_completion:
            self._cut(num_tokens, mod=None)

    def remove_hidden(self) -> None:
        """Remove what is never shown from a completion that has ended.

        A question that is erased once it is answered is an example. What follows a hidden span
        stays, such as an answer of which only the question is erased.
        """
        if not self.holds:
            return
        for begin, end in self.holds.hidden_spans(self.num_completion):
            sources = zip(self.forced[end:], self.forced_by[end:], strict=True)
            tail = list(zip(sources, self.completion_ids[end:], strict=True))
            self.num_backtracked += end - begin
            self._cut(begin, mod=None)
            for (forced, mod), tokens in groupby(tail, key=itemgetter(0)):
                kept = tuple(token_id for _, token_id in tokens)
                self._extend(kept, forced=bool(forced), mod=mod)
        self.holds.clear()

    def fail(self, error: ConcordanceError) -> None:
        """End the request with an error, even if it has already finished."""
        self.error = self.error or error
        self._set_reason(FinishReason.ERROR)

    def _set_reason(self, reason: FinishReason) -> None:
        self.finish_reason = reason
        self.is_finished = True

    def _extend(self, token_ids: tuple[int, ...], *, forced: bool, mod: str | None) -> None:
        self.edits.record(self.num_completion, token_ids, forced=forced, mod=mod)
        self.token_ids.extend(token_ids)
        self.forced.extend((b"\1" if forced else b"\0") * len(token_ids))
        self.forced_by.extend([mod if forced else None] * len(token_ids))
        self.num_completion += len(token_ids)
        if forced:
            self.num_forced += len(token_ids)
            self.num_edits += 1
        if self.tracer is not None:
            kept = self.num_completion - len(token_ids)
            self.tracer.edited(kept, token_ids, mod, forced=forced)
        for follower in self.followers:
            follower.extend(token_ids)

    def _cut(self, num_completion: int, *, mod: str | None) -> None:
        length = self.prompt_len + num_completion
        self.edits.record(num_completion, (), forced=True, mod=mod)
        self.num_edits += 1
        self.num_forced -= self.forced[max(num_completion, self.num_given) :].count(1)
        self.dropped = ()
        del self.token_ids[length:]
        del self.forced[num_completion:]
        del self.forced_by[num_completion:]
        self.num_completion = num_completion
        self.num_cached = min(self.num_cached, length)
        if self.tracer is not None:
            self.tracer.edited(num_completion, (), mod, forced=True)
        for follower in self.followers:
            follower.cut(num_completion)


def _record(given: Given, edits: EditLog) -> None:
    """Record that tokens were added, those of one source together."""
    kept = 0
    sources = zip(given.forced_by, given.token_ids, strict=True)
    for mod, tokens in groupby(sources, key=itemgetter(0)):
        added = tuple(token_id for _, token_id in tokens)
        edits.record(kept, added, forced=mod is not None, mod=mod)
        kept += len(added)


def has_ended(state: RequestState) -> bool:
    """True if the last token of a completion ends it."""
    if not state.num_completion:
        return False
    ends = state.forced_eos_ids if state.forced[-1] else state.eos_ids
    return state.token_ids[-1] in ends


def until_end(token_ids: Sequence[int], eos_ids: Collection[int]) -> tuple[int, ...]:
    """Drop the tokens after the first end-of-sequence token."""
    for i, token_id in enumerate(token_ids):
        if token_id in eos_ids:
            return tuple(token_ids[: i + 1])
    return tuple(token_ids)

"""The state of one request. No arrays, no text: token ids and counters only.

It lives in the SDK, not in the engine, so that the test harness and the engine follow the same
rules: both move this state and read what it says.
"""

from collections.abc import Collection, Sequence

from concordance_shared import ConcordanceError, FinishReason, ToolCall
from msgspec import Struct


class Change(Struct, frozen=True):
    """The completion became its first `kept` tokens followed by `added`."""

    kept: int
    added: tuple[int, ...]
    forced: bool
    mod: str | None = None  # the mod that forced or backtracked; `None` for a sampled token


class RequestState:
    """One request, from admission to its last token.

    `token_ids` is the truth, prompt first, and the KV cache trails behind it with `num_cached`:
    the next forward pass reads `token_ids[num_cached:]`. That is the prompt at first, one token
    in the steady state, several after a mod forced some, and the changed tail after tokens were
    taken back.

    Invariants: `0 <= num_cached <= len(token_ids)`; `num_completion <= max_tokens` unless a mod
    set the whole output; no token but the last ends a sequence, except where a mod forced more
    behind it.
    """

    def __init__(
        self,
        request_id: str,
        prompt_ids: Sequence[int],
        *,
        max_tokens: int,
        eos_ids: Collection[int] = (),
        hold: int | None = 0,
        keeps_journal: bool = False,
    ) -> None:
        """Make the state of a request that has not begun.

        Args:
            request_id: Names the request in events, messages and logs.
            prompt_ids: Token ids of the prompt, at least one.
            max_tokens: The completion's budget: sampled and forced tokens together.
            eos_ids: Tokens that end the completion.
            hold: How many of the last tokens are not shown yet, since a mod may take them back;
                `None` shows nothing before the end.
            keeps_journal: Whether to write down every change of the completion.
        """
        self.request_id = request_id
        self.token_ids = list(prompt_ids)
        self.prompt_len = len(self.token_ids)
        self.max_tokens = max_tokens
        self.eos_ids = frozenset(eos_ids)
        self.hold = hold
        self.num_cached = 0
        self.num_released = 0  # completion tokens that were shown and cannot be taken back
        self.num_unchanged = 0  # completion tokens that are as they were when this was last set
        self.num_sampled = 0  # draws of the sampler that a mod or the completion saw
        self.num_forced = 0
        self.num_taken_back = 0
        self.num_edits = 0  # changes of the completion other than a sampled token
        self.forced = bytearray()  # per token of the completion: 1 where a mod put it there
        self.journal: list[Change] | None = [] if keeps_journal else None
        self.finish_reason: FinishReason | None = None
        self.tool_calls: tuple[ToolCall, ...] = ()
        self.error: ConcordanceError | None = None

    @property
    def num_completion(self) -> int:
        """How many tokens the completion has; also the `step` of the position that comes next."""
        return len(self.token_ids) - self.prompt_len

    @property
    def completion_ids(self) -> list[int]:
        """The completion's token ids, as a copy."""
        return self.token_ids[self.prompt_len :]

    @property
    def num_unread(self) -> int:
        """How many tokens the next forward pass has to read before the next one can be sampled.

        At least one, even if the cache covers them all: the logits come from reading.
        """
        return max(len(self.token_ids) - self.num_cached, 1)

    @property
    def room(self) -> int:
        """How many tokens the completion may still grow by."""
        return max(self.max_tokens - self.num_completion, 0)

    @property
    def is_finished(self) -> bool:
        """Whether the request has ended."""
        return self.finish_reason is not None

    def replace_prompt(self, prompt_ids: Sequence[int]) -> None:
        """Put another prompt in place of the one that was not read yet."""
        self.token_ids[: self.prompt_len] = prompt_ids
        self.prompt_len = len(prompt_ids)
        self.num_cached = 0

    def append(
        self, token_ids: Sequence[int], *, forced: bool, mod: str | None = None
    ) -> tuple[int, ...]:
        """Add tokens to the completion; return those that had room.

        Tokens after an end-of-sequence token, or beyond the budget, are dropped.
        """
        added = self._until_end(token_ids)[: self.room]
        self._extend(added, forced=forced, mod=mod)
        return added

    def backtrack(self, n: int, *, mod: str | None = None) -> None:
        """Remove the last `n` tokens of the completion; the prompt stays."""
        assert 0 <= n <= self.num_completion
        self._cut(self.num_completion - n, mod=mod)
        self.num_taken_back += n

    def replace_completion(self, token_ids: Sequence[int], *, mod: str | None = None) -> None:
        """Make exactly these tokens the completion, whatever the budget."""
        self._cut(0, mod=mod)
        self._extend(self._until_end(token_ids), forced=True, mod=mod)

    def release(self) -> None:
        """Count as shown what no mod can take back any more."""
        if self.hold is not None:
            self.num_released = max(self.num_released, self.num_completion - self.hold)

    def finish(self, reason: FinishReason) -> None:
        """End the request; the first reason stands."""
        self.finish_reason = self.finish_reason or reason

    def fail(self, error: ConcordanceError) -> None:
        """End the request with an error, even if it had ended well."""
        self.error = self.error or error
        self.finish_reason = FinishReason.ERROR

    def _extend(self, token_ids: tuple[int, ...], *, forced: bool, mod: str | None) -> None:
        if self.journal is not None:
            self.journal.append(Change(self.num_completion, token_ids, forced, mod))
        self.token_ids.extend(token_ids)
        self.forced.extend((b"\1" if forced else b"\0") * len(token_ids))
        self.num_forced += len(token_ids) if forced else 0
        self.num_edits += forced

    def _cut(self, num_completion: int, *, mod: str | None) -> None:
        if self.journal is not None:
            self.journal.append(Change(num_completion, (), forced=True, mod=mod))
        length = self.prompt_len + num_completion
        self.num_edits += 1
        self.num_forced -= self.forced[num_completion:].count(1)
        del self.token_ids[length:]
        del self.forced[num_completion:]
        self.num_cached = min(self.num_cached, length)
        self.num_unchanged = min(self.num_unchanged, num_completion)

    def _until_end(self, token_ids: Sequence[int]) -> tuple[int, ...]:
        for i, token_id in enumerate(token_ids):
            if token_id in self.eos_ids:
                return tuple(token_ids[: i + 1])
        return tuple(token_ids)

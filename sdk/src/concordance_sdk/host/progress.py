"""Ends requests whose mods act without end."""

from concordance_shared import Event, ModBudgetError

from concordance_sdk.host.request_state import RequestState

#: A request may backtrack over this many times its `max_tokens`.
MAX_BACKTRACK_RATIO = 8

#: Limit of consecutive decisions that lead to a completion seen before.
MAX_STALLED_DECISIONS = 64


class ProgressGuard:
    """Detects mods that keep a completion from advancing.

    A decision is progress if it leads to a completion that no decision led to before: a longer
    one than ever, or a shorter one with other tokens. Self-prompts and flows backtrack a lot and
    make progress, since each question is another completion; a mod that replaces "a" by "b" and
    "b" by "a" is not.
    """

    def __init__(self, state: RequestState) -> None:
        """Watch the state of a request."""
        self._state = state
        self._longest = 0  # length of the longest completion after a decision
        self._seen: set[int] = set()  # hashes of shorter completions after decisions
        self._num_stalled = 0  # consecutive decisions that led to a completion seen before

    def check(self, mod: str, event: Event) -> None:
        """Check the state after a decision.

        Args:
            mod: Name of the mod that decided.
            event: The event that it decided.

        Raises:
            ModBudgetError: The request exceeds a limit.
        """
        state = self._state
        self._num_stalled = 0 if self._is_new() else self._num_stalled + 1
        if self._num_stalled >= MAX_STALLED_DECISIONS:
            reason = f"{self._num_stalled} decisions in a row led to nothing new"
            remedy = "limit how often it backtracks to one position"
        elif state.num_backtracked > MAX_BACKTRACK_RATIO * state.max_tokens:
            reason = (
                f"mods backtracked {state.num_backtracked} tokens, more than "
                f"{MAX_BACKTRACK_RATIO} x max_tokens ({state.max_tokens})"
            )
            remedy = "backtrack less, or give the request a larger max_tokens"
        else:
            return
        raise ModBudgetError(
            f"mod {mod!r} keeps the completion from advancing: {reason}, the last at "
            f"{type(event).__name__} (step {event.step}); {remedy}",
            mod=mod,
            event=type(event).__name__,
            step=event.step,
        )

    def _is_new(self) -> bool:
        if self._state.num_completion > self._longest:
            self._longest = self._state.num_completion
            return True
        completion = hash(tuple(self._state.completion_ids))
        is_new = completion not in self._seen
        self._seen.add(completion)
        return is_new

"""Log-probabilities of the tokens that a step samples."""

from concordance_shared import Added, ForwardPass


class SampledLogprobs:
    """The log-probability of each sampled token, under the logits that the script received.

    These are the model's, as the mods before the script left them: before the step's own
    constraint, bias and temperature. Computing one copies one number from the device.
    """

    def __init__(self) -> None:
        """Start without a token."""
        self._next: ForwardPass | None = None
        self._by_step: dict[int, float] = {}

    def forward_pass(self, event: ForwardPass) -> None:
        """Keep the logits of the next position."""
        self._next = event

    def added(self, event: Added) -> None:
        """Compute the log-probability of a token that was sampled from these logits."""
        before, self._next = self._next, None
        for step in range(event.step, event.step + len(event.added_tokens)):
            self._by_step.pop(step, None)
        if before and not event.forced and before.step == event.step:
            (token_id,) = event.added_tokens
            self._by_step[event.step] = before.logits.logprob(token_id)

    def of(self, begin: int, end: int) -> tuple[float | None, ...]:
        """The log-probabilities of some steps; `None` for tokens that were not sampled."""
        return tuple(self._by_step.get(step) for step in range(begin, end))

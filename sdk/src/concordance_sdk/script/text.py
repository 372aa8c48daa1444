"""What a step of a script produced: its text, with its tokens and what is known about them."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any


class EndedBy(StrEnum):
    """Why a step that generates has ended.

    Attributes:
        MODEL: The model generated an end-of-sequence token.
        LENGTH: The token budget of the request is spent, or has no room for the step.
        UNTIL: The text of `until` appeared, or its function returned True.
        SENTENCES: The number of sentences is complete.
        TOKENS: The number of tokens is reached.
        CONSTRAINT: The constrained text is complete.
        SCRIPT: The script determined the text.

    Examples:
        >>> EndedBy("model") is EndedBy.MODEL
        True
    """

    MODEL = "model"
    LENGTH = "length"
    UNTIL = "until"
    SENTENCES = "sentences"
    TOKENS = "tokens"
    CONSTRAINT = "constraint"
    SCRIPT = "script"


class Text(str):
    """The text that a step produced. A string with further attributes.

    Attributes:
        token_ids: Its tokens, without an end-of-sequence token.
        value: The value of a constrained text, such as parsed JSON; the text itself without a
            constraint.
        ended_by: Why the step ended.
        probabilities: Of `choose`: the probability of each text, in their order; they sum to 1.

    Examples:
        >>> text = Text("no", token_ids=(110, 111))
        >>> text == "no", text.value, text.token_ids
        (True, 'no', (110, 111))
    """

    token_ids: tuple[int, ...]
    value: Any
    ended_by: EndedBy
    probabilities: tuple[float, ...]
    _logprobs: tuple[float | None, ...] | None

    def __new__(
        cls,
        text: str,
        *,
        token_ids: Sequence[int] = (),
        logprobs: Sequence[float | None] | None = None,
        value: Any = None,
        ended_by: EndedBy = EndedBy.SCRIPT,
        probabilities: Sequence[float] = (),
    ) -> "Text":
        """Make a string with attributes; `value` is the text unless given."""
        made = super().__new__(cls, text)
        made.token_ids = tuple(token_ids)
        made._logprobs = None if logprobs is None else tuple(logprobs)
        made.value = text if value is None else value
        made.ended_by = ended_by
        made.probabilities = tuple(probabilities)
        return made

    @property
    def logprobs(self) -> tuple[float | None, ...]:
        """The log-probability of each token, in nats; `None` for a token that was not sampled.

        Raises:
            ValueError: The model sampled the text, and the step was not made with `logprobs=True`.
        """
        if self._logprobs is not None:
            return self._logprobs
        if self.ended_by != EndedBy.SCRIPT and self.token_ids:
            raise ValueError(
                "the log-probabilities of this text were not computed: pass logprobs=True to the "
                "step, as in run.generate(logprobs=True)"
            )
        return (None,) * len(self.token_ids)

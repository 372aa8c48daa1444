"""What the executor and the engine report of a request."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Event:
    """An event as a mod receives it."""

    name: str
    step: int
    tokens: tuple[int, ...] = ()  # the prompt, the sampled token, or the added tokens
    forced: bool = False
    max_steps: int = 0
    reason: str = ""
    logits: Any = None  # the row, or None if the mod does not read it
    prompt_logprobs: Any = None  # of all tokens of the prompt but the first, if a mod asked
    logprob: float | None = None  # of the sampled token, or None if the mod does not read it
    place: tuple = (None, None, False)  # channel, recipient, if a header is next

    def without_logits(self):
        return (
            self.name,
            self.step,
            self.tokens,
            self.forced,
            self.max_steps,
            self.reason,
            self.place,
        )


class Fault(Exception):  # noqa: N818  # not an error of the comparison
    """An error that ends a request."""

    def __init__(self, kind, mod=None, event=None, step=None):
        super().__init__(kind, mod, event, step)
        self.kind, self.mod, self.event, self.step = kind, mod, event, step


@dataclass
class Outcome:
    """The end of a request."""

    ids: list[int]
    text: str
    reason: str
    fault: Fault | None
    tools: tuple = ()
    reports: list = field(default_factory=list)  # (mod, step, data)
    prompt_tokens: int = 0
    forced: list = field(default_factory=list)  # per token: True if a mod forced it
    forced_tokens: int = 0
    backtracked_tokens: int = 0
    num_logprobs: int = 0  # tokens with an entry
    logprobs: Any = None  # function: index -> the row of log-probabilities
    sampled_logprobs: list | None = None  # per token; None for a forced one
    loops: list = field(default_factory=list)  # (begin, period, repeats, outcome, tries)
    margins: list = field(default_factory=list)  # of each draw: distance to another token

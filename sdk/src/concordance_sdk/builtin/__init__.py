"""Built-in mods: request them by name, contain them in a mod, or subclass them.

A server offers exactly these, each under its class's name in snake case: `StopAt` as `stop_at`.
Importing one registers nothing. To serve a variant, subclass it under another name:

    from concordance_sdk import mod
    from concordance_sdk.builtin import Replace

    @mod(name="lyon")
    class Lyon(Replace):
        find: str = "Paris"
        replacement: str = "Lyon"
"""

from concordance_sdk.builtin.avoid import Avoid
from concordance_sdk.builtin.bias_words import BiasWords
from concordance_sdk.builtin.greeting import Greeting
from concordance_sdk.builtin.inject import (
    InjectAfterReasoning,
    InjectAfterSentences,
    InjectAfterTokens,
    InjectAtStart,
)
from concordance_sdk.builtin.reasoning_budget import ReasoningBudget
from concordance_sdk.builtin.replace import Replace
from concordance_sdk.builtin.stop import StopAfterSentences, StopAt

__all__ = [
    "Avoid",
    "BiasWords",
    "Greeting",
    "InjectAfterReasoning",
    "InjectAfterSentences",
    "InjectAfterTokens",
    "InjectAtStart",
    "ReasoningBudget",
    "Replace",
    "StopAfterSentences",
    "StopAt",
]

"""Mods that are ready to use: contain them in yours, subclass them, or play them in tests.

They are marked and not registered: importing one adds nothing to what a server offers. Give one a
name of your own to have it served:

    from concordance_sdk import mod
    from concordance_sdk.builtin import Replace

    @mod(name="lyon")
    class Lyon(Replace):
        find: str = "Paris"
        replacement: str = "Lyon"
"""

from concordance_sdk.builtin.avoid import Avoid
from concordance_sdk.builtin.bias_words import BiasWords
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
    "InjectAfterReasoning",
    "InjectAfterSentences",
    "InjectAfterTokens",
    "InjectAtStart",
    "ReasoningBudget",
    "Replace",
    "StopAfterSentences",
    "StopAt",
]

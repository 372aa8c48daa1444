"""Mods that are ready to use: contain them in yours, subclass them, or play them in tests.

They are marked and not registered: importing one adds nothing to what a server offers. Give one a
name of your own to have it served:

    from concordance_sdk import mod
    from concordance_sdk.ready import Replace

    @mod(name="lyon")
    class Lyon(Replace):
        find: str = "Paris"
        replacement: str = "Lyon"
"""

from concordance_sdk.ready.avoid import Avoid
from concordance_sdk.ready.inject import (
    InjectAfterReasoning,
    InjectAfterSentences,
    InjectAfterTokens,
    InjectAtStart,
)
from concordance_sdk.ready.reasoning_budget import ReasoningBudget
from concordance_sdk.ready.replace import Replace
from concordance_sdk.ready.steer_towards import SteerTowards
from concordance_sdk.ready.stop import StopAfterSentences, StopAt

__all__ = [
    "Avoid",
    "InjectAfterReasoning",
    "InjectAfterSentences",
    "InjectAfterTokens",
    "InjectAtStart",
    "ReasoningBudget",
    "Replace",
    "SteerTowards",
    "StopAfterSentences",
    "StopAt",
]

"""Tools for the text of a completion: follow it as it changes, search it, rewrite its end.

All of them are plain state to use in a class mod; `concordance_sdk.builtin` has mods built from
them.
"""

from concordance_sdk.text.completion_text import CompletionText, Cut
from concordance_sdk.text.phrase_ban import PhraseBan
from concordance_sdk.text.phrases import PhraseMatch, PhraseWatch, replace_last
from concordance_sdk.text.reasoning import ReasoningSpan
from concordance_sdk.text.sentences import SentenceCount
from concordance_sdk.text.word_bias import WordBias

__all__ = [
    "CompletionText",
    "Cut",
    "PhraseBan",
    "PhraseMatch",
    "PhraseWatch",
    "ReasoningSpan",
    "SentenceCount",
    "WordBias",
    "replace_last",
]

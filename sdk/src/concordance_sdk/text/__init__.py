"""What mods do with text: read it while it grows, find phrases in it, rewrite its end.

Everything here is plain state for use in a class mod of one's own; `concordance_sdk.builtin` has
mods made of it.
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

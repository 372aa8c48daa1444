"""The tokens of a model that structure messages, and are not content."""

from concordance_inference.harmony.vocabulary import harmony_tokens_of
from concordance_inference.models.tokenizer import ModelTokenizer
from concordance_inference.reasoning import REASONING_TAGS, content_marks
from concordance_inference.tools.layouts import LAYOUTS

#: The characters that the names of marks begin and end with.
_BEGINS, _ENDS = ("<", "[", "◁"), (">", "]", "▷")


def control_ids(tokenizer: ModelTokenizer) -> frozenset[int]:
    """Return the special tokens, and the added ones that mark reasoning or calls of tools.

    Many models have `<think>` or `<tool_call>` as a token that is added to the vocabulary and not
    special. Other added tokens, such as runs of spaces or the tags of HTML, are content.
    """
    added = tokenizer.hf.added_tokens_decoder
    marks = {token_id for token_id, token in added.items() if _is_mark(str(token.content))}
    return frozenset(tokenizer.special_token_ids | marks)


def header_ids(tokenizer: ModelTokenizer) -> frozenset[int]:
    """Return the control tokens after which the header of a message follows: those of Harmony."""
    tokens = harmony_tokens_of(tokenizer.hf)
    return frozenset({tokens.start, tokens.channel, tokens.constrain}) if tokens else frozenset()


def _is_mark(name: str) -> bool:
    is_tag = name.startswith(_BEGINS) and name.endswith(_ENDS)
    return is_tag and any(name in mark for mark in _MARKS)


_MARKS = (
    *(tag for tags in REASONING_TAGS for tag in tags),
    *content_marks(REASONING_TAGS),
    *(text for layout in LAYOUTS.values() for text in layout.texts),
)

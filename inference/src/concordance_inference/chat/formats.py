"""Chooses the chat format of a model."""

import logging

from concordance_inference.chat.format import ChatFormat
from concordance_inference.chat.template import ChatTemplate
from concordance_inference.harmony.encoding import is_of_gpt_oss
from concordance_inference.harmony.format import HarmonyFormat
from concordance_inference.harmony.vocabulary import harmony_tokens_of
from concordance_inference.hosted_tools import HostedTools
from concordance_inference.models.tokenizer import ModelTokenizer

logger = logging.getLogger(__name__)


def chat_format_of(
    tokenizer: ModelTokenizer,
    *,
    context_length: int | None = None,
    header_guard: bool = True,
    hosted_tools: HostedTools | None = None,
) -> ChatFormat:
    """Return Harmony for models with its tokens and vocabulary, otherwise the chat template.

    Args:
        tokenizer: The model's tokenizer.
        context_length: Limit of a prompt, in tokens; `None` for no limit.
        header_guard: Mask logits so that each header of a Harmony completion can be parsed.
        hosted_tools: The tools that the server can run for it.
    """
    tokens = harmony_tokens_of(tokenizer.hf)
    if tokens is not None and is_of_gpt_oss(tokenizer.hf, tokens):
        return HarmonyFormat(
            tokenizer,
            tokens,
            context_length=context_length,
            header_guard=header_guard,
            hosted_tools=hosted_tools,
        )
    if tokens is not None:
        logger.warning(
            "this model has the special tokens of Harmony, but not the vocabulary of gpt-oss: its "
            "messages are rendered with its chat template, and its channels are not separated"
        )
    return ChatTemplate(tokenizer, context_length=context_length)

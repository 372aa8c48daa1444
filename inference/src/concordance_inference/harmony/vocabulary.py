"""The tokens that structure messages in Harmony."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec
from msgspec import Struct


class HarmonyTokens(Struct, frozen=True, kw_only=True, dict=True):
    """The ids of Harmony's structural tokens in a model's vocabulary.

        <|start|>assistant<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>...

    Attributes:
        start: `<|start|>`, begins the header of a message.
        channel: `<|channel|>`, precedes the channel in a header.
        constrain: `<|constrain|>`, precedes the type of the content in a header.
        message: `<|message|>`, ends a header; the content follows.
        end: `<|end|>`, ends a message that another one follows.
        return_: `<|return|>`, ends the last message of a completion.
        call: `<|call|>`, ends a message to a tool.
        end_of_text: `<|endoftext|>`, which some models write in place of `<|return|>`.
    """

    start: int
    channel: int
    constrain: int
    message: int
    end: int
    return_: int
    call: int
    end_of_text: int

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """The tokens that end a completion: those of assistant actions, and the end of text."""
        return frozenset({self.return_, self.call, self.end_of_text})

    @cached_property
    def closing(self) -> frozenset[int]:
        """The tokens that end a message."""
        return self.stop_ids | {self.end}

    @cached_property
    def all(self) -> frozenset[int]:
        """The ids of all of them."""
        return frozenset(msgspec.structs.astuple(self))


#: The name of each token, by its field.
NAMES = {field: f"<|{field.rstrip('_')}|>" for field in HarmonyTokens.__struct_fields__} | {
    "end_of_text": "<|endoftext|>"
}


def harmony_tokens(special_ids: Mapping[str, int]) -> HarmonyTokens | None:
    """Return Harmony's tokens in a vocabulary; `None` if the model does not speak Harmony.

    Args:
        special_ids: The ids of the special tokens, by name.

    Examples:
        >>> harmony_tokens({"<|start|>": 7})
    """
    if not all(name in special_ids for name in NAMES.values()):
        return None
    return HarmonyTokens(**{field: special_ids[name] for field, name in NAMES.items()})


def harmony_tokens_of(tokenizer: Any) -> HarmonyTokens | None:
    """Return Harmony's tokens among the added ones of a `transformers` tokenizer."""
    added: Mapping[int, Any] = tokenizer.added_tokens_decoder
    return harmony_tokens({str(token.content): token_id for token_id, token in added.items()})

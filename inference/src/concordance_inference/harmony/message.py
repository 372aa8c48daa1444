"""A message in Harmony, and its token ids.

    <|start|>assistant to=functions.f<|channel|>commentary <|constrain|>json<|message|>{}<|call|>

Only the structure is made of control tokens: names of them in a text are text.
"""

import re
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from concordance_inference.harmony.vocabulary import HarmonyTokens

#: Encodes a text, in which names of special tokens become the tokens.
Encode = Callable[[str], list[int]]

#: Within the name of a special token, after its first two characters. There is a border between
#: two words of the vocabulary's pattern, which takes all of a run of punctuation into one word.
_IN_NAME = re.compile(r"(?<=<\|)(?=[a-z])")


class HarmonyMessage(Struct, frozen=True, kw_only=True):
    """A message.

    Attributes:
        author: `system`, `developer`, `user`, `assistant`, or the name of a tool.
        content: The text.
        channel: `analysis`, `commentary` or `final`.
        recipient: The tool that it is sent to; `assistant` for the result of a tool.
        content_type: The type of the content, such as `json`.
        second_part: A second part of the content, which is tokenized apart.
    """

    author: str
    content: str
    channel: Literal["analysis", "commentary", "final"] | None = None
    recipient: str | None = None
    content_type: str | None = None
    second_part: str = ""

    @property
    def is_call(self) -> bool:
        """True if it calls a tool."""
        return self.author == "assistant" and self.recipient is not None


def header_ids(message: HarmonyMessage, tokens: HarmonyTokens, encode: Encode) -> list[int]:
    """Return the token ids of a message up to its content."""
    recipient = f" to={message.recipient}" if message.recipient else ""
    ids = [tokens.start, *plain_ids(message.author + recipient, encode)]
    if message.channel:
        ids += [tokens.channel, *encode(message.channel)]
    if message.content_type:
        ids += [*encode(" "), tokens.constrain, *plain_ids(message.content_type, encode)]
    return [*ids, tokens.message]


def end_id(message: HarmonyMessage, tokens: HarmonyTokens) -> int:
    """Return the token that ends a message in a prompt."""
    return tokens.call if message.is_call else tokens.end


def plain_ids(text: str, encode: Encode) -> list[int]:
    """Return the token ids of a text in which names of special tokens are text.

    It is cut within each name, where the tokenizer never merges.
    """
    return [token_id for part in _IN_NAME.split(text) for token_id in encode(part)]

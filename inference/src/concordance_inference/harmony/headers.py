"""The headers that a completion of a request may have, as a trie of token ids.

Every header is written in the forms that gpt-oss writes, with the model's own tokenization:

    <|channel|>analysis<|message|>
    <|channel|>commentary to=functions.NAME <|constrain|>json<|message|>
     to=functions.NAME<|channel|>commentary <|constrain|>json<|message|>
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from concordance_inference.harmony.vocabulary import HarmonyTokens

#: What precedes the name of a function in the recipient of a call.
FUNCTIONS = "functions."

#: Texts and structural tokens of a header, in order.
_Parts = tuple[str | int, ...]

#: What a message is: its channel, a call of a tool, or one with a header that is not legal.
Kind = Literal["analysis", "commentary", "final", "call", "other"]


class Recipient(Struct, frozen=True, kw_only=True):
    """A tool that a message may be sent to.

    Attributes:
        name: As headers have it, such as `functions.get_weather`.
        channel: The channel of its messages.
        content_types: How the type of the content may be written: as words, with
            `<|constrain|>` in front of the word for those in `constrained`.
    """

    name: str
    channel: Literal["analysis", "commentary"] = "commentary"
    content_types: tuple[str, ...] = ("json", "code")
    constrained: tuple[str, ...] = ("json",)


class LegalHeaders(Struct, frozen=True, kw_only=True):
    """What the header of a message may say.

    Attributes:
        channels: The channels of messages without a recipient.
        recipients: The tools that messages may be sent to.
    """

    channels: tuple[Literal["analysis", "commentary", "final"], ...] = ("analysis", "final")
    recipients: tuple[Recipient, ...] = ()


class Node(Struct, eq=False):
    """A place in a completion, and the places after each token that may be next.

    Attributes:
        following: The next place, by token id.
        kind: The message that it is in; `None` in a header and between messages.
    """

    following: "dict[int, Node]"
    kind: Kind | None = None


def header_trie(
    headers: LegalHeaders,
    tokens: HarmonyTokens,
    encode: Callable[[str], Sequence[int]],
    contents: Mapping[Kind, Node],
) -> Node:
    """Return the trie of headers, which begin after `<|start|>assistant`.

    Args:
        headers: What a header may say.
        tokens: The structural tokens.
        encode: Tokenizes text.
        contents: What follows the header of a message.
    """
    root = Node({})
    for kind, parts in _all_parts(headers, tokens):
        node = root
        for part in parts:
            for token_id in (part,) if isinstance(part, int) else encode(part):
                node = node.following.setdefault(token_id, Node({}))
        node.following[tokens.message] = contents[kind]
    return root


def _all_parts(headers: LegalHeaders, tokens: HarmonyTokens) -> Iterator[tuple[Kind, _Parts]]:
    for channel in headers.channels:
        yield channel, (tokens.channel, channel)
    for recipient in headers.recipients:
        for parts in _to(recipient, tokens):
            yield "call", parts


def _to(recipient: Recipient, tokens: HarmonyTokens) -> Iterator[_Parts]:
    """The headers of messages to a tool: the recipient follows the channel, or precedes it."""
    channel, to = recipient.channel, f" to={recipient.name}"
    types: list[tuple[str, *_Parts]] = [("",), *((f" {word}",) for word in recipient.content_types)]
    for word in recipient.constrained:
        types += [(" ", tokens.constrain, word), ("", tokens.constrain, word)]
    for first, *rest in types:
        yield (tokens.channel, f"{channel}{to}{first}", *rest)
        yield (to, tokens.channel, f"{channel}{first}", *rest)

"""The channel of a completion, from its whole list of tokens each time."""

from concordance_inference.harmony.channels import HarmonyChannels
from concordance_inference.harmony.place import START, after_text, after_token
from concordance_inference.harmony.vocabulary import HarmonyTokens
from concordance_sdk.channels import TagFormat

#: Harmony's tokens, of which the first ones are often forced; the last are rare.
HARMONY = {5: "start", 6: "channel", 7: "message", 40: "end", 41: "constrain"}
HARMONY |= {253: "return_", 254: "call", 255: "end_of_text"}

#: The texts of other tokens.
WORDS = ["final", "analysis", "commentary", " to=f", "a", "b", " ", "assistant"]

#: Tags as one token, and in parts.
_TAG_PARTS = {5: "<think>", 6: "</think>", 7: "</th", 40: "ink>", 41: "<", 97: "think>\n"}
_TEXTS = ["a", "b", "ab", " ", "\n", "<", "é"]

KINDS = ("harmony", "tags", "opened tags")

#: White space after the reasoning that is no content.
_MAX_SPACE = 256


def piece(kind, token_id):
    """The bytes of a token."""
    if kind == "harmony":
        name = HARMONY.get(token_id)
        return (f"<|{name.rstrip('_')}|>" if name else WORDS[token_id % len(WORDS)]).encode()
    return _TAG_PARTS.get(token_id, _TEXTS[token_id % len(_TEXTS)]).encode()


def format_of(kind, world):
    """The format for the engine; `None` without channels."""
    if not kind:
        return None
    functions = {"token_bytes": world.piece, "encode": lambda text: list(text.encode())}
    if kind == "harmony":
        tokens = HarmonyTokens(**{name: token_id for token_id, name in HARMONY.items()})
        return HarmonyChannels(tokens, **functions)
    tags = ("<think>", "</think>")
    return TagFormat([tags], opened=tags if kind == "opened tags" else None, **functions)


def place_of(kind, ids, world):
    """The channel, the recipient, and whether a header is next, at the end of a completion."""
    if not kind:
        return None, None, False
    if kind == "harmony":
        return _harmony(ids, world)
    found = _split(kind, b"".join(map(world.piece, ids)).decode(errors="ignore"))
    channel = {"undecided": None, "reasoning": "analysis", "content": "final"}[found[0]]
    return channel, None, channel is None


def content_of(kind, ids, world):
    """Where content is in the text of a completion: pairs of characters."""
    text = [
        b"".join(map(world.piece, ids[:i])).decode(errors="ignore") for i in range(len(ids) + 1)
    ]
    if kind == "harmony":
        spans = []
        for i in range(len(ids)):
            if all(_is_content(_harmony(ids[:n], world)) for n in (i, i + 1)):
                if spans and spans[-1][1] == i:
                    spans[-1][1] = i + 1
                else:
                    spans.append([i, i + 1])
        return [(len(text[begin]), len(text[end])) for begin, end in spans]
    kind, begin = _split(kind, text[-1])
    return [(begin, len(text[-1]))] if kind == "content" else []


def _is_content(place):
    channel, recipient, in_header = place
    return (
        not in_header and channel != "analysis" and recipient in (None, "all", "user", "assistant")
    )


def _split(kind, text):
    """If a text is in its reasoning or its content, and the character where that begins."""
    start = len(text) - len(text.lstrip(" \t\n\r"))
    rest = text[start:]
    is_opened = kind == "opened tags"
    if not is_opened and not rest.startswith("<think>"):
        return ("undecided" if "<think>".startswith(rest) else "content"), 0 if rest else start
    begin = 0 if is_opened else start + len("<think>")
    end = text.find("</think>", begin)
    if end < 0:
        return "reasoning", begin
    after = text[end + len("</think>") :]
    space = after[:_MAX_SPACE]
    return "content", len(text) - len(after) + len(space) - len(space.lstrip())


def _harmony(ids, world):
    place, tokens = START, format_of("harmony", world).tokens
    for token_id in ids:
        if token_id in HARMONY:
            place = after_token(place, token_id, tokens)
        else:
            place = after_text(place, world.piece(token_id), tokens)
    if place.kind != "content" or place.header.is_of_other:
        return None, None, True
    return place.header.channel, place.header.recipient, False

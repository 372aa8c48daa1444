"""The header guard, from the whole list of tokens at each position."""

import numpy as np
from concordance_inference.harmony.header_guard import HeaderGuard
from concordance_inference.harmony.headers import LegalHeaders, Recipient

from naive.channels import HARMONY, WORDS, format_of

_BY_NAME = {name: token_id for token_id, name in HARMONY.items()}
_START, _CHANNEL, _MESSAGE = (_BY_NAME[name] for name in ("start", "channel", "message"))
_CLOSING = {_BY_NAME[name] for name in ("end", "return_", "call", "end_of_text")}

#: The tokens that may end a message.
_ENDS = {
    "analysis": ["end"],
    "commentary": ["end"],
    "final": ["return_"],
    "call": ["call"],
    "other": ["end", "return_", "call"],
}


def encode(text):
    """The tokens of a text that consists of words of the vocabulary."""
    ids = []
    while text:
        word = max((word for word in WORDS if text.startswith(word)), key=len)
        ids.append(_id_of(word))
        text = text[len(word) :]
    return ids


def _id_of(word):
    """A token with the text of a word that is no structural token."""
    index = WORDS.index(word)
    return next(i for i in range(index + 16, 250, len(WORDS)) if i not in HARMONY)


def rules_of(guard, world):
    """The rules for the engine; `None` for a request without a guard."""
    if not guard:
        return None
    headers = LegalHeaders(
        channels=tuple(guard["channels"]),
        recipients=tuple(
            Recipient(name=name, content_types=("a",), constrained=("b",))
            for name in guard["recipients"]
        ),
    )
    tokens = format_of("harmony", world).tokens
    return HeaderGuard(headers, tokens, encode, HARMONY)


def masked(row, guard, prompt, ids):
    """A row of logits with the tokens that may follow a list; as it is if none of them may."""
    legal = _legal(guard, prompt, ids) if guard else None
    if legal is None:
        return row
    kept = np.where([i in legal for i in range(len(row))], row, -np.inf)
    return kept if np.isfinite(kept).any() else row


def _legal(guard, prompt, ids):
    """The tokens that may follow a prompt and a completion; `None` for all."""
    headers = _headers(guard)
    where, header, kind = "unknown", (), None
    tokens = [*prompt, *ids] if _START in prompt else ids
    for token_id in tokens:
        if token_id == _START:
            where, header = "header", ()
        elif where == "content" and token_id not in {*_CLOSING, _CHANNEL}:
            continue
        elif where == "header" and _begins((*header, token_id), headers):
            header = (*header, token_id)
            where, kind = ("content", headers[header]) if header in headers else (where, None)
        elif token_id in _CLOSING:
            where = "between"
        elif token_id == _MESSAGE:
            where, kind = "content", "other"
        else:
            where = "unknown"
    if where == "content":
        return (set(range(4096)) - set(HARMONY)) | {_BY_NAME[name] for name in _ENDS[kind]}
    if where == "header":
        return {whole[len(header)] for whole in headers if whole[: len(header)] == header}
    return {_START} if where == "between" else None


def _begins(header, headers):
    return any(whole[: len(header)] == header for whole in headers)


def _headers(guard):
    """Each legal header, with the tokens after `<|start|>`, and the kind of its message."""
    role, constrain = encode("assistant"), _BY_NAME["constrain"]
    headers = {}
    for name in guard["channels"]:
        headers[*role, _CHANNEL, *encode(name), _MESSAGE] = name
    for name in guard["recipients"]:
        to, where = encode(f" to={name}"), encode("commentary")
        space, a, b = encode(" "), encode("a"), encode("b")
        for end in ([], [*space, *a], [*space, constrain, *b], [constrain, *b]):
            headers[*role, _CHANNEL, *where, *to, *end, _MESSAGE] = "call"
            headers[*role, *to, _CHANNEL, *where, *end, _MESSAGE] = "call"
    return headers

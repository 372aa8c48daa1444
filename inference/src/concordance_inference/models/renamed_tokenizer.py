"""A copy of a tokenizer whose control tokens have secret names.

The name of a control token in a text is plain text to it. Where a control token is meant, its
secret name is put in the place of its name, so one call encodes the whole text and all else stays
as the tokenizer has it: merges, added spaces, other added tokens.
"""

import json
import re
import secrets
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer

#: Private-use characters of planes 15 and 16.
_FIRST, _PLANE, _PER_PLANE = 0xF0000, 0x10000, 0xFFFE


class RenamedTokenizer:
    """Encodes texts in which only marked spans are control tokens. Thread-safe."""

    def __init__(self, tokenizer: Any, names: Collection[str]) -> None:
        """Copy a tokenizer.

        Args:
            tokenizer: A tokenizer of the package `tokenizers`.
            names: The names of the control tokens.

        Raises:
            ValueError: The tokenizer cannot be copied, or the copy has other ids.
        """
        self._secrets = {name: secret_text(len(name)) for name in names}
        self._found = re.compile("|".join(map(re.escape, self._secrets.values())) or "(?!)")
        try:
            state = json.loads(tokenizer.to_str())
            added, hidden = state["added_tokens"], set(self._secrets.values())
            ids = [token["id"] for token in added]
            _rename(state, self._secrets)
            self._copy = Tokenizer.from_str(json.dumps(state))
        except Exception as exc:  # a part of it is written in Python, or of an unknown kind
            raise ValueError(f"the tokenizer cannot be copied: {exc}") from exc
        if [self._copy.token_to_id(token["content"]) for token in added] != ids:
            raise ValueError("a copy of the tokenizer has other token ids")
        renamed = [token for token in state["added_tokens"] if token["content"] in hidden]
        self._ids = frozenset(token["id"] for token in renamed)
        self._original = tokenizer if any(token["normalized"] for token in renamed) else None

    def encode(self, text: str, control: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
        """Return the token ids of a text, and the character at which each begins.

        Args:
            text: The text.
            control: The begins and ends of the control tokens.

        Raises:
            ValueError: The text has a secret name, by chance.
        """
        if self._found.search(text):
            raise ValueError("the text has the private-use characters of a secret name")
        marked = "".join(self._marked(text, self._matched(text, control)))
        encoded = self._copy.encode_batch([marked], add_special_tokens=False)[0]
        return list(encoded.ids), [begin for begin, _ in encoded.offsets]

    def _matched(self, text: str, control: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
        """The spans that the tokenizer makes control tokens of.

        A name that is found in the normalized text may need a space before it, as in old Llamas.
        """
        if self._original is None:
            return control
        encoded = self._original.encode_batch([text], add_special_tokens=False)[0]
        pairs = zip(encoded.ids, encoded.offsets, strict=True)
        found = [offsets for token_id, offsets in pairs if token_id in self._ids]
        begins = [begin for begin, _ in found]
        last = [bisect_left(begins, end) - 1 for _, end in control]  # which begins before the end
        return [
            (begin, end)
            for (begin, end), i in zip(control, last, strict=True)
            if i >= 0 and found[i][1] > begin
        ]

    def _marked(self, text: str, control: Sequence[tuple[int, int]]) -> Iterator[str]:
        done = 0
        for begin, end in control:
            yield text[done:begin]
            yield self._secrets[text[begin:end]]
            done = end
        yield text[done:]


def secret_text(length: int) -> str:
    """Random private-use characters."""
    return "".join(map(_private_use, (secrets.randbelow(2 * _PER_PLANE) for _ in range(length))))


def _private_use(i: int) -> str:
    plane, code = divmod(i, _PER_PLANE)
    return chr(_FIRST + plane * _PLANE + code)


def _rename(state: dict[str, Any], names: Mapping[str, str]) -> None:
    """Rename tokens in the serialized state of a tokenizer; their ids stay."""
    for token in state["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    model = state["model"]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    vocab = model["vocab"]
    if isinstance(vocab, list):  # Unigram: pieces and their logarithmic probabilities, by id
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in vocab]
        return
    renamed = {names.get(piece, piece): token_id for piece, token_id in vocab.items()}
    # An added token gets the next free id unless the vocabulary has it.
    added = {token["content"]: token["id"] for token in state["added_tokens"]}
    model["vocab"] = {**added, **renamed}
    if "merges" in model:
        model["merges"] = [merge for merge in model["merges"] if not _has_one_of(merge, names)]


def _has_one_of(merge: str | Sequence[str], names: Mapping[str, str]) -> bool:
    """True if a merge is of a renamed token, or makes one."""
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first in names or second in names or first + second in names

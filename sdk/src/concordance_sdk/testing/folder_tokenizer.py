"""A real model's tokenizer, read from a folder that holds its `tokenizer.json`.

Needs the package `tokenizers`, which the SDK does not depend on: it is imported when a tokenizer
is read.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from concordance_sdk.composed import ComposingEncoder
from concordance_sdk.detokenizer import Detokenizer
from concordance_sdk.token_bytes import TokenBytes

#: Where a model's folder may say which tokens end a completion, and under which key.
_ENDS = (
    ("generation_config.json", "eos_token_id"),
    ("config.json", "eos_token_id"),
    ("tokenizer_config.json", "eos_token"),
    ("special_tokens_map.json", "eos_token"),
)


class FolderTokenizer:
    """A tokenizer as the engine would use it: it adds no special tokens of its own accord.

    Attributes:
        vocab_size: Token ids are below this.
        eos_token_ids: The tokens that end a completion.
        special_token_ids: The tokens that stand for no text.

    Examples:
        A mod may do well on bytes and not on a vocabulary of words; so play it on both:

        >>> from concordance_sdk.testing import play
        >>> def test_on_a_real_vocabulary(greet, folder="~/models/SmolLM2-135M-Instruct"):
        ...     played = play(greet, says=" you", tokenizer=FolderTokenizer(folder))
        ...     played.expect_text("Greetings! you")
    """

    def __init__(self, folder: Path | str, *, eos_tokens: Sequence[str] = ()) -> None:
        """Read a tokenizer.

        Args:
            folder: A model's folder, with `tokenizer.json` in it, or that file.
            eos_tokens: The tokens that end a completion, as they are written; what the folder's
                configuration says if left out.

        Raises:
            ModuleNotFoundError: The package `tokenizers` is not installed.
            FileNotFoundError: There is no `tokenizer.json`.
            ValueError: It is not known which token ends a completion, or there is no such token.
        """
        path = Path(folder).expanduser()
        path = path if path.is_file() else path / "tokenizer.json"
        if not path.is_file():
            raise FileNotFoundError(f"{folder} is no model's folder: there is no {path.name} in it")
        self._tokenizer = _library().from_file(str(path))
        self.vocab_size: int = self._tokenizer.get_vocab_size()
        ends = tuple(eos_tokens) or _ends_said_in(path.parent)
        if not ends:
            raise ValueError(
                f"{path.parent} does not say which token ends a completion; say it with "
                "eos_tokens=[...]"
            )
        self.eos_token_ids = frozenset(self._id_of(end) for end in ends)
        added = self._tokenizer.get_added_tokens_decoder()
        special = {i for i, token in added.items() if token.special}
        self.special_token_ids = frozenset(special) | self.eos_token_ids
        self._token_bytes = TokenBytes(self._tokenizer)
        self._token_bytes.check([*range(self.vocab_size)])
        names = [str(token.content) for token in added.values()]
        self._composing = ComposingEncoder(self._own_encode, self._adds, names)

    def encode(self, text: str) -> list[int]:
        """Token ids that add exactly `text` behind other tokens.

        Special tokens are recognised where the text spells them out.
        """
        return self._composing.encode(text)

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Text of token ids, with or without the `special_token_ids`."""
        skipped = self.special_token_ids if skip_special_tokens else ()
        return self._token_bytes.decode(token_ids, skipped=skipped)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token adds behind other tokens; a special one adds its name.

        Raises:
            ValueError: The tokens of this vocabulary have no bytes of their own.
        """
        return self._token_bytes.of(token_id)

    def start_bytes(self, token_id: int) -> bytes:
        """The bytes that a token adds as the first one of a text.

        Raises:
            ValueError: The tokens of this vocabulary have no bytes of their own.
        """
        return self._token_bytes.at_start(token_id)

    def detokenizer(self, *, keeps_special: bool = False) -> Detokenizer:
        """A new incremental detokenizer.

        Args:
            keeps_special: Special tokens are part of the text, by their names.
        """
        return self._token_bytes.detokenizer(
            skipped=() if keeps_special else self.special_token_ids
        )

    def _own_encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _adds(self, token_ids: Sequence[int], text: str) -> bool:
        """Check that tokens add exactly a text behind other tokens."""
        if self._token_bytes.is_known:
            return b"".join(map(self._token_bytes.of, token_ids)) == text.encode()
        before = self._own_encode("a")
        return self.decode([*before, *token_ids]) == self.decode(before) + text

    def _id_of(self, end: int | str) -> int:
        token_id = end if isinstance(end, int) else self._tokenizer.token_to_id(end)
        if token_id is None or not 0 <= token_id < self.vocab_size:
            raise ValueError(f"the tokenizer has no token {end!r} to end a completion with")
        return token_id


def _library() -> Any:
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415  # the SDK does not depend on it
    except ImportError as exc:
        raise ModuleNotFoundError(
            "reading a model's tokenizer needs the package `tokenizers`: pip install tokenizers"
        ) from exc
    return Tokenizer


def _ends_said_in(folder: Path) -> tuple[int | str, ...]:
    """The tokens that end a completion, as the first file that names some says."""
    for name, key in _ENDS:
        path = folder / name
        said = msgspec.json.decode(path.read_bytes()).get(key) if path.is_file() else None
        if isinstance(said, dict):
            said = cast(dict[str, Any], said).get("content")
        if said is not None:
            return tuple(cast(list[int | str], said)) if isinstance(said, list) else (said,)
    return ()

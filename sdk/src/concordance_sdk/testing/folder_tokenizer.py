"""A real model's tokenizer, loaded from a folder with a `tokenizer.json`.

Needs the package `tokenizers`, which the SDK does not depend on; it is imported when a tokenizer is
loaded. Without a folder, the tokenizer is that of the installed default model, which the engine's
package offers as an entry point.
"""

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from concordance_sdk.composed import ComposingEncoder
from concordance_sdk.detokenizer import Detokenizer
from concordance_sdk.token_bytes import TokenBytes

#: Files and keys that may declare the end-of-sequence tokens.
_ENDS = (
    ("generation_config.json", "eos_token_id"),
    ("config.json", "eos_token_id"),
    ("tokenizer_config.json", "eos_token"),
    ("special_tokens_map.json", "eos_token"),
)


#: The entry point that returns the folder of the default model: its group and name.
_DEFAULT = ("concordance.tokenizers", "default")


class FolderTokenizer:
    """A tokenizer as the engine uses it: it never adds special tokens.

    Attributes:
        vocab_size: The number of token ids.
        eos_token_ids: The end-of-sequence tokens, which end a completion.
        special_token_ids: Tokens that are not part of a text.

    Examples:
        A mod can work with byte tokens and fail with tokens of whole words, so test it with both:

        >>> from concordance_sdk.testing import play
        >>> def test_on_a_real_vocabulary(greet):
        ...     played = play(greet, says=" you", tokenizer=FolderTokenizer())
        ...     played.expect_text("Greetings! you")
    """

    def __init__(self, folder: Path | str | None = None, *, eos_tokens: Sequence[str] = ()) -> None:
        """Load a tokenizer.

        Args:
            folder: A model's folder that contains `tokenizer.json`, or that file; by default the
                embedded model's, which is converted into the cache folder if it is not there yet.
            eos_tokens: The names of the end-of-sequence tokens; by default those that the folder's
                configuration declares.

        Raises:
            ModuleNotFoundError: The package `tokenizers` is not installed; or no folder is given
                and no installed package has a default model.
            FileNotFoundError: There is no `tokenizer.json`.
            ValueError: No end-of-sequence token is declared, or the tokenizer does not have it.
        """
        path = _default_folder() if folder is None else Path(folder).expanduser()
        path = path if path.is_file() else path / "tokenizer.json"
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder or path.parent} is not a model's folder: it has no {path.name}"
            )
        self._tokenizer = _library().from_file(str(path))
        self.vocab_size: int = self._tokenizer.get_vocab_size()
        ends = tuple(eos_tokens) or _declared_eos(path.parent)
        if not ends:
            raise ValueError(
                f"{path.parent} declares no end-of-sequence token; name it with eos_tokens=[...]"
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
        """Return token ids that add exactly `text` after other tokens.

        The names of special tokens are recognized in the text.
        """
        return self._composing.encode(text)

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Decode token ids, with or without the `special_token_ids`."""
        skipped = self.special_token_ids if skip_special_tokens else ()
        return self._token_bytes.decode(token_ids, skipped=skipped)

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes that a token adds after other tokens; for a special one, its name.

        Raises:
            ValueError: The tokens of this vocabulary are not byte sequences.
        """
        return self._token_bytes.of(token_id)

    def start_bytes(self, token_id: int) -> bytes:
        """Return the bytes that a token adds at the start of a text.

        Raises:
            ValueError: The tokens of this vocabulary are not byte sequences.
        """
        return self._token_bytes.at_start(token_id)

    def detokenizer(self, *, keeps_special: bool = False) -> Detokenizer:
        """Return a new incremental detokenizer.

        Args:
            keeps_special: True if special tokens are part of the text, by name.
        """
        return self._token_bytes.detokenizer(
            skipped=() if keeps_special else self.special_token_ids
        )

    def _own_encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _adds(self, token_ids: Sequence[int], text: str) -> bool:
        """True if tokens add exactly a text after other tokens."""
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


def _default_folder() -> Path:
    found = [*importlib.metadata.entry_points(group=_DEFAULT[0], name=_DEFAULT[1])]
    if not found:
        raise ModuleNotFoundError(
            "FolderTokenizer() without a folder takes the tokenizer of the embedded model, which "
            "the package `concordance-inference` brings; install that, or give a folder with a "
            "tokenizer.json"
        )
    return cast(Path, found[0].load()())


def _declared_eos(folder: Path) -> tuple[int | str, ...]:
    """Return the end-of-sequence tokens from the first file that declares any."""
    for name, key in _ENDS:
        path = folder / name
        value = msgspec.json.decode(path.read_bytes()).get(key) if path.is_file() else None
        if isinstance(value, dict):
            value = cast(dict[str, Any], value).get("content")
        if value is not None:
            return tuple(cast(list[int | str], value)) if isinstance(value, list) else (value,)
    return ()

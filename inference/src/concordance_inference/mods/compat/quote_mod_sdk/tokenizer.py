"""The model's tokenizer with the interface of `transformers`, which mods of `quote_mod_sdk` use."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
from concordance_sdk import Tokenizer

from concordance_inference.mods.compat.quote_mod_sdk.special_tokens import SpecialTokens

#: Options of a call that do not need the `transformers` tokenizer.
_OPTIONS = {"add_special_tokens", "truncation", "max_length", "return_tensors"}


class Encoding(dict[str, Any]):
    """A called tokenizer's result: `input_ids` and `attention_mask`, as keys or attributes."""

    def __getattr__(self, name: str) -> Any:
        """Return the value of a key."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class OlderTokenizer(SpecialTokens):
    """A tokenizer with the interface of `transformers`.

    It never adds special tokens, not even with `add_special_tokens=True`. Other attributes come
    from the wrapped tokenizer, or from its `transformers` tokenizer.
    """

    @property
    def modern(self) -> Tokenizer:
        """The wrapped tokenizer."""
        return self._tokenizer

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the wrapped tokenizer, or of its `transformers` tokenizer."""
        if name.startswith("__"):
            raise AttributeError(name)
        if self._hf is None or hasattr(self._tokenizer, name):
            return getattr(self._tokenizer, name)
        return getattr(self._hf, name)

    def __len__(self) -> int:
        return self._tokenizer.vocab_size

    def __contains__(self, token: str) -> bool:
        return token in self.get_vocab()

    # Text to token ids and back

    def encode(self, text: Any, text_pair: Any = None, *_: Any, **options: Any) -> Any:
        """Return the token ids of a text, without additional special tokens.

        Returns:
            A list, or with `return_tensors` an array of shape (1, tokens).
        """
        ids = self._tokenizer.encode(text)
        ids = [*ids, *(self._tokenizer.encode(text_pair) if text_pair else ())]
        ids = ids[: _longest(options)]
        return np.array([ids]) if options.get("return_tensors") else ids

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,  # noqa: FBT001, FBT002
        **options: Any,
    ) -> str:
        """Return the text of one or several token ids."""
        del options
        return self._tokenizer.decode(_ids(token_ids), skip_special_tokens=skip_special_tokens)

    def batch_decode(self, sequences: Iterable[Any], *args: Any, **options: Any) -> list[str]:
        """Return the texts of several lists of token ids."""
        return [self.decode(each, *args, **options) for each in sequences]

    def __call__(self, text: Any, text_pair: Any = None, *args: Any, **options: Any) -> Any:
        """Return the token ids of one or several texts, as `input_ids`.

        Calls with other options, such as padding, go to the `transformers` tokenizer.
        """
        if self._hf is not None and (text_pair or args or options.keys() - _OPTIONS):
            options["add_special_tokens"] = False
            return self._hf(text, text_pair, *args, **options)
        if isinstance(text, str):
            ids: Any = self.encode(text, **options)
            mask: Any = np.ones_like(ids).tolist()
        else:
            ids = [self.encode(each)[: _longest(options)] for each in text]
            mask = [[1] * len(each) for each in ids]
        is_array = isinstance(ids, np.ndarray)
        return Encoding(input_ids=ids, attention_mask=np.array(mask) if is_array else mask)

    encode_plus = batch_encode_plus = __call__

    def tokenize(self, text: str, **options: Any) -> list[str]:
        """Return the names of the tokens of a text."""
        del options
        return self.convert_ids_to_tokens(self.encode(text))

    # Tokens

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:  # noqa: FBT001, FBT002
        """Return the names of one or several token ids."""
        if not isinstance(ids, Iterable):
            return self._token_name(int(ids))
        skipped = self._tokenizer.special_token_ids if skip_special_tokens else ()
        return [self._token_name(i) for i in _ids(ids) if i not in skipped]

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Return the ids of one or several token names; the unknown token's id for other names."""
        if isinstance(tokens, str):
            return self.get_vocab().get(tokens, self.unk_token_id)
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Return the text of token names."""
        return self.decode(self.convert_tokens_to_ids(list(tokens)))

    def get_vocab(self) -> dict[str, int]:
        """Return token name -> id; the first id if several tokens have the same name."""
        return dict(self._vocab)

    vocab = property(get_vocab)

    @functools.cached_property
    def _vocab(self) -> dict[str, int]:
        vocab: dict[str, int] = {}
        for token_id in range(len(self)):
            if (name := self._token_name(token_id)) is not None:  # unused ids have no name
                vocab.setdefault(str(name), token_id)
        return vocab


def _longest(options: Mapping[str, Any]) -> int | None:
    """Return the length to truncate to, in tokens; `None` for no truncation."""
    return options.get("max_length") if options.get("truncation") else None


def _ids(token_ids: Any) -> list[int]:
    """Return a flat list of token ids from a number, a list, an array, or a batch of one."""
    found = np.asarray(token_ids if not isinstance(token_ids, Iterator) else list(token_ids))
    return [int(token_id) for token_id in found.reshape(-1)]


@functools.lru_cache(8)
def older_tokenizer(tokenizer: Tokenizer) -> OlderTokenizer:
    """Wrap a tokenizer; cached, since other code uses the wrapper as a dictionary key."""
    return OlderTokenizer(tokenizer)


def tokenize(text: str, tokenizer: Any, *, add_special_tokens: bool = False) -> list[int]:
    """Return the token ids of a text, from a tokenizer or a function that returns `input_ids`.

    Raises:
        RuntimeError: There is no tokenizer, or it raised.
    """
    if tokenizer is None:
        raise RuntimeError("Tokenizer is required when calling tokenize().")
    try:
        if hasattr(tokenizer, "encode"):
            return _ids(tokenizer.encode(text, add_special_tokens=add_special_tokens))
        encoded = tokenizer(text)
    except Exception as exc:
        raise RuntimeError(f"Tokenizer failed to encode text: {exc}") from exc
    ids = cast(Any, encoded)["input_ids"] if isinstance(encoded, Mapping) else encoded
    return _ids(ids)

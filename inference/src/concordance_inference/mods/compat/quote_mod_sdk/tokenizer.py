"""The model's tokenizer with the methods and names that older mods use: those of `transformers`."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
from concordance_sdk import Tokenizer

#: What a call can be given that is answered here.
_OPTIONS = {"add_special_tokens", "truncation", "max_length", "return_tensors"}


class Encoding(dict[str, Any]):
    """What a called tokenizer gives: `input_ids` and `attention_mask`, by key or by name."""

    def __getattr__(self, name: str) -> Any:
        """What stands under a key."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class OlderTokenizer:
    """A tokenizer that also answers as those of `transformers` do.

    It never adds special tokens of its own accord, whatever is asked. What is not said here, the
    tokenizer itself answers, or that of `transformers` beneath it.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Answer for a tokenizer."""
        self._tokenizer = tokenizer
        self._hf: Any = getattr(tokenizer, "hf", None)

    @property
    def modern(self) -> Tokenizer:
        """The tokenizer itself."""
        return self._tokenizer

    def __getattr__(self, name: str) -> Any:
        """What else is asked, the tokenizer itself answers, or the one beneath it."""
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
        """Token ids of a text, without special tokens that it does not spell out.

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
        """Text of token ids, or of one."""
        del options
        return self._tokenizer.decode(_ids(token_ids), skip_special_tokens=skip_special_tokens)

    def batch_decode(self, sequences: Iterable[Any], *args: Any, **options: Any) -> list[str]:
        """Texts of several lists of token ids."""
        return [self.decode(each, *args, **options) for each in sequences]

    def __call__(self, text: Any, text_pair: Any = None, *args: Any, **options: Any) -> Any:
        """The token ids of a text, or of each of several, as `input_ids`.

        What else the tokenizer of `transformers` can be asked for, padding say, it answers itself.
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
        """How the tokens of a text are written."""
        del options
        return self.convert_ids_to_tokens(self.encode(text))

    # Tokens

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:  # noqa: FBT001, FBT002
        """How a token is written, or each of several."""
        if not isinstance(ids, Iterable):
            return self._written(int(ids))
        skipped = self._tokenizer.special_token_ids if skip_special_tokens else ()
        return [self._written(i) for i in _ids(ids) if i not in skipped]

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The id of a token, or of each of several; that of the unknown token for others."""
        if isinstance(tokens, str):
            return self.get_vocab().get(tokens, self.unk_token_id)
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text of tokens as they are written."""
        return self.decode(self.convert_tokens_to_ids(list(tokens)))

    def get_vocab(self) -> dict[str, int]:
        """The id of each token as it is written; of several written alike, the first."""
        return dict(self._vocab)

    vocab = property(get_vocab)

    @functools.cached_property
    def _vocab(self) -> dict[str, int]:
        vocab: dict[str, int] = {}
        for token_id in range(len(self)):
            if (written := self._written(token_id)) is not None:  # ids with no token have no name
                vocab.setdefault(str(written), token_id)
        return vocab

    def _written(self, token_id: int) -> Any:
        if self._hf is not None:
            return self._hf.convert_ids_to_tokens(token_id)
        return self.decode(token_id)

    # Special tokens

    @property
    def all_special_ids(self) -> list[int]:
        """The special tokens; where `transformers` knows, those that have a role."""
        said: Any = getattr(self._hf, "all_special_ids", self._tokenizer.special_token_ids)
        return sorted(int(token_id) for token_id in said)

    @property
    def all_special_tokens(self) -> list[str]:
        """How the special tokens are written."""
        return [str(self._written(token_id)) for token_id in self.all_special_ids]

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """How the special tokens of each role are written."""
        roles = {f"{role}_token": self._token_of(role) for role in ("bos", "eos", "unk", "pad")}
        return {role: token for role, token in roles.items() if token is not None}

    @property
    def eos_token_id(self) -> int | None:
        """The token that ends a completion; one of them, if there are several."""
        said = self._said("eos_token_id")
        ends = self._tokenizer.eos_token_ids
        return said if said in ends else min(ends, default=None)

    @property
    def bos_token_id(self) -> int | None:
        """The token that begins a text, if there is one."""
        return self._said("bos_token_id")

    @property
    def pad_token_id(self) -> int | None:
        """The token that fills up a batch, if there is one."""
        return self._said("pad_token_id")

    @property
    def unk_token_id(self) -> int | None:
        """The token for what no other stands for, if there is one."""
        return self._said("unk_token_id")

    @property
    def eos_token(self) -> str | None:
        """How the token is written that ends a completion."""
        return self._token_of("eos")

    @property
    def bos_token(self) -> str | None:
        """How the token is written that begins a text."""
        return self._token_of("bos")

    @property
    def pad_token(self) -> str | None:
        """How the token is written that fills up a batch."""
        return self._token_of("pad")

    @property
    def unk_token(self) -> str | None:
        """How the token is written for what no other stands for."""
        return self._token_of("unk")

    def _token_of(self, role: str) -> str | None:
        token_id = getattr(self, f"{role}_token_id")
        return None if token_id is None else str(self._written(token_id))

    def _said(self, name: str) -> int | None:
        said = getattr(self._hf, name, getattr(self._tokenizer, name, None))
        return said if isinstance(said, int) else None


def _longest(options: Mapping[str, Any]) -> int | None:
    """How many tokens are kept of a text; all of them if it is not said."""
    return options.get("max_length") if options.get("truncation") else None


def _ids(token_ids: Any) -> list[int]:
    """Plain token ids, of one, of several, or of an array or a batch of one."""
    found = np.asarray(token_ids if not isinstance(token_ids, Iterator) else list(token_ids))
    return [int(token_id) for token_id in found.reshape(-1)]


@functools.lru_cache(8)
def older_tokenizer(tokenizer: Tokenizer) -> OlderTokenizer:
    """The one that answers for a tokenizer; the same for the same, since others remember by it."""
    return OlderTokenizer(tokenizer)


def tokenize(text: str, tokenizer: Any, *, add_special_tokens: bool = False) -> list[int]:
    """Token ids of a text, by a tokenizer or by a function that gives `input_ids`.

    Raises:
        RuntimeError: There is no tokenizer, or it cannot encode.
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

"""Converts the byte-level BPE tokenizer of a GGUF file to one of `tokenizers` and `transformers`.

A file names its pre-tokenizer (`tokenizer.ggml.pre`) but does not contain the pattern. The patterns
below come from the models' own tokenizer.json. A wrong pattern silently produces token ids that the
model was not trained on, so an unknown name is rejected.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from concordance_shared import ModelLoadError
from msgspec import Struct
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from concordance_inference.models.gguf.file import GgufFile, is_value

logger = logging.getLogger(__name__)

# Token types.
_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"


def _cased(contraction: str, digits: str) -> str:
    """Return a pattern that also splits words between lower and upper case (o200k, tekken)."""
    return (
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{contraction}"
        rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{contraction}"
        rf"|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


class _PreTokenizer(Struct, frozen=True):
    """The settings that a name of `tokenizer.ggml.pre` implies."""

    patterns: Sequence[str]  # applied in order; each splits the pieces of the previous one
    ignores_merges: bool = False  # a word that is a token becomes that token without merging
    adds_bos: bool = False  # the default of `add_bos_token`
    is_nfc: bool = False  # normalize the text to NFC first


_LLAMA3 = _PreTokenizer([_CL100K], ignores_merges=True, adds_bos=True)
_PLAIN_GPT2 = _PreTokenizer([_GPT2])
_DIGITS_GPT2 = _PreTokenizer([r"\p{N}", _GPT2])
_ONE_DIGIT = _CL100K.replace("{1,3}", "")
_DEEPSEEK3 = _PreTokenizer(
    [
        r"\p{N}{1,3}",
        "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
        r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
        r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ]
)

_PRE_TOKENIZERS: Mapping[str, _PreTokenizer] = {
    **dict.fromkeys(
        ("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "midm-2.0", "lfm2"), _LLAMA3
    ),
    **dict.fromkeys(("dbrx", "smaug-bpe"), _PreTokenizer([_CL100K])),
    **dict.fromkeys(("gpt-2", "phi-2", "olmo", "mpt", "jais", "trillion", "exaone4"), _PLAIN_GPT2),
    **dict.fromkeys(
        ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"),
        _DIGITS_GPT2,
    ),
    "qwen2": _PreTokenizer([_ONE_DIGIT], is_nfc=True),
    **dict.fromkeys(
        ("deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan"), _PreTokenizer([_ONE_DIGIT])
    ),
    "tekken": _PreTokenizer([_cased("", r"\p{N}")], ignores_merges=True, adds_bos=True),
    **dict.fromkeys(
        ("gpt-4o", "llama4", "kanana2"), _PreTokenizer([_cased(_CONTRACTION, r"\p{N}{1,3}")])
    ),
    "deepseek-v3": _DEEPSEEK3,
    "deepseek-coder": _PreTokenizer(
        [
            "[\r\n]",
            r"\s?\p{L}+",
            r"\s?\p{P}+",
            "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+",
            r"\p{N}",
        ]
    ),
    # llama.cpp's behavior for files without the key.
    "default": _PreTokenizer([r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]),
}

#: Tokens that end a message in known chat formats, for files that list one of several.
_ENDS = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<end_of_utterance>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
}

_PREFIX = "tokenizer.ggml."
#: Keys that are converted, after the prefix.
_CONVERTED = {
    "model",
    "pre",
    "tokens",
    "token_type",
    "merges",
    "bos_token_id",
    "eos_token_id",
    "eot_token_id",
    "eom_token_id",
    "unknown_token_id",
    "padding_token_id",
    "add_bos_token",
    "add_eos_token",
}
#: Keys without an effect on the token ids of a prompt or a completion.
_INERT = {
    "scores",  # of SentencePiece
    "token_type_count",
    "seperator_token_id",
    "separator_token_id",
    "cls_token_id",
    "mask_token_id",
    "remove_extra_whitespaces",  # of SentencePiece
    *(f"{name}_token_id" for name in ("prefix", "suffix", "middle")),
    *(f"fim_{name}_token_id" for name in ("pre", "suf", "mid", "pad", "rep", "sep")),
}
#: Unsupported features: keys that are accepted only with the value that disables the feature.
_ABSENT = {"add_space_prefix": False, "add_sep_token": False}


class Vocabulary:
    """Tokens, merges and special tokens of a file."""

    def __init__(self, file: GgufFile, *, num_rows: int) -> None:
        """Read and validate the tokenizer's keys.

        Args:
            file: The file.
            num_rows: Rows of the model's embedding.

        Raises:
            ModelLoadError: A key is missing, inconsistent or not supported.
        """
        self._file = file
        self._check_keys()
        self._tokens: list[str] = self._strings("tokens")
        self._merges: list[str] = self._strings("merges")
        self._types = self._token_types()
        if len(self._tokens) > num_rows:
            raise self._error(
                "tokens", f"has {len(self._tokens)} tokens; the embedding has {num_rows} rows"
            )
        if len(set(self._tokens)) < len(self._tokens):
            raise self._error("tokens", "has the same token twice")
        self._pre = self._named_pre_tokenizer()
        self._bos, self._eos = self._token("bos"), self._token("eos")
        self._ends = self._end_ids()

    def config(self) -> dict[str, Any]:
        """Return the special tokens for mlx-lm's config."""
        bos = None if self._bos is None else self._id(self._bos)
        return {"bos_token_id": bos, "eos_token_id": self._ends or None}

    def tokenizer_config(self, context_length: int) -> dict[str, Any]:
        """Return the content of tokenizer_config.json."""
        eos = self._eos or (self._tokens[self._ends[0]] if self._ends else None)
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": self._bos,
            "eos_token": eos,
            "pad_token": self._token("padding"),
            "unk_token": self._token("unknown"),
            "chat_template": self._chat_template(),
            "model_max_length": context_length,
            "clean_up_tokenization_spaces": False,
        }

    def tokenizer(self) -> Tokenizer:
        """Build the tokenizer.

        Raises:
            ModelLoadError: Tokens and merges are inconsistent.
        """
        vocab = {token: token_id for token_id, token in enumerate(self._tokens)}
        made = Tokenizer(
            models.BPE(
                vocab=vocab,
                merges=self._checked_merges(vocab),
                ignore_merges=self._pre.ignores_merges,
            )
        )
        if self._pre.is_nfc:
            made.normalizer = normalizers.NFC()
        made.pre_tokenizer = self._pre_tokenizer()
        made.decoder = decoders.ByteLevel()
        self._add_special(made)
        self._add_post_processor(made)
        return made

    def _checked_merges(self, vocab: Mapping[str, int]) -> list[tuple[str, str]]:
        """Return the merges as pairs; `tokenizers` would panic on a merge of missing tokens."""
        merges = [_halves(merge) for merge in self._merges]
        for left, right in merges:
            if not (left and right and {left, right, left + right} <= vocab.keys()):
                raise self._error(
                    "merges",
                    f"do not match the tokens: {f'{left} {right}'!r:.80} must be two tokens, "
                    "separated by a space, whose concatenation is a token",
                )
        return merges

    def _pre_tokenizer(self) -> Any:
        splits = [
            pre_tokenizers.Split(Regex(pattern), "isolated", invert=False)
            for pattern in self._pre.patterns
        ]
        bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        return pre_tokenizers.Sequence([*splits, bytes_])

    def _add_special(self, made: Tokenizer) -> None:
        """Add the tokens that are matched before pre-tokenization: control and user-defined."""
        special = {i for i, kind in enumerate(self._types) if kind in (_CONTROL, _UNKNOWN)}
        special |= set(self._ends) | ({self._id(self._bos)} if self._bos else set())
        added = [i for i, kind in enumerate(self._types) if kind == _USER_DEFINED]
        for token_id in sorted({*special, *added}):
            is_special = token_id in special
            token = AddedToken(self._tokens[token_id], special=is_special, normalized=False)
            (made.add_special_tokens if is_special else made.add_tokens)([token])

    def _add_post_processor(self, made: Tokenizer) -> None:
        """Add BOS and EOS to texts that are not chats, as the file's flags require."""
        adds_bos = self._flag("add_bos_token", default=self._pre.adds_bos) and self._bos
        adds_eos = self._flag("add_eos_token", default=False) and self._eos
        for name, token in (("bos", self._bos), ("eos", self._eos)):
            if token is None and self._flag(f"add_{name}_token", default=False):
                raise self._error(f"add_{name}_token", f"is true, and {name}_token_id is missing")
        ends = [token for token in (adds_bos, adds_eos) if token]
        if not ends:
            return
        single = [adds_bos] if adds_bos else []
        single += ["$A", adds_eos] if adds_eos else ["$A"]
        made.post_processor = processors.TemplateProcessing(
            single=single, special_tokens=[(token, self._id(token)) for token in set(ends)]
        )

    def _end_ids(self) -> list[int]:
        """Return the tokens that end a completion: the file's own, then those of known formats."""
        named = [self._token(name) for name in ("eos", "eot", "eom")]
        known = [
            token
            for token, kind in zip(self._tokens, self._types, strict=True)
            if token in _ENDS and kind in (_CONTROL, _USER_DEFINED)
        ]
        ids = [self._id(token) for token in (*named, *known) if token is not None]
        if not ids:
            logger.warning("%s has no token that ends a completion", self._file.path)
        return list(dict.fromkeys(ids))

    def _chat_template(self) -> str | None:
        others = [key for key in self._file.metadata if key.startswith("tokenizer.chat_template.")]
        if others:
            logger.warning(
                "%s: only tokenizer.chat_template is used, not %s", self._file.path, others
            )
        template = self._file.metadata.get("tokenizer.chat_template")
        if template is not None and not isinstance(template, str):
            raise ModelLoadError(f"{self._file.path}: tokenizer.chat_template is not a string")
        return template

    def _check_keys(self) -> None:
        model = self._file.metadata.get(f"{_PREFIX}model")
        if not is_value(model, "gpt2"):
            raise self._error(
                "model",
                f"is {model!r:.80}; only byte-level BPE ('gpt2') is supported. Convert the model's "
                "folder on the hub with mlx_lm.convert",
            )
        for full, value in self._file.metadata.items():
            key = full.removeprefix(_PREFIX)
            if not full.startswith(_PREFIX) or key in _CONVERTED or key in _INERT:
                continue
            if key not in _ABSENT:
                raise self._error(key, "is not supported")
            if not is_value(value, _ABSENT[key]):
                raise self._error(key, f"is {value!r:.80}; only {_ABSENT[key]!r} is supported")

    def _named_pre_tokenizer(self) -> _PreTokenizer:
        name = self._file.metadata.get(f"{_PREFIX}pre")
        if name is None:
            logger.warning(
                "%s has no tokenizer.ggml.pre, so an old converter wrote it; texts are split with "
                "the pattern 'default', which may not be the model's",
                self._file.path,
            )
            name = "default"
        found = _PRE_TOKENIZERS.get(name) if isinstance(name, str) else None
        if found is None:
            known = ", ".join(sorted(_PRE_TOKENIZERS))
            raise self._error("pre", f"is {name!r:.80}; supported: {known}")
        return found

    def _strings(self, key: str) -> list[str]:
        value = self._file.metadata.get(_PREFIX + key)
        if not isinstance(value, list) or (not value and key == "tokens"):
            raise self._error(key, "is missing, or is not a list of strings")
        return value

    def _token_types(self) -> list[int]:
        types = self._file.metadata.get(f"{_PREFIX}token_type")
        if types is None:
            return [1] * len(self._tokens)
        is_list = isinstance(types, np.ndarray) and types.dtype.kind in "iu"
        if not is_list or len(types) != len(self._tokens):
            raise self._error("token_type", f"is not a list of {len(self._tokens)} integers")
        return [int(kind) for kind in types]

    def _token(self, name: str) -> str | None:
        """Return the special token of a role (`eos`, `padding`), if the file has one."""
        token_id = self._file.metadata.get(f"{_PREFIX}{name}_token_id")
        if token_id is None:
            return None
        if type(token_id) is not int or not 0 <= token_id < len(self._tokens):
            raise self._error(
                f"{name}_token_id", f"is {token_id!r:.80}; the file has {len(self._tokens)} tokens"
            )
        return self._tokens[token_id]

    def _id(self, token: str) -> int:
        return self._tokens.index(token)

    def _flag(self, key: str, *, default: bool) -> bool:
        value = self._file.metadata.get(_PREFIX + key, default)
        if not isinstance(value, bool):
            raise self._error(key, f"is {value!r:.80}; it must be true or false")
        return value

    def _error(self, key: str, what: str) -> ModelLoadError:
        return ModelLoadError(f"{self._file.path}: {_PREFIX}{key} {what}")


def _halves(merge: str) -> tuple[str, str]:
    """Split a merge into its two tokens."""
    left, _, right = merge.partition(" ")
    return left, right

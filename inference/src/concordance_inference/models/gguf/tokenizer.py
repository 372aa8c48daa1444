"""The byte-level BPE tokenizer of a GGUF file, as `tokenizers` and transformers have it.

A file names its way to split a text before merging (`tokenizer.ggml.pre`) without giving the
pattern. The patterns below are those of the models' own tokenizer.json. A wrong one gives other
token ids than the model was trained on, without any sign of it, so an unknown name is refused.
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

# Types of tokens.
_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"


def _cased(contraction: str, digits: str) -> str:
    """Words split where lower case turns to upper case, as by o200k and tekken."""
    return (
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{contraction}"
        rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{contraction}"
        rf"|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


class _Splitting(Struct, frozen=True):
    """How a text is split before merging, and what else the name stands for."""

    patterns: Sequence[str]  # each splits what those before left
    ignores_merges: bool = False  # a word that is a token is not merged together
    adds_bos: bool = False  # unless the file says otherwise
    is_nfc: bool = False  # characters are composed first


_LLAMA3 = _Splitting([_CL100K], ignores_merges=True, adds_bos=True)
_PLAIN_GPT2 = _Splitting([_GPT2])
_DIGITS_GPT2 = _Splitting([r"\p{N}", _GPT2])
_ONE_DIGIT = _CL100K.replace("{1,3}", "")
_DEEPSEEK3 = _Splitting(
    [
        r"\p{N}{1,3}",
        "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
        r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
        r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ]
)

_SPLITTINGS: Mapping[str, _Splitting] = {
    **dict.fromkeys(
        ("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "midm-2.0", "lfm2"), _LLAMA3
    ),
    **dict.fromkeys(("dbrx", "smaug-bpe"), _Splitting([_CL100K])),
    **dict.fromkeys(("gpt-2", "phi-2", "olmo", "mpt", "jais", "trillion", "exaone4"), _PLAIN_GPT2),
    **dict.fromkeys(
        ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"),
        _DIGITS_GPT2,
    ),
    "qwen2": _Splitting([_ONE_DIGIT], is_nfc=True),
    **dict.fromkeys(
        ("deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan"), _Splitting([_ONE_DIGIT])
    ),
    "tekken": _Splitting([_cased("", r"\p{N}")], ignores_merges=True, adds_bos=True),
    **dict.fromkeys(
        ("gpt-4o", "llama4", "kanana2"), _Splitting([_cased(_CONTRACTION, r"\p{N}{1,3}")])
    ),
    "deepseek-v3": _DEEPSEEK3,
    "deepseek-coder": _Splitting(
        [
            "[\r\n]",
            r"\s?\p{L}+",
            r"\s?\p{P}+",
            "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+",
            r"\p{N}",
        ]
    ),
    # What llama.cpp does for files that name nothing.
    "default": _Splitting([r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]),
}

#: Tokens that end a message in some model's format, for files that give one id of several.
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
#: Keys that are converted.
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
#: Keys that change no token id of a prompt or of a completion.
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
#: Keys that are right only with the value of a tokenizer without the feature.
_ABSENT = {"add_space_prefix": False, "add_sep_token": False}


class Vocabulary:
    """Tokens, merges and special tokens of a file."""

    def __init__(self, file: GgufFile, *, num_rows: int) -> None:
        """Read and check them.

        Args:
            file: The file.
            num_rows: Rows of the model's embedding.

        Raises:
            ModelLoadError: Something is missing, inconsistent or not supported.
        """
        self._file = file
        self._check_keys()
        self._tokens: list[str] = self._strings("tokens")
        self._merges: list[str] = self._strings("merges")
        self._types = self._token_types()
        if len(self._tokens) > num_rows:
            raise self._error("tokens", f"has {len(self._tokens)} for {num_rows} rows of embedding")
        if len(set(self._tokens)) < len(self._tokens):
            raise self._error("tokens", "has the same token twice")
        self._splitting = self._known_splitting()
        self._bos, self._eos = self._token("bos"), self._token("eos")
        self._ends = self._end_ids()

    def config(self) -> dict[str, Any]:
        """What mlx-lm's config says of special tokens."""
        bos = None if self._bos is None else self._id(self._bos)
        return {"bos_token_id": bos, "eos_token_id": self._ends or None}

    def tokenizer_config(self, context_length: int) -> dict[str, Any]:
        """The content of tokenizer_config.json."""
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
        """The tokenizer.

        Raises:
            ModelLoadError: Tokens and merges do not fit together.
        """
        vocab = {token: token_id for token_id, token in enumerate(self._tokens)}
        made = Tokenizer(
            models.BPE(
                vocab=vocab,
                merges=self._checked_merges(vocab),
                ignore_merges=self._splitting.ignores_merges,
            )
        )
        if self._splitting.is_nfc:
            made.normalizer = normalizers.NFC()
        made.pre_tokenizer = self._pre_tokenizer()
        made.decoder = decoders.ByteLevel()
        self._add_special(made)
        self._add_post_processor(made)
        return made

    def _checked_merges(self, vocab: Mapping[str, int]) -> list[tuple[str, str]]:
        """The merges as pairs. The package `tokenizers` panics where a merged token is missing."""
        merges = [_halves(merge) for merge in self._merges]
        for left, right in merges:
            if not (left and right and {left, right, left + right} <= vocab.keys()):
                raise self._error(
                    "merges",
                    f"do not fit the tokens: {f'{left} {right}'!r:.80} has to be two tokens with a "
                    "space between them, which together are a third one",
                )
        return merges

    def _pre_tokenizer(self) -> Any:
        splits = [
            pre_tokenizers.Split(Regex(pattern), "isolated", invert=False)
            for pattern in self._splitting.patterns
        ]
        bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        return pre_tokenizers.Sequence([*splits, bytes_])

    def _add_special(self, made: Tokenizer) -> None:
        """Tokens that a text's splitting does not reach: control tokens and those of users."""
        special = {i for i, kind in enumerate(self._types) if kind in (_CONTROL, _UNKNOWN)}
        special |= set(self._ends) | ({self._id(self._bos)} if self._bos else set())
        added = [i for i, kind in enumerate(self._types) if kind == _USER_DEFINED]
        for token_id in sorted({*special, *added}):
            is_special = token_id in special
            token = AddedToken(self._tokens[token_id], special=is_special, normalized=False)
            (made.add_special_tokens if is_special else made.add_tokens)([token])

    def _add_post_processor(self, made: Tokenizer) -> None:
        """Tokens at the ends of every text that is not a chat."""
        adds_bos = self._flag("add_bos_token", default=self._splitting.adds_bos) and self._bos
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
        """Tokens that end a completion: those that the file names, then those known by name."""
        named = [self._token(name) for name in ("eos", "eot", "eom")]
        known = [
            token
            for token, kind in zip(self._tokens, self._types, strict=True)
            if token in _ENDS and kind in (_CONTROL, _USER_DEFINED)
        ]
        ids = [self._id(token) for token in (*named, *known) if token is not None]
        if not ids:
            logger.warning("%s names no token that ends a completion", self._file.path)
        return list(dict.fromkeys(ids))

    def _chat_template(self) -> str | None:
        others = [key for key in self._file.metadata if key.startswith("tokenizer.chat_template.")]
        if others:
            logger.warning(
                "%s: only tokenizer.chat_template is used, not %s", self._file.path, others
            )
        template = self._file.metadata.get("tokenizer.chat_template")
        if template is not None and not isinstance(template, str):
            raise ModelLoadError(f"{self._file.path}: tokenizer.chat_template is not a text")
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

    def _known_splitting(self) -> _Splitting:
        name = self._file.metadata.get(f"{_PREFIX}pre")
        if name is None:
            logger.warning(
                "%s has no tokenizer.ggml.pre and was made by an old converter; texts are split "
                "by the pattern 'default', which may not be the model's",
                self._file.path,
            )
            name = "default"
        splitting = _SPLITTINGS.get(name) if isinstance(name, str) else None
        if splitting is None:
            raise self._error("pre", f"is {name!r:.80}; known are {', '.join(sorted(_SPLITTINGS))}")
        return splitting

    def _strings(self, key: str) -> list[str]:
        value = self._file.metadata.get(_PREFIX + key)
        if not isinstance(value, list) or (not value and key == "tokens"):
            raise self._error(key, "is missing, or is not a list of texts")
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
        """The special token of a name, if the file has one."""
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
            raise self._error(key, f"is {value!r:.80}; true or false is needed")
        return value

    def _error(self, key: str, what: str) -> ModelLoadError:
        return ModelLoadError(f"{self._file.path}: {_PREFIX}{key} {what}")


def _halves(merge: str) -> tuple[str, str]:
    """The two tokens that a merge joins."""
    left, _, right = merge.partition(" ")
    return left, right

"""The openai-harmony library's encoding, made from the vocabulary of a model's own tokenizer.

The library wants the file `o200k_base.tiktoken`, which it would download. A model's
`tokenizer.json` has the same vocabulary, so the file is written from there, once, and its hash is
checked: an encoding with other token ids would be wrong silently.
"""

import base64
import functools
import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from concordance_sdk.token_bytes import BYTE_ALPHABET

from concordance_inference.harmony.vocabulary import HarmonyTokens
from concordance_inference.models.cache_folder import cache_folder

#: The file that the library reads, and the SHA-256 of its content.
FILE = "o200k_base.tiktoken"
SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"

#: The variable that names the folder of the library's files.
_FOLDER_VARIABLE = "TIKTOKEN_ENCODINGS_BASE"

#: Ids of text; larger ones are special tokens.
NUM_TEXT_IDS = 199_998

#: Harmony's tokens in the vocabulary of gpt-oss.
TOKENS = HarmonyTokens(
    start=200006,
    channel=200005,
    constrain=200003,
    message=200008,
    end=200007,
    return_=200002,
    call=200012,
    end_of_text=199999,
)

#: Of the names of every `_STEP`th token: a digest that tells vocabularies apart in a millisecond.
_STEP = 97
_NAMES_DIGEST = "5245df4aa64f7405"

_lock = threading.Lock()


def is_of_gpt_oss(tokenizer: Any, tokens: HarmonyTokens) -> bool:
    """True if a `transformers` tokenizer has the vocabulary of gpt-oss.

    Args:
        tokenizer: The tokenizer.
        tokens: Its structural tokens.
    """
    names = tokenizer.convert_ids_to_tokens(list(range(0, NUM_TEXT_IDS, _STEP)))
    return tokens == TOKENS and names_digest(names) == _NAMES_DIGEST


def names_digest(names: Sequence[str | None]) -> str:
    """Digest names of tokens."""
    return hashlib.sha256("\n".join(map(str, names)).encode()).hexdigest()[:16]


def harmony_encoding(vocabulary: Mapping[str, int]) -> Any | None:
    """Return the library's encoding; `None` if the vocabulary is not that of gpt-oss.

    Args:
        vocabulary: The ids of the tokens by name, as byte-level BPE names bytes.
    """
    file = cache_folder() / "harmony" / FILE
    with _lock:
        if not _is_right(file) and not _write(file, vocabulary):
            return None
        return _loaded(file.parent)


@functools.cache
def _loaded(folder: Path) -> Any:
    """The encoding, which takes the library 0.2 s to load."""
    import openai_harmony  # noqa: PLC0415  # slow to import

    before = os.environ.get(_FOLDER_VARIABLE)
    os.environ[_FOLDER_VARIABLE] = str(folder)
    try:
        name = openai_harmony.HarmonyEncodingName.HARMONY_GPT_OSS
        return openai_harmony.load_harmony_encoding(name)
    finally:
        if before is None:
            del os.environ[_FOLDER_VARIABLE]
        else:
            os.environ[_FOLDER_VARIABLE] = before


def _write(file: Path, vocabulary: Mapping[str, int]) -> bool:
    """Write the file unless its content would be another; return True if it is there."""
    data = tiktoken_file(vocabulary)
    if hashlib.sha256(data).hexdigest() != SHA256:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        partial.write_bytes(data)
        partial.replace(file)
    finally:
        with suppress(OSError):
            partial.unlink()
    return True


def _is_right(file: Path) -> bool:
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == SHA256


def tiktoken_file(vocabulary: Mapping[str, int]) -> bytes:
    """Return a vocabulary in tiktoken's format: a line per token, its bytes in base64 and its id.

    Args:
        vocabulary: The ids of the tokens by name, as byte-level BPE names bytes.
    """
    lines: list[tuple[int, bytes]] = []
    for name, token_id in vocabulary.items():
        if token_id < NUM_TEXT_IDS and all(ord(char) in BYTE_ALPHABET for char in name):
            lines.append((token_id, name.translate(BYTE_ALPHABET).encode("latin-1")))
    return b"".join(b"%s %d\n" % (base64.b64encode(data), i) for i, data in sorted(lines))

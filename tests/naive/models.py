"""The tiny models of the comparison, and their logits without a cache."""

from functools import cache

import mlx.core as mx
import numpy as np
from concordance_inference.engine.caches import attention
from concordance_inference.engine.profile import profile_of
from families import _FIELDS, build_model

#: Family -> the field that holds its window or chunk size, and other sizes than the default.
_WINDOWS = {
    "gpt_oss": ("sliding_window", (3, 5, 16)),
    "gemma3_text": ("sliding_window", (4, 16)),
    "plamo3": ("sliding_window", (1, 16)),
    "llama4": ("attention_chunk_size", (4, 16)),
    "recurrent_gemma": ("attention_window_size", (4, 16)),
    "baichuan_m1": ("sliding_window", (4, 16)),
    "deepseek_v41": ("sliding_window", (4, 16)),
}

#: Names of models: a family, and the size of its window behind a slash if it is not the default.
MODELS = (
    *_FIELDS,
    *(f"{family}/{size}" for family, (_, sizes) in _WINDOWS.items() for size in sizes),
)


def window_of(name):
    """The size of a model's window or chunk; 0 if it looks all the way back."""
    family, _, size = name.partition("/")
    return int(size or 8) if family in _WINDOWS else 0


@cache
def model_named(name):
    """The random model of a name."""
    family, _, size = name.partition("/")
    if not size:
        return build_model(family)
    key, _ = _WINDOWS[family]
    if family == "llama4":
        text = {**_FIELDS[family]["text_config"], key: int(size)}
        return build_model(family, text_config=text)
    return build_model(family, **{key: int(size)})


@cache
def profile_named(name, growth):
    """The profile of a model, its speed not measured."""
    assert growth == attention.GROWTH
    return profile_of(model_named(name), measures_cost=False)


class Oracle:
    """Logits of a model, each from one pass over the whole token list.

    A pass gives the logits behind every beginning of its list. They are remembered, so that a
    decision whose list begins another one that was read costs nothing.
    """

    def __init__(self, model, *, strict=False):
        """Take a model; `strict` reads every list anew and uses the last position only."""
        self._model = model
        self._strict = strict
        self._rows = {}
        self.num_passes = 0

    def read(self, ids):
        """Run a list of tokens and remember the logits behind each of its beginnings."""
        rows = np.array(self._model(mx.array([list(ids)]))[0].astype(mx.float32))
        self.num_passes += 1
        for i in [len(ids)] if self._strict else range(1, len(ids) + 1):
            self._rows.setdefault(tuple(ids[:i]), rows[i - 1])

    def hint(self, ids):
        """Read a list that is likely to be asked for."""
        if not self._strict and ids and tuple(ids) not in self._rows:
            self.read(ids)

    def __call__(self, ids):
        """The logits behind a list of tokens.  (vocab,) float32"""
        key = tuple(ids)
        if key not in self._rows:
            self.read(key)
        return self._rows[key]

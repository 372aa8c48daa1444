"""The tiny models of the comparison, and their logits by one pass over all tokens."""

from functools import cache

import mlx.core as mx
import numpy as np
from concordance_inference.engine.caches import kv_buffers
from concordance_inference.engine.model.calibration.profile import profile_of
from families import _FIELDS, VOCAB, build_model
from mlx_lm.models.cache import make_prompt_cache
from model_files import compare as model_files

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

#: Families with a vocabulary of more tokens than the sampler sorts where a row is cut by rank.
_WIDE = {"llama": 3001, "mamba": 2600}

#: Names of models: a family, then a slash and the size of its window if it is not the default, or a
#: plus and the size of its vocabulary.
MODELS = (
    *_FIELDS,
    "gemma3n",
    *(f"{family}/{size}" for family, (_, sizes) in _WINDOWS.items() for size in sizes),
    *(f"{family}+{size}" for family, size in _WIDE.items()),
)

#: Logits differ by more where a model says something else with a cache than without.
_SAME = 1e-3


def family_of(name):
    """The family of a model."""
    return name.partition("/")[0].partition("+")[0]


def vocab_of(name):
    """The number of tokens of a model's vocabulary."""
    return int(name.partition("+")[2] or VOCAB)


def window_of(name):
    """The size of a model's window or chunk; 0 for full attention."""
    family, _, size = name.partition("/")
    return int(size or 8) if family in _WINDOWS else 0


@cache
def model_named(name):
    """Build the random model of a name."""
    family, _, size = name.partition("/")
    if name == "gemma3n":
        return model_files.build(name)
    if not size:
        return build_model(family_of(name), vocab_size=vocab_of(name))
    key, _ = _WINDOWS[family]
    if family == "llama4":
        text = {**_FIELDS[family]["text_config"], key: int(size)}
        return build_model(family, text_config=text)
    return build_model(family, **{key: int(size)})


@cache
def profile_named(name, growth):
    """Calibrate a model, without measuring its speed."""
    assert growth == kv_buffers.GROWTH
    return profile_of(model_named(name), measures_cost=False)


def _logits(model, ids, caches=None):
    """Return the logits that follow each prefix of a list.  (tokens, vocab) float32"""
    return np.array(model(mx.array([list(ids)]), cache=caches)[0].astype(mx.float32))


@cache
def _caches_of(name):
    """Return the function that makes caches for a pass; none unless a model needs them.

    In gemma3n, layers share keys and values only if there is a cache.
    """
    model, ids = model_named(name), range(7, 55)  # past every window
    apart = np.abs(_logits(model, ids) - _logits(model, ids, make_prompt_cache(model))).max()
    return (lambda: None) if apart < _SAME else (lambda: make_prompt_cache(model))


class Oracle:
    """Logits of a model, each from one pass over the whole token list.

    A pass returns the logits that follow each prefix of its list. They are kept, so that a
    decision whose list begins another one that was read costs nothing.
    """

    def __init__(self, name, *, strict=False):
        """Name a model; `strict` runs a pass for each list and uses its last position only."""
        self._model, self._make_caches = model_named(name), _caches_of(name)
        self._strict = strict
        self._rows = {}
        self.num_passes = 0

    def read(self, ids):
        """Run a list of tokens and keep the logits that follow each of its prefixes."""
        rows = _logits(self._model, ids, self._make_caches())
        self.num_passes += 1
        for i in [len(ids)] if self._strict else range(1, len(ids) + 1):
            self._rows.setdefault(tuple(ids[:i]), rows[i - 1])

    def hint(self, ids):
        """Run a list in advance whose logits are probably needed."""
        if not self._strict and ids and tuple(ids) not in self._rows:
            self.read(ids)

    def __call__(self, ids):
        """Return the logits that follow a list of tokens.  (vocab,) float32"""
        key = tuple(ids)
        if key not in self._rows:
            self.read(key)
        return self._rows[key]

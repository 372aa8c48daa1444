"""A tiny gpt-oss with the vocabulary of the real one, which says what a script has it say."""

import functools
import time
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from mlx_lm.models import gpt_oss

from concordance_inference.bench import o200k
from concordance_inference.engine.config import EngineConfig, ModelTraits
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.model.calibration.profile import profile_of
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.generation import ModelInfo
from concordance_inference.harmony.encoding import TOKENS
from concordance_inference.harmony.format import HarmonyFormat
from concordance_inference.models.tokenizer import ModelTokenizer
from concordance_inference.models.traits import traits_of
from concordance_inference.mods.compiling import prepare_constraints

#: Layers with sliding windows of 128 tokens and with full attention in turn, as in gpt-oss.
CONFIG: dict[str, Any] = {
    "model_type": "gpt_oss",
    "hidden_size": 32,
    "intermediate_size": 32,
    "head_dim": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "num_hidden_layers": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "sliding_window": 128,
    "rms_norm_eps": 1e-5,
    "rope_theta": 150000,
    "rope_scaling": {
        "rope_type": "yarn",
        "factor": 32.0,
        "original_max_position_embeddings": 4096,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
    },
    "vocab_size": o200k.VOCAB_SIZE,
}

_CONTEXT_LENGTH = 131_072

#: By how much the row of the scripted token outweighs what the model computes itself.
_EMPHASIS = 1000.0


class ScriptedModel:
    """The model, its tokenizer and its chat format.

    The next token of the script is the most probable one at each position; the model computes
    all of its layers nevertheless. Without a script it is random.
    """

    name = "tiny gpt-oss"

    def __init__(self, **config: Any) -> None:
        """Make random weights.

        Args:
            config: Fields of the model's config other than the usual ones.

        Raises:
            ModelLoadError: The package with the vocabulary is not installed.
        """
        mx.random.seed(0)
        model: Any = gpt_oss.Model(gpt_oss.ModelArgs.from_dict({**CONFIG, **config}))
        rows = model.lm_head.weight
        model.lm_head.weight = rows / mx.linalg.norm(rows, axis=-1, keepdims=True)
        mx.eval(model.parameters())
        # Before the engine replaces the class in its turn, to select positions of what it returns.
        model.model.__class__ = type("ScriptedBody", (_Scripted, type(model.model)), {})
        self._body, self._rows = model.model, model.lm_head.weight
        object.__setattr__(self._body, "concordance_script", None)
        self._profile = profile_of(model)
        self._model = model
        self.tokenizer = _tokenizer()
        prepare_constraints(self.tokenizer)  # as `concordance serve` does
        self.chat = HarmonyFormat(self.tokenizer, TOKENS, context_length=_CONTEXT_LENGTH)
        self.info = ModelInfo(
            id=self.name,
            created=int(time.time()),
            context_length=_CONTEXT_LENGTH,
            vocab_size=self.tokenizer.vocab_size,
        )

    def engine(self, *, max_rows: int = 1, **config: Any) -> Engine:
        """Build an engine, which runs one request at a time unless `max_rows` is given."""
        runner = ModelRunner(self._model, self._profile)
        return Engine(runner, self.traits, EngineConfig(max_rows=max_rows, **config))

    def say(self, token_ids: Sequence[int]) -> None:
        """Have the next request generate tokens.

        Args:
            token_ids: Its prompt, and the completion.
        """
        # Not parameters of the model, as plain attributes of its modules would be.
        script = mx.array([*token_ids, 0], mx.int32)
        object.__setattr__(self._body, "concordance_script", (script, self._rows))

    @functools.cached_property
    def traits(self) -> ModelTraits:
        """What the engine needs of the model besides its weights."""
        return traits_of(self.tokenizer, context_length=_CONTEXT_LENGTH)


class _Scripted:
    """A mixin before the class of a model's body: adds the row of the next token of the script."""

    def __call__(self, inputs: mx.array, cache: Any = None, *args: Any) -> mx.array:
        before = 0 if cache is None else cache[0].offset  # the pass adds to it
        hidden = super().__call__(inputs, cache, *args)  # type: ignore[misc]
        said = self.concordance_script  # type: ignore[attr-defined]
        if said is None:
            return hidden
        script, rows = said
        nexts = mx.arange(1, inputs.shape[1] + 1) + before
        token_ids = script[mx.minimum(nexts, script.size - 1)]
        return hidden + _EMPHASIS * rows[token_ids]


def _tokenizer() -> ModelTokenizer:
    """The tokenizer of gpt-oss."""
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415  # slow to import

    hf = PreTrainedTokenizerFast(
        tokenizer_file=str(o200k.tokenizer_json()),
        bos_token="<|startoftext|>",  # noqa: S106  # a token of a vocabulary
        eos_token="<|return|>",  # noqa: S106
        pad_token="<|endoftext|>",  # noqa: S106
    )
    ends = sorted(TOKENS.stop_ids)
    return ModelTokenizer(hf, eos_token_ids=ends, vocab_size=o200k.VOCAB_SIZE)

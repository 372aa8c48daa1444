"""The models that are measured: a tiny one, which shows the loop's own cost, and a real one."""

import mlx.core as mx
from mlx_lm.models import llama
from msgspec.structs import replace

from concordance_inference.bench.drive import Subject
from concordance_inference.models.loader import LoadedModel, load_model
from concordance_inference.models.options import ModelOptions

#: A llama whose steps are dominated by the loop and the LM head.
_TINY = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 16384,
}


def real_subject(name: str | None, options: ModelOptions | None = None) -> Subject:
    """Load a model as `--model` names it, the embedded default for `None`.

    Raises:
        ModelLoadError: It cannot be loaded.
    """
    return subject_of(load_model(name, options))


def subject_of(loaded: LoadedModel) -> Subject:
    """Measure a loaded model, without its end tokens: completions have the length requested."""
    traits = replace(loaded.traits(), eos_ids=frozenset())
    return Subject(loaded.info.id, loaded.model, loaded.tokenizer.hf, traits, place=loaded.place)


def tiny_subject(like: Subject) -> Subject:
    """Build a tiny random llama with the tokenizer and the vocabulary of another model."""
    mx.random.seed(0)
    fields = {**_TINY, "vocab_size": like.traits.vocab_size}
    model = llama.Model(llama.ModelArgs.from_dict(fields))
    mx.eval(model.parameters())
    traits = replace(like.traits, context_length=int(_TINY["max_position_embeddings"]))
    return Subject("tiny", model, like.tokenizer, traits)

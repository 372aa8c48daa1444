"""The models that are measured: one in which the loop's own cost shows, and a real one."""

import mlx.core as mx
from mlx_lm.models import llama

from concordance_inference.bench.drive import Subject
from concordance_inference.engine.config import ModelTraits
from concordance_inference.models.loader import load_model
from concordance_inference.models.options import ModelOptions
from concordance_inference.models.tokenizer import ModelTokenizer

#: A llama so small that a step is nearly all loop and vocabulary.
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
    """A model as `--model` names it, the embedded default if it does not.

    Raises:
        ModelLoadError: It cannot be loaded.
    """
    loaded = load_model(name, options)
    traits = traits_of(loaded.tokenizer, loaded.info.context_length)
    return Subject(loaded.info.id, loaded.model, loaded.tokenizer.hf, traits, place=loaded.place)


def tiny_subject(like: Subject) -> Subject:
    """A tiny random llama with the tokenizer and the vocabulary of another model."""
    mx.random.seed(0)
    fields = {**_TINY, "vocab_size": like.traits.vocab_size}
    model = llama.Model(llama.ModelArgs.from_dict(fields))
    mx.eval(model.parameters())
    context_length = int(_TINY["max_position_embeddings"])
    assert isinstance(like.traits.tokenizer, ModelTokenizer)
    return Subject("tiny", model, like.tokenizer, traits_of(like.traits.tokenizer, context_length))


def traits_of(tokenizer: ModelTokenizer, context_length: int) -> ModelTraits:
    """Traits without end tokens: a benchmark generates as many tokens as it says."""
    return ModelTraits(
        tokenizer=tokenizer,
        new_decoder=tokenizer.new_decoder,
        vocab_size=tokenizer.vocab_size,
        eos_ids=frozenset(),
        context_length=context_length,
    )

"""Tiny random models, and engines that run them step by step in the test's own thread."""

import itertools
from functools import cache

import mlx.core as mx
from concordance_inference.engine.attention_cache import MARGIN
from concordance_inference.engine.config import EngineConfig, ModelTraits
from concordance_inference.engine.decoder import BytesDecoder
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.runner import ModelRunner
from concordance_inference.generation import (
    Completed,
    Failed,
    GenerationRequest,
    ModCall,
    SamplingParams,
    TextDelta,
)
from concordance_sdk import definition_of
from concordance_sdk.parameters import parse_parameters
from concordance_sdk.testing import ByteTokenizer
from mlx.utils import tree_map
from mlx_lm.models import gpt_oss, llama

EOS = 256
VOCAB = 257
GREEDY = SamplingParams(temperature=0.0)
SMALL = {
    "vocab_size": VOCAB,
    "rms_norm_eps": 1e-5,
    "hidden_size": 32,
    "intermediate_size": 64,
    "head_dim": 16,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def build(module, seed=1, **fields):
    mx.random.seed(seed)
    model = module.Model(module.ModelArgs.from_dict({**SMALL, **fields}))
    # Larger weights than training starts with: a model whose next token depends on all it read,
    # so that a cache that is wrong anywhere changes what it says.
    model.update(tree_map(lambda p: 3 * p if p.ndim > 1 else p, model.parameters()))
    mx.eval(model.parameters())
    return model


def tiny_llama(**fields):
    fields = {"num_hidden_layers": 2, "tie_word_embeddings": False, **fields}
    return build(llama, model_type="llama", **fields)


def tiny_gpt_oss(**fields):
    yarn = {
        "rope_type": "yarn",
        "factor": 32.0,
        "original_max_position_embeddings": 4096,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
    }
    return build(
        gpt_oss,
        model_type="gpt_oss",
        num_hidden_layers=4,
        num_local_experts=4,
        num_experts_per_tok=2,
        sliding_window=8,
        rope_theta=150000,
        rope_scaling=yarn,
        **fields,
    )


@cache
def model_named(name):
    return {"llama": tiny_llama, "gpt_oss": tiny_gpt_oss}[name]()


FAMILIES = ("llama", "gpt_oss")


def token_bytes(token_id):
    return bytes([token_id]) if token_id < EOS else b""


TRAITS = ModelTraits(
    tokenizer=ByteTokenizer(),
    new_decoder=lambda: BytesDecoder(token_bytes),
    vocab_size=VOCAB,
    eos_ids=frozenset({EOS}),
    context_length=4096,
)


def make_engine(model=None, *, traits=TRAITS, margin=MARGIN, **config):
    model = model or model_named("llama")
    return Engine(ModelRunner(model, margin=margin), traits, EngineConfig(**config))


_numbers = itertools.count()


def call(mod, **parameters):
    definition = definition_of(mod)
    values = parse_parameters(definition.parameters, parameters, name=definition.name)
    return ModCall(definition=definition, parameters=values, name=definition.name)


def ask(prompt="Hello", *mods, max_tokens=12, sampling=GREEDY, **fields):
    prompt_ids = prompt.encode() if isinstance(prompt, str) else prompt
    return GenerationRequest(
        request_id=f"r{next(_numbers)}",
        prompt_ids=tuple(prompt_ids),
        max_tokens=max_tokens,
        sampling=sampling,
        mods=tuple(m if isinstance(m, ModCall) else call(m) for m in mods),
        **fields,
    )


class Answers:
    """The updates of one request."""

    def __init__(self):
        self.updates = []

    @property
    def end(self):
        return self.updates[-1]

    @property
    def ids(self):
        assert isinstance(self.end, Completed), self.end
        return self.end.token_ids

    @property
    def error(self):
        assert isinstance(self.end, Failed), self.end
        return self.end.error

    @property
    def deltas(self):
        return [u for u in self.updates if isinstance(u, TextDelta)]

    @property
    def shown(self):
        """The text that a client has put together from the deltas."""
        text = ""
        for delta in self.deltas:
            text = text[: len(text) - delta.retracted] + delta.text
        return text


def submit(engine, request):
    answers = Answers()
    engine.submit(request, answers.updates.append)
    return answers


def finish(engine, *, max_steps=5000):
    for _ in range(max_steps):
        if not engine.has_work:
            return
        engine.step()
    raise AssertionError("the engine does not come to an end")


def run(engine, *requests):
    answers = [submit(engine, request) for request in requests]
    finish(engine)
    return answers if len(answers) > 1 else answers[0]


def fresh_logits(model, token_ids):
    """What the model says behind `token_ids`, without any cache.  (vocab,)"""
    return model(mx.array([list(token_ids)]))[0, -1].astype(mx.float32)

"""Tiny random models, and engines that run them step by step in the test's own thread."""

import itertools

import mlx.core as mx
from concordance_inference.engine.caches import kv_buffers
from concordance_inference.engine.caches.sliding import MARGIN
from concordance_inference.engine.config import EngineConfig, ModelTraits
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.model.calibration.profile import ModelProfile, profile_of
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.engine.output.decoder import BytesDecoder
from concordance_inference.generation import (
    Completed,
    Failed,
    GenerationRequest,
    ModCall,
    SamplingParams,
    TextDelta,
)
from concordance_sdk.host import definition_of
from concordance_sdk.parameters import parse_parameters
from concordance_sdk.testing import ByteTokenizer
from families import VOCAB, model_named

EOS = 256
GREEDY = SamplingParams(temperature=0.0)
_profiles: dict[tuple[int, int], tuple[object, ModelProfile]] = {}


def runner_of(model, **options):
    """Return a runner of a model, calibrated once and without measuring its speed."""
    key = id(model), kv_buffers.GROWTH
    if key not in _profiles:
        _profiles[key] = model, profile_of(model, measures_cost=False)
    return ModelRunner(model, _profiles[key][1], **options)


def token_bytes(token_id):
    return bytes([token_id]) if token_id < EOS else b""


TRAITS = ModelTraits(
    tokenizer=ByteTokenizer(),
    new_decoder=lambda skipped=(), kept=(): BytesDecoder(token_bytes, skipped=skipped),
    vocab_size=VOCAB,
    eos_ids=frozenset({EOS}),
    context_length=4096,
)


def make_engine(model=None, *, traits=TRAITS, margin=MARGIN, **config):
    model = model or model_named("llama")
    return Engine(runner_of(model, margin=margin), traits, EngineConfig(**config))


_numbers = itertools.count()


def call(mod, **parameters):
    definition = definition_of(mod)
    values = parse_parameters(definition.parameters, parameters, name=definition.name)
    return ModCall(definition=definition, parameters=values, name=definition.name)


def ask(prompt="Hello", *mods, max_tokens=12, sampling=GREEDY, **fields):
    prompt_ids = prompt.encode() if isinstance(prompt, str) else prompt
    return GenerationRequest(
        prompt_ids=tuple(prompt_ids),
        max_tokens=max_tokens,
        sampling=sampling,
        mods=tuple(m if isinstance(m, ModCall) else call(m) for m in mods),
        **{"request_id": f"r{next(_numbers)}", **fields},
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
        """The text that a client assembles from the deltas."""
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
    raise AssertionError(f"the engine has not finished after {max_steps} steps")


def run(engine, *requests):
    answers = [submit(engine, request) for request in requests]
    finish(engine)
    return answers if len(answers) > 1 else answers[0]


def fresh_logits(model, token_ids):
    """Return the logits that follow `token_ids`, computed without a cache.  (vocab,)"""
    return model(mx.array([list(token_ids)]))[0, -1].astype(mx.float32)

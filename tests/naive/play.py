"""Runs a program in the engine and records what clients and mods see."""

from contextlib import contextmanager

import msgspec
import numpy as np
from concordance_inference.engine.caches import attention
from concordance_inference.engine.config import EngineConfig, ModelTraits
from concordance_inference.engine.decoder import BytesDecoder
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.kv_budget import KvBudget
from concordance_inference.engine.plan import PassCost, Sharing
from concordance_inference.engine.runner import ModelRunner
from concordance_inference.engine.sampling import sampler
from concordance_inference.generation import Completed, Failed, GenerationRequest, ModCall
from concordance_sdk import Prefilled, definition_of, mod
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import EVENTS as EVENT_TYPES

from naive.models import model_named, profile_named
from naive.outcome import Event
from naive.programs import EOS, PIECES, VOCAB, sampling_params
from naive.script import Script

#: An engine that has not ended after so many steps never will.
MAX_STEPS = 1500

_TYPES = {event.__name__: event for event in EVENT_TYPES}


class World:
    """What is known of a program's model beside its weights."""

    def __init__(self, program):
        """Lay out the vocabulary of a program."""
        self.vocab_size = VOCAB
        self.eos_ids = frozenset(program.eos)
        self.context_length = program.context
        self._short = program.alphabet == "short"

    def piece(self, token_id):
        """The bytes of a token; none for one that ends the completion."""
        if token_id in self.eos_ids or token_id == EOS:
            return b""
        return PIECES[token_id % len(PIECES)] if self._short else bytes([token_id])

    def traits(self):
        """The same for the engine."""
        return ModelTraits(
            tokenizer=ByteTokenizer(),
            new_decoder=lambda: BytesDecoder(self.piece),
            vocab_size=self.vocab_size,
            eos_ids=self.eos_ids,
            context_length=self.context_length,
        )


class Played:
    """One request in the engine: what was asked, what its client heard, what its mods saw."""

    def __init__(self, number, request):
        """Take a request of a program."""
        self.request = request
        self.name = f"r{number}"
        self.updates = []
        self.began_at = None  # the step before which it was submitted
        self.was_cancelled = False
        self.scripts = [Script(f"m{i}", spec) for i, spec in enumerate(request.mods)]

    @property
    def end(self):
        """The last update, if it is an end."""
        last = self.updates[-1] if self.updates else None
        return last if isinstance(last, Completed | Failed) else None

    def ask(self):
        """What the engine is asked."""
        request = self.request
        return GenerationRequest(
            request_id=self.name,
            prompt_ids=tuple(request.prompt),
            max_tokens=request.max_tokens,
            sampling=sampling_params(request),
            stop=tuple(request.stop),
            mods=tuple(_mod_call(script) for script in self.scripts),
            stream=request.stream,
            include_retractions=request.retractions,
            show_tokens=request.show_tokens,
            top_logprobs=request.top_logprobs,
            cache_salt=request.salt,
        )


def play(program):
    """Run a program; what came of each request, and what went wrong with the engine itself."""
    played = [Played(i, request) for i, request in enumerate(program.requests)]
    with _constants(program):
        engine, kv_bytes = _engine(program)
        problem = _run(engine, played, kv_bytes)
    return played, problem


def _run(engine, played, kv_bytes):
    for step in range(MAX_STEPS):
        _submit_and_cancel(engine, played, step)
        if not engine.has_work and all(one.end for one in played):
            return None
        try:
            engine.step()
        except Exception as exc:
            return f"the engine raised {exc!r} in step {step}"
        metrics = engine.metrics()
        if kv_bytes is not None and metrics.kv_bytes + metrics.prefix_bytes > kv_bytes:
            taken = f"{metrics.kv_bytes} and {metrics.prefix_bytes} for prefixes"
            return f"caches take {taken} of {kv_bytes} bytes after step {step}"
    return "the engine does not come to an end"


def _submit_and_cancel(engine, played, step):
    for one in played:
        request = one.request
        if one.began_at is None and _is_due(played, request, step):
            one.began_at = step
            if request.goes_on:
                end = played[request.after].end
                before = played[request.after].request.prompt
                said = list(getattr(end, "token_ids", ()))
                request.prompt = [*before, *said, *request.prompt]
                request.goes_on = False
            engine.submit(one.ask(), one.updates.append)
        elif one.began_at is not None and request.cancel == step - one.began_at and not one.end:
            one.was_cancelled = True
            engine.cancel(one.name)


def _is_due(played, request, step):
    if request.after is not None:
        return played[request.after].end is not None
    return step >= request.at


@contextmanager
def _constants(program):
    """Small constants, so that what happens to long texts happens to short ones."""
    growth, candidates = attention.GROWTH, getattr(sampler, "_CANDIDATES", None)
    attention.GROWTH = program.growth
    if program.candidates and candidates:
        sampler._CANDIDATES = program.candidates
    try:
        yield
    finally:
        attention.GROWTH = growth
        if candidates:
            sampler._CANDIDATES = candidates


def _engine(program):
    world = World(program)
    profile = profile_named(program.model, program.growth)
    profile = msgspec.structs.replace(profile, cost=PassCost(per_token=program.per_token))
    if program.sharing is not None:
        least = min(profile.sharing, Sharing(program.sharing))
        profile = msgspec.structs.replace(profile, sharing=least)
    kv_bytes = _kv_bytes(program, profile)
    config = EngineConfig(
        max_rows=program.max_rows,
        chunk=program.chunk,
        kv_bytes=kv_bytes,
        prefix_bytes=None if program.prefixes else 0,
    )
    runner = ModelRunner(model_named(program.model), profile, margin=program.margin)
    return Engine(runner, world.traits(), config), kv_bytes


def _kv_bytes(program, profile):
    """The memory for caches: at least what the largest request needs when it is alone."""
    if program.memory is None:
        return None
    length = max(map(_longest, program.requests))
    low, high = 0, 2**40
    while high - low > 1:
        middle = (low + high) // 2
        budget = KvBudget(
            profile.footprint,
            max_bytes=middle,
            max_rows=program.max_rows,
            context_length=program.context,
        )
        fits = budget.longest >= length and budget.fits([length])
        low, high = (low, middle) if fits else (middle, high)
    return int(program.memory * high)


def _longest(request):
    actions = [rule.do for spec in request.mods for rule in spec.rules]
    prompts = [len(request.prompt), *(len(do[1]) for do in actions if do[0] == "prefill")]
    outputs = [request.max_tokens + 1, *(len(do[1]) for do in actions if do[0] == "output")]
    return max(prompts) + max(outputs)


# Mods


def _mod_call(script):
    def handle(event, actions):
        return _action(actions, script.answer(_event(script, event)))

    marked = mod(
        name=script.name,
        on=[_TYPES[name] for name in sorted(script.on)],
        max_backtrack=script.max_backtrack,
        registered=False,
    )(handle)
    return ModCall(definition=definition_of(marked), parameters={}, name=script.name)


def _event(script, event):
    name = type(event).__name__
    tokens = getattr(event, "added_tokens", ())
    if name == "Sampled":
        tokens = (event.sampled_token,)
    if isinstance(event, Prefilled):
        tokens = event.context_info.tokens
        assert event.context_info.prompt_len == len(tokens)
    seen = Event(
        name,
        event.step,
        tokens=tokens,
        forced=getattr(event, "forced", False),
        max_steps=getattr(event, "max_steps", 0),
        reason=getattr(event, "finish_reason", ""),
    )
    if name == "ForwardPass":
        seen.logits = event.logits.to_numpy() if script.reads else event.logits.to_numpy
    return seen


def _action(actions, action):
    kind, *values = action
    if kind == "raise":
        raise RuntimeError("kaput")
    if kind == "logits":
        return actions.adjust_logits(**_change(values[0]))
    make = {
        "noop": actions.noop,
        "prefill": actions.adjust_prefill,
        "force": actions.force_tokens,
        "backtrack": actions.backtrack,
        "output": actions.force_output,
        "tools": actions.tool_calls,
        "error": actions.emit_error,
    }[kind]
    return make(*values)


def _change(change):
    fields = {"logits": change.get("row"), "token_temp": change.get("temp")}
    if "bias" in change:
        fields["bias"] = {int(token_id): value for token_id, value in change["bias"].items()}
    if "mask" in change:
        allowed = np.isin(np.arange(VOCAB), change["mask"])
        fields["mask"] = np.packbits(allowed, bitorder="little").tobytes()
    return fields | {key: change[key] for key in ("allow", "ban") if key in change}

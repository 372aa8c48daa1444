"""Runs a program in the engine and records what clients and mods receive."""

import copy
from contextlib import contextmanager

import mlx.core as mx
import msgspec
import numpy as np
from concordance_inference.choices import requests_of_choices
from concordance_inference.engine.caches import kv_buffers
from concordance_inference.engine.caches.budget import KvBudget
from concordance_inference.engine.config import EngineConfig, ModelTraits
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.loops import guard
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.engine.output.decoder import BytesDecoder
from concordance_inference.engine.parking import calls
from concordance_inference.engine.plan import PassCost, Sharing
from concordance_inference.engine.request.instances import make_instances
from concordance_inference.generation import Completed, Failed, GenerationRequest, ModCall
from concordance_inference.loop_detection import LoopDetection
from concordance_sdk import Prefilled, mod
from concordance_sdk.host import definition_of
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import EVENTS as EVENT_TYPES
from late_mods import LateMod

from naive.channels import format_of, piece
from naive.contents import with_formats
from naive.guard import rules_of
from naive.models import model_named, profile_named, vocab_of
from naive.outcome import Event
from naive.programs import EOS, PIECES, sampling_params
from naive.sampling import seed_of_choice
from naive.script import AT_TOKENS, parts_of, scripts_of
from naive.steps import script_of

#: Steps after which an engine counts as one that never ends.
MAX_STEPS = 4000

_TYPES = {event.__name__: event for event in EVENT_TYPES}


class World:
    """What the engine and the executor need of a program's model besides its weights."""

    def __init__(self, program):
        """Compute the vocabulary of a program and its memory limits."""
        self.vocab_size = vocab_of(program.model)
        self.eos_ids = frozenset(program.eos)
        self.context_length = program.context
        self.kv_bytes = _kv_bytes(program)
        budget = _budget(program, 2**62 if self.kv_bytes is None else self.kv_bytes)
        self.longest = _room_of(budget, program, 1)  # maximum tokens of one request in the caches
        self.share = _room_of(
            budget, program, program.max_rows
        )  # of each, if all rows are equally long
        self.control_ids = frozenset(program.control)
        self.header_ids = frozenset(program.headers)
        self.loop_repeats = program.loop_repeats
        self._short = program.alphabet == "short"
        self.channels = program.channels
        self.format = format_of(program.channels, self)

    def piece(self, token_id):
        """Return the bytes of a token; none for one that ends the completion."""
        if token_id in self.eos_ids or token_id == EOS:
            return b""
        if self.channels:
            return piece(self.channels, token_id)
        return PIECES[token_id % len(PIECES)] if self._short else bytes([token_id % 256])

    def traits(self):
        """Return the traits for the engine."""
        return ModelTraits(
            tokenizer=ByteTokenizer(),
            new_decoder=lambda skipped=(), kept=(): BytesDecoder(self.piece, skipped=skipped),
            vocab_size=self.vocab_size,
            eos_ids=self.eos_ids,
            context_length=self.context_length,
            control_ids=self.control_ids,
            header_ids=self.header_ids,
        )


class Played:
    """One request in the engine: its updates, and the events of its mods."""

    def __init__(self, number, request, vocab_size, choice=0):
        """Prepare a request of a program, or one of its choices."""
        self.choice = choice
        self.name = f"r{number}-{choice}" if choice else f"r{number}"
        self.given = sampling_params(request)
        self.request = copy.deepcopy(request)
        self.request.sampling["seed"] = seed_of_choice(self.given.seed, choice)
        self.updates = []
        self.began_at = None  # the step before which it was submitted
        self.was_cancelled = False
        self.mods = scripts_of(request, vocab_size)
        self.scripts = parts_of(self.mods)

    @property
    def end(self):
        """The last update, if the request has ended."""
        last = self.updates[-1] if self.updates else None
        return last if isinstance(last, Completed | Failed) else None

    def generation_request(self, world):
        """Return the request for the engine."""
        request = self.request
        first = GenerationRequest(
            request_id=self.name.partition("-")[0],
            prompt_ids=tuple(request.prompt),
            max_tokens=request.max_tokens,
            sampling=self.given,
            stop=tuple(request.stop),
            stop_token_ids=tuple(request.stop_ids),
            ignore_eos=request.ignore_eos,
            min_tokens=request.min_tokens,
            mods=with_formats([_mod_call(script) for script in self.mods], request, world),
            stream=request.stream,
            include_retractions=request.retractions,
            show_tokens=request.show_tokens,
            top_logprobs=request.top_logprobs,
            sampled_logprobs=request.sampled_logprobs,
            loop_detection=LoopDetection(**request.loops) if request.loops else None,
            cache_salt=request.salt,
            channels=world.format,
            token_rules=rules_of(request.guard, world),
            stops_in_content=True,
        )
        choice = requests_of_choices(first, self.choice + 1)[self.choice]
        choice = msgspec.structs.replace(choice, request_id=self.name)
        if not request.late:
            return choice
        mods = make_instances(choice, world.traits())
        late = tuple(LateMod(mod, request.late + i) for i, mod in enumerate(mods))
        return msgspec.structs.replace(choice, instances=late)


def play(program):
    """Run a program in the engine.

    Returns:
        The played requests, the model's `World`, and an error of the engine itself, if any.
    """
    with _constants(program):
        world = World(program)
        requests = list(enumerate(program.requests))
        played = [Played(i, request, world.vocab_size) for i, request in requests]
        played += [
            Played(i, request, world.vocab_size, choice)
            for i, request in requests
            for choice in range(1, request.choices)
        ]
        problem = _run(_engine(program, world), played, world)
    return played, world, problem


def _run(engine, played, world):
    kv_bytes = world.kv_bytes
    for step in range(MAX_STEPS):
        _submit_and_cancel(engine, played, step, world)
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


def _submit_and_cancel(engine, played, step, world):
    for one in played:
        request = one.request
        if one.began_at is None and _is_due(played, request, step):
            one.began_at = step
            if request.goes_on:
                end = played[request.after].end
                before = played[request.after].request.prompt
                completion = list(getattr(end, "token_ids", ()))
                request.prompt = [*before, *completion, *request.prompt]
                request.goes_on = False
            engine.submit(one.generation_request(world), one.updates.append)
        elif one.began_at is not None and request.cancel == step - one.began_at and not one.end:
            one.was_cancelled = True
            engine.cancel(one.name)


def _is_due(played, request, step):
    if request.after is not None:
        return played[request.after].end is not None
    return step >= request.at


@contextmanager
def _constants(program):
    """Set small constants, so that short texts reach the cases of long ones."""
    growth, enough, patience = kv_buffers.GROWTH, guard.enough_repeats, calls.PATIENCE_S
    calls.PATIENCE_S = 0.0  # each step asks for a late answer once
    resize_bytes = kv_buffers.resize_bytes
    kv_buffers.GROWTH = program.growth
    guard.enough_repeats = lambda period: max(program.loop_repeats, 2 * period - 2)
    if program.resize_bytes:
        kv_buffers.resize_bytes = lambda: program.resize_bytes
    try:
        yield
    finally:
        guard.enough_repeats, calls.PATIENCE_S = enough, patience
        kv_buffers.GROWTH, kv_buffers.resize_bytes = growth, resize_bytes


def _engine(program, world):
    profile = profile_named(program.model, program.growth)
    profile = msgspec.structs.replace(profile, cost=PassCost(per_token=program.per_token))
    if program.sharing is not None:
        least = min(profile.sharing, Sharing(program.sharing))
        profile = msgspec.structs.replace(profile, sharing=least)
    config = EngineConfig(
        max_rows=program.max_rows,
        chunk=program.chunk,
        num_candidates=program.candidates or None,
        kv_bytes=world.kv_bytes,
        prefix_bytes=None if program.prefixes else 0,
    )
    runner = ModelRunner(model_named(program.model), profile, margin=program.margin)
    return Engine(runner, world.traits(), config)


def _budget(program, max_bytes):
    return KvBudget(
        profile_named(program.model, program.growth).footprint,
        max_bytes=max_bytes,
        max_rows=program.max_rows,
        context_length=program.context,
    )


def _kv_bytes(program):
    """Return the bytes for caches: `memory` times the need of the largest request alone."""
    if program.memory is None:
        return None
    length = max(map(_longest, program.requests))
    least = _least(lambda num_bytes: _budget(program, num_bytes).fits([length]), 2**40)
    return int(program.memory * least)


def _room_of(budget, program, num_rows):
    """Return the maximum length of `num_rows` rows of equal length."""
    return _least(
        lambda length: length == program.context or not budget.fits([length + 1] * num_rows),
        program.context,
    )


def _least(is_enough, most):
    """Return the least number up to `most` that is enough, by bisection."""
    low, high = -1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _longest(request):
    actions = [
        action
        for spec in _all_mods(request.mods)
        for rule in spec.rules
        for action in (rule.do[1] if rule.do[0] == "list" else [rule.do])
    ]
    prompts = [len(request.prompt), *(len(do[1]) for do in actions if do[0] == "prefill")]
    limit = len(request.prompt) if request.max_tokens is None else request.max_tokens
    outputs = [limit + 1, *(len(do[1]) for do in actions if do[0] == "output")]
    return max(prompts) + max(outputs)


def _all_mods(mods):
    return [each for spec in mods for each in (spec, *_all_mods(spec.contains))]


# Mods


_METHODS = {
    "Prefilled": "prefilled",
    "ForwardPass": "forward_pass",
    "Sampled": "sampled",
    "Added": "added",
    "Finished": "finished",
}


def _mod_call(script):
    return ModCall(definition=definition_of(_marked(script)), parameters={}, name=script.name)


def _marked(script):
    """Mark a function, or a class if the mod contains other mods."""

    if script.steps:
        return mod(name=script.name, registered=False)(script_of(script.steps))

    def handle(event, actions):
        return _action(actions, script.act(_event(script, event)), script)

    options = {"name": script.name.rpartition("/")[2], "registered": False}
    options["max_backtrack"] = script.max_backtrack
    if not script.contains:
        return mod(on=[_TYPES[name] for name in sorted(script.on)], **options)(handle)
    methods = dict.fromkeys(
        [_METHODS[name] for name in script.on], lambda self, event, actions: handle(event, actions)
    )
    methods["mods"] = lambda self: [_marked(inner) for inner in script.contains]
    return mod(**options)(type("Container", (), methods))


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
    if name in AT_TOKENS:
        seen.place = (event.channel, event.recipient, event.in_header)
    if name == "ForwardPass":
        seen.logits = event.logits.to_numpy() if script.reads else event.logits.to_numpy
        if event.prompt_logprobs is not None:
            first, *seen.prompt_logprobs = event.prompt_logprobs
            assert first is None
    if name == "Sampled" and script.reads:
        seen.logprob = event.logprob
    return seen


def _action(actions, action, script):
    kind, *values = action
    if kind == "raise":
        raise RuntimeError("kaput")
    if kind == "list":
        return [_action(actions, each, script) for each in values[0]]
    if kind == "report":
        return actions.report(**values[0])
    if kind == "logits":
        return actions.adjust_logits(**_change(values[0], script.vocab_size))
    if kind == "prefill":
        return actions.adjust_prefill(*values, logprobs=script.reads)
    make = {
        "noop": actions.noop,
        "force": actions.force_tokens,
        "backtrack": actions.backtrack,
        "output": actions.force_output,
        "tools": actions.tool_calls,
        "error": actions.emit_error,
    }[kind]
    return make(*values)


def _bias(bias, vocab_size):
    """Return biases in one of the forms that an action may have: a mapping or an array."""
    by_id = {int(token_id): value for token_id, value in bias.items()}
    row = np.zeros(vocab_size, np.float32)
    if all(0 <= token_id < vocab_size for token_id in by_id):
        row[list(by_id)] = list(by_id.values())
        return [by_id, row, mx.array(row)][sum(by_id) % 3]
    return by_id


def _change(change, vocab_size):
    fields = {"logits": change.get("row"), "token_temp": change.get("temp")}
    if "bias" in change:
        fields["bias"] = _bias(change["bias"], vocab_size)
    if "mask" in change:
        allowed = np.isin(np.arange(vocab_size), change["mask"])
        forms = [lambda: np.packbits(allowed, bitorder="little").tobytes(), lambda: allowed]
        forms.append(allowed.tolist)
        fields["mask"] = forms[sum(change["mask"]) % 3]()
    return fields | {key: change[key] for key in ("allow", "ban") if key in change}

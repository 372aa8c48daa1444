"""Drives an engine, and mlx-lm, through the same work in this thread."""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from concordance_sdk import Actions, Added, ForwardPass, Sampled, definition_of, mod
from mlx_lm.generate import BatchGenerator, stream_generate
from msgspec import Struct

from concordance_inference.engine.config import EngineConfig, ModelTraits
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.runner import ModelRunner
from concordance_inference.generation import (
    Failed,
    GenerationRequest,
    ModCall,
    SamplingParams,
    Update,
    new_request_id,
)

GREEDY = SamplingParams(temperature=0.0)


class Subject:
    """A model as both engines see it. No token ends a completion, so that lengths are as asked."""

    def __init__(
        self,
        name: str,
        model: Any,
        tokenizer: Any,
        traits: ModelTraits,
        *,
        place: str | None = None,
    ) -> None:
        """Take a model.

        Args:
            name: What figures call it.
            model: One of mlx-lm's.
            tokenizer: mlx-lm's wrapper of its tokenizer; its end tokens are taken away.
            traits: What our engine has to know of it, without end tokens.
            place: Where mlx-lm loads it from in another process, if it can.
        """
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        self.traits = traits
        self.place = place
        tokenizer.eos_token_ids = set()
        self.engine = Engine(ModelRunner(model), traits, EngineConfig())

    def prompt(self, num_tokens: int, seed: int = 0) -> list[int]:
        """A prompt of random tokens, the same every time."""
        key = mx.random.key(seed)
        low, high = 10, self.traits.vocab_size
        return mx.random.randint(low, high, (num_tokens,), key=key).tolist()  # type: ignore[return-value]


@mod(name="silent", max_backtrack=0)
def silent(event: object, actions: Actions) -> None:
    """Listens to everything and answers nothing."""
    del event, actions


def call(target: Any) -> ModCall:
    """A mod as a request names it, without parameters."""
    definition = definition_of(target)
    return ModCall(definition=definition, parameters={}, name=definition.name)


def request(
    prompt_ids: Sequence[int], max_tokens: int, *mods: Any, stream: bool = True
) -> GenerationRequest:
    """A greedy request."""
    return GenerationRequest(
        request_id=new_request_id(),
        prompt_ids=tuple(prompt_ids),
        max_tokens=max_tokens,
        sampling=GREEDY,
        mods=tuple(call(target) for target in mods),
        stream=stream,
    )


def decode(
    subject: Subject, prompts: Sequence[Sequence[int]], max_tokens: int, *mods: Any
) -> float:
    """Our tokens per second, from when every row has its first token to the end."""
    engine = subject.engine
    requests = [request(prompt_ids, max_tokens, *mods) for prompt_ids in prompts]
    for asked in requests:
        engine.submit(asked, _ignore)
    start, counted = 0.0, 0
    while engine.has_work:
        engine.step()
        seen = [row.state.num_sampled + row.state.num_forced for row in engine.rows]
        if not start and len(seen) == len(prompts) and all(seen):
            start, counted = time.perf_counter(), sum(seen)
    return (max_tokens * len(prompts) - counted) / (time.perf_counter() - start)


def decode_mlx_lm(subject: Subject, prompt_ids: list[int], max_tokens: int) -> float:
    """The tokens per second of mlx-lm's `stream_generate`, from its first token to the end."""
    start, count = 0.0, 0
    for _ in stream_generate(subject.model, subject.tokenizer, prompt_ids, max_tokens=max_tokens):
        start = start or time.perf_counter()
        count += 1
    return (count - 1) / (time.perf_counter() - start)


def decode_mlx_lm_batch(subject: Subject, prompts: Sequence[list[int]], max_tokens: int) -> float:
    """The tokens per second of mlx-lm's `BatchGenerator`, once all rows decode."""
    rows = len(prompts)
    generator = BatchGenerator(
        subject.model,
        max_tokens=max_tokens,
        completion_batch_size=rows,
        prefill_batch_size=rows,
    )
    generator.insert(list(prompts))
    start, count = 0.0, 0
    while responses := generator.next_generated():
        if start:
            count += len(responses)
        elif len(responses) == rows:
            start = time.perf_counter()
    return count / (time.perf_counter() - start)


def prefill(subject: Subject, prompt_ids: Sequence[int]) -> float:
    """Our tokens per second of reading a prompt, to the first token."""
    start = time.perf_counter()
    _run(subject.engine, request(prompt_ids, 1))
    return len(prompt_ids) / (time.perf_counter() - start)


def prefill_mlx_lm(subject: Subject, prompt_ids: list[int]) -> float:
    """mlx-lm's tokens per second of reading a prompt, to the first token."""
    start = time.perf_counter()
    for _ in stream_generate(subject.model, subject.tokenizer, prompt_ids, max_tokens=1):
        pass
    return len(prompt_ids) / (time.perf_counter() - start)


def force(subject: Subject, prompt_ids: Sequence[int], forced: Sequence[int]) -> float:
    """Tokens per second of forced tokens: from the decision to the next sampled token."""
    stamps: list[float] = []

    @mod(name="force", on=[ForwardPass, Sampled], max_backtrack=0)
    def forcing(event: ForwardPass | Sampled, actions: Actions) -> object:
        stamps.append(time.perf_counter())
        if event.step == 0:
            return actions.force_tokens(forced)
        return None

    _run(subject.engine, request(prompt_ids, len(forced) + 2, forcing))
    return len(forced) / (stamps[2] - stamps[0])  # decision, next scores, next token


class TakenBack(Struct, frozen=True):
    """What taking tokens back cost, in seconds: how much longer the next token took than usual."""

    first: float  # the first time in a request: a pass that was read ahead is thrown away
    later: float  # the median of the other times


def take_back(subject: Subject, context: int, n: int, *, repeats: int = 4) -> TakenBack:
    """Take back the last `n` tokens at a context of so many tokens, several times in a request."""
    usual: list[float] = []
    added: list[float] = []
    state = {"at": 0.0, "took_back": False, "since": 0}

    @mod(name="take_back", on=[Added], max_backtrack=None)
    def taking_back(_event: Added, actions: Actions) -> object:
        now = time.perf_counter()
        if state["at"]:
            (added if state["took_back"] else usual).append(now - state["at"])
        state["at"], state["since"] = now, state["since"] + 1
        state["took_back"] = state["since"] > n + 4 and len(added) < repeats
        if state["took_back"]:
            state["since"] = 0
            return actions.backtrack(n)
        return actions.force_output(()) if len(added) == repeats else None

    _run(subject.engine, request(subject.prompt(context - n), 4096, taking_back, stream=False))
    median = statistics.median(usual)
    return TakenBack(added[0] - median, statistics.median(added[1:]) - median)


def _run(engine: Engine, asked: GenerationRequest) -> None:
    updates: list[Update] = []
    engine.submit(asked, updates.append)
    while engine.has_work:
        engine.step()
    if isinstance(updates[-1], Failed):
        raise updates[-1].error


def _ignore(update: Update) -> None:
    if isinstance(update, Failed):
        raise update.error

"""Drives our engine through work in this thread, and times it."""

import statistics
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import mlx.core as mx
from concordance_sdk import Actions, Added, ForwardPass, definition_of, mod
from msgspec import Struct

from concordance_inference.engine.config import EngineConfig, ModelTraits
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.model.calibration.profile import ModelProfile, profile_of
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.engine.request.row import Row
from concordance_inference.generation import (
    Completed,
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
        self.profile: ModelProfile = profile_of(model)

    def engine(self, **config: Any) -> Engine:
        """An engine that remembers nothing of earlier requests, unless it is told to."""
        fields: dict[str, Any] = {"prefix_bytes": 0, **config}
        return Engine(ModelRunner(self.model, self.profile), self.traits, EngineConfig(**fields))

    def prompt(self, num_tokens: int, seed: int = 0) -> list[int]:
        """A prompt of random tokens, the same every time."""
        key = mx.random.key(seed)
        low, high = 10, self.traits.vocab_size
        return mx.random.randint(low, high, (num_tokens,), key=key).tolist()  # type: ignore[return-value]

    def prompts(self, count: int) -> list[list[int]]:
        """Short prompts, no two of one length: rows that come together but do not run alike."""
        return [self.prompt(24 + seed, seed) for seed in range(count)]


@mod(name="silent", max_backtrack=0)
def silent(event: object, actions: Actions) -> None:
    """Listens to everything and answers nothing."""
    del event, actions


def call(target: Any) -> ModCall:
    """A mod as a request names it, without parameters."""
    definition = definition_of(target)
    return ModCall(definition=definition, parameters={}, name=definition.name)


def request(
    prompt_ids: Sequence[int],
    max_tokens: int,
    *mods: Any,
    stream: bool = True,
    sampling: SamplingParams = GREEDY,
    **fields: Any,
) -> GenerationRequest:
    """A request, greedy and streamed unless it says otherwise."""
    return GenerationRequest(
        request_id=new_request_id(),
        prompt_ids=tuple(prompt_ids),
        max_tokens=max_tokens,
        sampling=sampling,
        mods=tuple(call(target) for target in mods),
        stream=stream,
        **fields,
    )


def run(engine: Engine, *requests: GenerationRequest) -> list[Completed]:
    """Run requests to their ends."""
    updates: list[list[Update]] = [[] for _ in requests]
    for asked, told in zip(requests, updates, strict=True):
        engine.submit(asked, told.append)
    while engine.has_work:
        engine.step()
    return [_end(told[-1]) for told in updates]


def _end(update: Update) -> Completed:
    if isinstance(update, Failed):
        raise update.error
    assert isinstance(update, Completed)
    return update


def submit(engine: Engine, *requests: GenerationRequest) -> None:
    """Submit requests whose answers nobody reads."""
    for asked in requests:
        engine.submit(asked, _ignore)


def _ignore(update: Update) -> None:
    if isinstance(update, Failed):
        raise update.error


def num_produced(row: Row) -> int:
    """How many tokens a row has put into its completion, those that it took back again too."""
    return row.state.num_completion + row.state.num_taken_back


def decode_rate(engine: Engine, *requests: GenerationRequest) -> float:
    """Tokens per second, from when every request has its first token until one has ended."""
    submit(engine, *requests)
    while not all(num_produced(row) for row in engine.rows) or len(engine.rows) < len(requests):
        engine.step()
    rows = engine.rows
    start, before = time.perf_counter(), sum(map(num_produced, rows))
    while not any(row.state.is_finished for row in rows):
        engine.step()
    seconds = time.perf_counter() - start
    rate = (sum(map(num_produced, rows)) - before) / seconds
    while engine.has_work:
        engine.step()
    return rate


def prefill_seconds(engine: Engine, prompt_ids: Sequence[int]) -> float:
    """How long reading a prompt takes, to the first token."""
    start = time.perf_counter()
    run(engine, request(prompt_ids, 1))
    return time.perf_counter() - start


def force_seconds(engine: Engine, prompt_ids: Sequence[int], forced: Sequence[int]) -> float:
    """How long forced tokens take: from the decision until the next token is sampled."""
    stamps: list[float] = []

    @mod(name="force", on=[ForwardPass, Added], max_backtrack=0)
    def forcing(event: ForwardPass | Added, actions: Actions) -> object:
        if event.step == 0 and isinstance(event, ForwardPass):
            stamps.append(time.perf_counter())
            return actions.force_tokens(forced)
        if isinstance(event, Added) and not event.forced:
            stamps.append(time.perf_counter())
        return None

    run(engine, request(prompt_ids, len(forced) + 1, forcing))
    return stamps[1] - stamps[0]


class TakenBack(Struct, frozen=True):
    """What taking tokens back cost, in seconds."""

    usual: float  # between two tokens where nothing is taken back, the median
    added: float  # by how much longer than usual the next few tokens took, the median


#: So many tokens after taking back are timed: a pass that was in vain shows in any of them.
_TIMED = 4


def take_back(engine: Engine, prompt_ids: Sequence[int], n: int, *, repeats: int = 6) -> TakenBack:
    """Take back the last `n` tokens of a completion, several times in a request."""
    stamps: list[float] = []
    taken_at: list[int] = []  # which of the stamps is of an answer that took back

    @mod(name="take_back", on=[Added], max_backtrack=None)
    def taking_back(_event: Added, actions: Actions) -> object:
        stamps.append(time.perf_counter())
        since = len(stamps) - (taken_at[-1] if taken_at else 0)
        if len(taken_at) == repeats:
            return actions.force_output(()) if since > _TIMED + 1 else None
        if since < n + _TIMED + 4:
            return None
        taken_at.append(len(stamps) - 1)
        return actions.backtrack(n)

    run(engine, request(prompt_ids, 4096, taking_back, stream=False))
    gaps = [after - before for before, after in pairwise(stamps)]
    behind = {i for at in taken_at for i in range(at, at + _TIMED)}
    usual = statistics.median(gap for i, gap in enumerate(gaps) if i not in behind)
    spans = [stamps[at + _TIMED] - stamps[at] for at in taken_at]
    return TakenBack(usual, statistics.median(spans) - _TIMED * usual)


def token_times(engine: Engine, when: Callable[[], bool]) -> list[list[float]]:
    """When each running row got its tokens, from now until `when` says that it is enough.

    Returns:
        For each row this moment, and that of each of its tokens, in seconds.
    """
    rows = engine.rows
    seen = [num_produced(row) for row in rows]
    times = [[time.perf_counter()] for _ in rows]
    while not when():
        engine.step()
        now = time.perf_counter()
        for i, row in enumerate(rows):
            if num_produced(row) > seen[i]:
                seen[i] = num_produced(row)
                times[i].append(now)
    return times

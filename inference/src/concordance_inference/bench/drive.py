"""Runs requests on the engine in this thread, and times them."""

import statistics
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import mlx.core as mx
from concordance_sdk import Actions, Added, ForwardPass, mod
from concordance_sdk.host import definition_of
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
    """A model to measure on both engines. No token ends a completion: lengths are as requested."""

    def __init__(
        self,
        name: str,
        model: Any,
        tokenizer: Any,
        traits: ModelTraits,
        *,
        place: str | None = None,
    ) -> None:
        """Profile the model and remove its end tokens.

        Args:
            name: The model's name in figures.
            model: One of mlx-lm's.
            tokenizer: mlx-lm's wrapper of its tokenizer; its end tokens are removed.
            traits: What the engine needs besides the weights, without end tokens.
            place: A folder or hub id from which another process can load it with mlx-lm.
        """
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        self.traits = traits
        self.place = place
        tokenizer.eos_token_ids = set()
        self.profile: ModelProfile = profile_of(model)

    def engine(self, **config: Any) -> Engine:
        """Build an engine; without a prefix cache unless `prefix_bytes` is given."""
        fields: dict[str, Any] = {"prefix_bytes": 0, **config}
        return Engine(ModelRunner(self.model, self.profile), self.traits, EngineConfig(**fields))

    def prompt(self, num_tokens: int, seed: int = 0) -> list[int]:
        """Return random token ids, the same ones for the same seed."""
        key = mx.random.key(seed)
        low, high = 10, self.traits.vocab_size
        return mx.random.randint(low, high, (num_tokens,), key=key).tolist()  # type: ignore[return-value]

    def prompts(self, count: int) -> list[list[int]]:
        """Return short prompts of different lengths, so that the rows of a batch are ragged."""
        return [self.prompt(24 + seed, seed) for seed in range(count)]


@mod(name="silent", max_backtrack=0, registered=False)
def silent(event: object, actions: Actions) -> None:
    """Handle every event without an action."""
    del event, actions


def call(target: Any) -> ModCall:
    """Return a call of a mod without parameters."""
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
    """Build a request, greedy and streamed by default."""
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
    """Run requests until all have ended."""
    updates: list[list[Update]] = [[] for _ in requests]
    for one, received in zip(requests, updates, strict=True):
        engine.submit(one, received.append)
    while engine.has_work:
        engine.step()
    return [_end(received[-1]) for received in updates]


def _end(update: Update) -> Completed:
    if isinstance(update, Failed):
        raise update.error
    assert isinstance(update, Completed)
    return update


def submit(engine: Engine, *requests: GenerationRequest) -> None:
    """Submit requests and ignore their updates; an error is raised in the step that reports it."""
    for one in requests:
        engine.submit(one, _ignore)


def _ignore(update: Update) -> None:
    if isinstance(update, Failed):
        raise update.error


def num_produced(row: Row) -> int:
    """Count the tokens that a row has added to its completion, backtracked ones included."""
    return row.state.num_completion + row.state.num_backtracked


def decode_rate(engine: Engine, *requests: GenerationRequest) -> float:
    """Measure tokens per second, from the last first token until a request ends."""
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
    """Measure the seconds from submission to the first token."""
    start = time.perf_counter()
    run(engine, request(prompt_ids, 1))
    return time.perf_counter() - start


def force_seconds(engine: Engine, prompt_ids: Sequence[int], forced: Sequence[int]) -> float:
    """Measure the seconds from a `ForceTokens` until the next token is sampled."""
    stamps: list[float] = []

    @mod(name="force", on=[ForwardPass, Added], max_backtrack=0, registered=False)
    def force(event: ForwardPass | Added, actions: Actions) -> object:
        if event.step == 0 and isinstance(event, ForwardPass):
            stamps.append(time.perf_counter())
            return actions.force_tokens(forced)
        if isinstance(event, Added) and not event.forced:
            stamps.append(time.perf_counter())
        return None

    run(engine, request(prompt_ids, len(forced) + 1, force))
    return stamps[1] - stamps[0]


class BacktrackCost(Struct, frozen=True):
    """The cost of a backtrack, in seconds."""

    usual: float  # median time between two tokens without a backtrack
    added: float  # median time by which the tokens that follow a backtrack are late


#: Tokens timed after each backtrack: a wasted pass may delay any of them.
_TIMED = 4


def backtrack_cost(
    engine: Engine, prompt_ids: Sequence[int], n: int, *, repeats: int = 6
) -> BacktrackCost:
    """Measure a request whose mod backtracks `n` tokens, several times.

    The mod notes the time of each added token. It backtracks after every n + 8 tokens or so: the
    `_TIMED` tokens that follow a backtrack are compared with all others.
    """
    stamps: list[float] = []
    backtracks: list[int] = []  # indices in `stamps`

    @mod(name="backtrack", on=[Added], max_backtrack=None, registered=False)
    def backtrack(_event: Added, actions: Actions) -> object:
        stamps.append(time.perf_counter())
        since = len(stamps) - (backtracks[-1] if backtracks else 0)
        if len(backtracks) == repeats:
            return actions.force_output(()) if since > _TIMED + 1 else None
        if since < n + _TIMED + 4:
            return None
        backtracks.append(len(stamps) - 1)
        return actions.backtrack(n)

    run(engine, request(prompt_ids, 4096, backtrack, stream=False))
    gaps = [after - before for before, after in pairwise(stamps)]
    following = {i for at in backtracks for i in range(at, at + _TIMED)}
    usual = statistics.median(gap for i, gap in enumerate(gaps) if i not in following)
    spans = [stamps[at + _TIMED] - stamps[at] for at in backtracks]
    return BacktrackCost(usual, statistics.median(spans) - _TIMED * usual)


def token_times(engine: Engine, is_done: Callable[[], bool]) -> list[list[float]]:
    """Step until `is_done` returns True, and note when each running row gets its tokens.

    Returns:
        For each row the time of the call and of each of its tokens, in seconds.
    """
    rows = engine.rows
    seen = [num_produced(row) for row in rows]
    times = [[time.perf_counter()] for _ in rows]
    while not is_done():
        engine.step()
        now = time.perf_counter()
        for i, row in enumerate(rows):
            if num_produced(row) > seen[i]:
                seen[i] = num_produced(row)
                times[i].append(now)
    return times

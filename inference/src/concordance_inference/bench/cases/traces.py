"""The cost of traces: decoding with them, against decoding without."""

import threading
import time
from collections.abc import Iterator, Sequence

from concordance_inference.bench import drive
from concordance_inference.bench.drive import Subject, request
from concordance_inference.bench.figures import Effort, Figure, alternate, compared
from concordance_inference.engine.engine import Engine
from concordance_inference.traces.hub import TraceHub
from concordance_inference.traces.live import Watcher
from concordance_inference.traces.schema import Level

#: Share of the speed that a trace of every token may cost.
_TARGET = 0.97


class _Texts:
    """Decodes tokens with the subject's tokenizer."""

    def __init__(self, subject: Subject) -> None:
        self._tokenizer = subject.traits.tokenizer

    def decode(self, token_ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(token_ids))

    def token_bytes(self, token_id: int, *, at_start: bool = False) -> bytes:
        del at_start
        return self._tokenizer.decode([token_id]).encode()


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """Compare the speed of traced and untraced requests, alone and in a batch."""
    for rows in (1, 8):
        engine = subject.engine(max_rows=rows)
        off, requests, tokens, watched = alternate(
            [
                lambda engine=engine, rows=rows: _speed(engine, subject, effort, rows, None),
                lambda engine=engine, rows=rows: _speed(engine, subject, effort, rows, "requests"),
                lambda engine=engine, rows=rows: _speed(engine, subject, effort, rows, "tokens"),
                lambda engine=engine, rows=rows: _speed(
                    engine, subject, effort, rows, "tokens", watches=True
                ),
            ],
            rounds=effort.rounds,
        )
        what = f"decode of {rows} row{'s' if rows > 1 else ''}, traced at level"
        name, unit = subject.name, "tokens/s"
        yield compared(f"{what} requests", name, unit, requests, off, target=_TARGET)
        yield compared(f"{what} tokens", name, unit, tokens, off, target=_TARGET)
        yield compared(f"{what} tokens, watched", name, unit, watched, off, target=_TARGET)


def _speed(
    engine: Engine,
    subject: Subject,
    effort: Effort,
    rows: int,
    level: Level | None,
    *,
    watches: bool = False,
) -> float:
    """Measure tokens per second, with the thread that makes traces beside the engine."""
    asked = [
        request(subject.prompt(16, seed), effort.decode_tokens, trace=level) for seed in range(rows)
    ]
    hub = TraceHub()
    if watches:
        hub.watch(Watcher(threading.Event().set))
    if level is not None:
        asked = [*hub.begin(asked, model="bench", path="bench", texts=_Texts(subject))]
    start = time.perf_counter()
    drive.run(engine, *asked)
    seconds = time.perf_counter() - start
    hub.stop()
    return rows * effort.decode_tokens / seconds

"""How long steps wait for mods in workers, with one among them that sleeps at each event."""

import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from concordance_inference.bench.drive import Subject, request
from concordance_inference.bench.figures import Effort, Figure
from concordance_inference.generation import GenerationRequest, ModCall
from concordance_inference.sandbox.options import SandboxOptions
from concordance_inference.sandbox.protocol.events import ModSource
from concordance_inference.sandbox.sandboxed_mod import SandboxedMod
from concordance_inference.sandbox.supervisor import Supervisor

_ROWS, _PATIENT_S = 8, 60.0

_SOURCE = """
import time
from concordance_sdk import Added, mod

@mod(on=[Added], max_backtrack=0)
def measured(event, actions):
    time.sleep({seconds})
"""


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """Compare the steps of eight requests with mods in workers, of which one sleeps for 20 ms."""
    sandbox = Supervisor(SandboxOptions(load_s=_PATIENT_S, event_s=_PATIENT_S))
    with sandbox:
        if reason := _why_not(sandbox):
            yield _figure("with one that sleeps", subject, None, missing=reason)
            return
        healthy, sleeping = _mod(sandbox, 0.0), _mod(sandbox, 0.02)
        plain = _step_s(subject, effort, [None] * _ROWS)
        isolated = _step_s(subject, effort, [healthy] * _ROWS)
        mixed = _step_s(subject, effort, [*[healthy] * (_ROWS - 1), sleeping])
    yield _figure("8 mods in workers", subject, 1e3 * (isolated - plain))
    yield _figure("7 mods in workers and one that sleeps", subject, 1e3 * (mixed - plain), target=1)


def _why_not(sandbox: Supervisor) -> str:
    end = time.monotonic() + _PATIENT_S
    while not sandbox.status.is_available and time.monotonic() < end:
        time.sleep(0.01)
    return sandbox.status.reason


def _mod(sandbox: Supervisor, seconds: float) -> ModCall:
    text = _SOURCE.format(seconds=seconds)
    source = ModSource(name="measured", files={"m.py": text}, module="m", entrypoint="measured")
    return ModCall(definition=SandboxedMod(source, sandbox), parameters={}, name="measured")


def _step_s(subject: Subject, effort: Effort, mods: Sequence[ModCall | None]) -> float:
    """Return the median time of a step in which all rows but the last have a token."""
    engine = subject.engine()
    n = 2 * effort.decode_tokens
    for prompt, mod in zip(subject.prompts(_ROWS), mods, strict=True):
        engine.submit(_request(prompt, n, mod), lambda _: None)
    while len(engine.rows) < _ROWS:
        engine.step()
    taken: list[float] = []
    first = engine.rows[0]
    while not first.state.is_finished:
        started = time.perf_counter()
        engine.step()
        taken.append(time.perf_counter() - started)
    for row in engine.rows:
        engine.cancel(row.request.request_id)
    while engine.has_work:
        engine.step()
    return statistics.median(taken[len(taken) // 4 :])


def _request(prompt: list[int], num_tokens: int, mod: ModCall | None) -> GenerationRequest:
    made = request(prompt, num_tokens)
    return made if mod is None else replace(made, mods=(mod,))


def _figure(name: str, subject: Subject, value: float | None, **fields: Any) -> Figure:
    return Figure(
        name=f"wait of a step, batch of 8, {name}, p50",
        model=subject.name,
        value=value,
        unit="ms",
        at_most=True,
        **fields,
    )

"""`replay`: runs the request of a trace again, until its tokens differ."""

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from concordance_shared import ConcordanceError
from msgspec import Struct
from msgspec.structs import replace

from concordance_inference.generation import GenerationRequest, ModCall
from concordance_inference.llm import LLM, runtime_of
from concordance_inference.mods.catalog import ModCatalog, NamedMod
from concordance_inference.replay.beginning import begun_at, cut_at
from concordance_inference.replay.difference import Comparison, Difference
from concordance_inference.replay.recorded import ReplayError
from concordance_inference.replay.request import check_complete, replay_request
from concordance_inference.replay.text import text_of_replay
from concordance_inference.traces.active import GRACE_S
from concordance_inference.traces.commands import scheduled
from concordance_inference.traces.hub import TraceHub
from concordance_inference.traces.schema import Trace

if TYPE_CHECKING:
    from concordance_inference.control import Scheduled
    from concordance_inference.runtime import Runtime

#: Seconds between two comparisons while the replay runs.
_INTERVAL_S = 0.05

#: What a build consists of, in words.
_PARTS = {"concordance": "version of Concordance", "mlx": "version of MLX", "device": "device"}


class Replayed(Struct, frozen=True, kw_only=True, eq=False):
    """A trace, and that of its replay.

    Attributes:
        recorded: The trace.
        trace: That of the replay, up to the first difference.
        difference: The first difference; `None` if there is none.
        num_same: The tokens that are equal, backtracked and replaced ones included.
        warnings: What differs in the model's build or in the mods, and may be the reason.
    """

    recorded: Trace
    trace: Trace
    difference: Difference | None
    num_same: int
    warnings: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        """True if the replay has the tokens, their sources and the end of the trace."""
        return self.difference is None

    def __str__(self) -> str:
        """Describe the result in lines."""
        return text_of_replay(self.recorded, self.difference, self.num_same, self.warnings)


def replay(
    trace: Trace,
    llm: "LLM | Runtime",
    *,
    mods: Sequence[Path | str] = (),
    start: int = 0,
    other_model: bool = False,
) -> Replayed:
    """Run the request of a trace again, and compare.

    It has the prompt, the parameters, the seed and the mods of the trace; actions by hand are
    applied where they were applied. It stops at the first token that differs.

    Args:
        trace: The trace.
        llm: The model.
        mods: Files of mods that replace those of the trace with the same names.
        start: Tokens of the completion that are given; the rest is generated.
        other_model: Accept a model with another hash.

    Raises:
        ReplayError: The trace lacks something, or is of another model.
        ModLoadError: A file cannot be loaded.
    """
    check_complete(trace)
    runtime = runtime_of(llm) if isinstance(llm, LLM) else llm
    _check_model(trace, runtime, other_model=other_model)
    catalog = runtime.mods.with_files(map(Path, mods))
    edited = _edited(trace, runtime.mods, catalog) if mods else ()
    cut = cut_at(trace, start)
    request = replay_request(trace, runtime, catalog, edited)
    request = replace(request, scheduled=tuple(_commands(trace, catalog)))
    warnings = (*_builds(trace, runtime), *_mods(trace, request.mods, edited), *_level(trace))
    traits = runtime.engine.traits
    assert traits is not None, "started"
    comparison = Comparison(trace, num_skipped=cut.num_entries, num_given=cut.length)
    made = _run(begun_at(cut, trace, request, traits), runtime, comparison, trace)
    return Replayed(
        recorded=trace,
        trace=made,
        difference=comparison.end(made),
        num_same=comparison.num_same,
        warnings=warnings,
    )


def _run(
    request: GenerationRequest, runtime: "Runtime", comparison: Comparison, recorded: Trace
) -> Trace:
    """Run a request until it ends or differs; return its trace."""
    hub = TraceHub("tokens")
    (traced,) = hub.begin(
        [request],
        model=runtime.model.id,
        path=recorded.path,
        texts=runtime.chat,
        build=runtime.model.build,
        settings=recorded.settings,
    )
    is_over = threading.Event()
    follower = threading.Thread(target=_follow, args=(hub, traced, runtime, comparison, is_over))
    follower.start()
    try:
        for _ in runtime.submit(runtime.prepare(traced)):
            pass
    except ConcordanceError:  # the trace has it
        pass
    finally:
        is_over.set()
        follower.join()
        hub.close([traced])
        _wait_for_end(hub, traced.request_id)
        hub.stop()
    made = hub.get(traced.request_id)
    made.choice, made.source = recorded.choice, recorded.source
    return made


def _wait_for_end(hub: TraceHub, trace_id: str) -> None:
    """Wait until a trace is stored: the engine records the end after the last update."""
    deadline = time.monotonic() + 2 * GRACE_S
    hub.flush()
    while hub.running(trace_id) is not None and time.monotonic() < deadline:
        time.sleep(0.005)
        hub.flush()


def _follow(
    hub: TraceHub,
    request: GenerationRequest,
    runtime: "Runtime",
    comparison: Comparison,
    is_over: threading.Event,
) -> None:
    """Cancel a request once its tokens differ, or once all that were recorded are there."""
    while not is_over.wait(_INTERVAL_S):
        trace = hub.running(request.request_id)
        if trace is None:
            return
        is_same = comparison.follow(trace)
        if not is_same or (comparison.is_cut and comparison.is_over):
            is_over.wait(_INTERVAL_S)  # the probabilities follow one step later
            runtime.engine.cancel(request.request_id)
            return


def _check_model(trace: Trace, runtime: "Runtime", *, other_model: bool) -> None:
    recorded, here = trace.build.get("model"), runtime.model.build.get("model")
    if not other_model and recorded and here and recorded != here:
        raise ReplayError(
            f"trace {trace.id} is of the model {trace.model!r} with the hash {recorded}; this one, "
            f"{runtime.model.id!r}, has {here}. Give the model with --model, or accept another one "
            "with --other-model (in Python, other_model=True)"
        )


def _edited(trace: Trace, before: ModCatalog, catalog: ModCatalog) -> tuple[str, ...]:
    """Return the names of the mods that files replace.

    Raises:
        ReplayError: None is a mod of the trace.
    """
    known = {id(entry) for entry in before.entries()}
    given = [entry.name for entry in catalog.entries() if id(entry) not in known]
    names = [mod.name for mod in trace.mods]
    if not set(given) & set(names):
        raise ReplayError(
            f"the file defines {', '.join(given) or 'no mod'}, and trace {trace.id} has "
            f"{', '.join(names) or 'no mods'}: give the mod the name of the one it replaces"
        )
    return tuple(given)


def _commands(trace: Trace, catalog: ModCatalog) -> Iterator["Scheduled"]:
    def call_of(name: str, version: str, parameters: dict[str, object]) -> ModCall:
        del version
        return catalog.resolve([NamedMod(name=name, params=parameters)], strict=False)[0]

    for event in trace.events:
        try:
            command = scheduled(event, call_of)
        except (ConcordanceError, msgspec.ValidationError) as exc:
            raise ReplayError(
                f"trace {trace.id}: its command {event.action!r} at position {event.position} "
                f"cannot be made again: {exc}"
            ) from exc
        if command is not None:
            yield command


def _builds(trace: Trace, runtime: "Runtime") -> Iterator[str]:
    here = runtime.model.build
    if not trace.build.get("model"):
        yield "the trace has no hash of its model, which may be another one"
    elif trace.build["model"] != here.get("model"):
        yield f"the model is another one: {here.get('model')}, recorded {trace.build['model']}"
    for name, what in _PARTS.items():
        if trace.build.get(name) != here.get(name):
            yield f"the {what} is another one: {here.get(name)}, recorded {trace.build.get(name)}"


def _mods(trace: Trace, calls: Sequence[ModCall], edited: Sequence[str]) -> Iterator[str]:
    hashes = {call.name: f"sha256:{call.version}" if call.version else None for call in calls}
    for mod in trace.mods:
        here = hashes.get(mod.name, mod.hash)
        if mod.name not in edited and here != mod.hash:
            yield f"the mod {mod.name} has changed: {here}, recorded {mod.hash}"


def _level(trace: Trace) -> Iterator[str]:
    if trace.level != "tokens":
        yield (
            f"the level of the trace is {trace.level!r}: only the completion can be compared, "
            "without the tokens that mods removed and without probabilities"
        )
    elif trace.is_truncated:
        yield "the trace is truncated: only its first tokens can be compared"

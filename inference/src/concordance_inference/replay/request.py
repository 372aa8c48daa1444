"""Builds the request of a trace again."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec
from concordance_shared import ConcordanceError
from msgspec.structs import replace

from concordance_inference.generation import GenerationRequest
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.replay.recorded import (
    ReplayError,
    parameters_of,
    sampling_of,
    settings_of,
)
from concordance_inference.server.context import ServerContext
from concordance_inference.server.generations import generations_of
from concordance_inference.server.served_models import OneModel
from concordance_inference.traces.schema import Trace

if TYPE_CHECKING:
    from concordance_inference.runtime import Runtime

#: Fields of a body that refer to what only the server of the trace has.
_ELSEWHERE = ("resume_from", "branch_from", "previous_response_id", "conversation")

#: Fields of a body that do not change the completion, or are set from the trace.
_LEFT_OUT = ("trace", "background", "store", "seed")


def replay_request(
    trace: Trace, runtime: "Runtime", mods: ModCatalog, edited: Sequence[str] = ()
) -> GenerationRequest:
    """Return the request of a trace, for another model's runtime too.

    Args:
        trace: The trace.
        runtime: The model that will run it.
        mods: The mods that it may name.
        edited: Names of mods of which any version is right.

    Raises:
        ReplayError: Something is missing, which the message names.
    """
    check_complete(trace)
    assert trace.source is not None
    raw = msgspec.json.encode(_body(trace, runtime.model.id, edited))
    context = ServerContext(
        models=OneModel(runtime, runtime.chat),
        mods=mods,
        **settings_of(trace),
    )
    try:
        generations = generations_of(trace.path, raw, context)
    except ConcordanceError as exc:
        raise ReplayError(
            f"trace {trace.id}: its request cannot be made again: {exc}; a mod that was uploaded "
            "is given with --mod FILE, or in Python with mods=[FILE]"
        ) from exc
    if not 0 <= trace.choice < len(generations):
        raise ReplayError(f"trace {trace.id}: its body has no choice {trace.choice}")
    return _as_recorded(generations[trace.choice], trace)


def check_complete(trace: Trace) -> None:
    """Refuse a trace that lacks something.

    Raises:
        ReplayError: The message names all that is missing.
    """
    if lacks := list(_lacks(trace)):
        raise ReplayError(f"trace {trace.id} cannot be replayed: it lacks {'; '.join(lacks)}")


def _lacks(trace: Trace) -> Iterator[str]:
    if trace.status == "running":
        yield "its end, since its request still runs"
    if trace.source is None or trace.prompt_ids is None:
        yield (
            "the body and the prompt of its request, since its server keeps no prompts "
            "(`--trace-prompts` keeps them) or was of an earlier version"
        )
    if trace.seed is None:
        yield "the seed, since its request never started"
    for name in _ELSEWHERE:
        if value := (trace.source or {}).get(name):
            yield f"what {name}={value!r:.80} refers to, which only its server has"


def _body(trace: Trace, model: str, edited: Sequence[str]) -> dict[str, Any]:
    """Return the body of the request, for a model of another name."""
    assert trace.source is not None
    body = {name: value for name, value in trace.source.items() if name not in _LEFT_OUT}
    if isinstance(body.get("model"), str):
        body["model"] = model + _mods_of_model(body["model"], trace)
    if isinstance(body.get("mods"), list):
        body["mods"] = [_any_version(mod, edited) for mod in body["mods"]]
    return body


def _mods_of_model(name: str, trace: Trace) -> str:
    """Return the end of a model string that names mods: `/a+b`, or nothing."""
    known = {mod.name for mod in trace.mods}
    parts = name.split("/")
    for i in range(1, len(parts)):
        end = "/".join(parts[i:])
        if all(part.split("@")[0] in known for part in end.split("+")):
            return f"/{end}"
    return ""


def _any_version(mod: Any, edited: Sequence[str]) -> Any:
    """Return a mod of a body without its version, if it is one of those that were edited."""
    name = mod.get("name") if isinstance(mod, dict) else mod
    plain = name.split("@")[0] if isinstance(name, str) else None
    if plain not in edited:
        return mod
    return {**cast(dict[str, Any], mod), "name": plain} if isinstance(mod, dict) else plain


def _as_recorded(request: GenerationRequest, trace: Trace) -> GenerationRequest:
    """Return the request with the prompt and the parameters of the trace.

    They may differ where the server had other defaults, or knew the tokens of earlier messages.
    """
    return replace(
        request,
        request_id=trace.id,
        prompt_ids=tuple(trace.given_prompt_ids or trace.prompt_ids or ()),
        sampling=sampling_of(trace),
        trace="tokens",
        **parameters_of(trace),
    )

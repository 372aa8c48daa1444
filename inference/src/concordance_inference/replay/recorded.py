"""Reads the fields of a trace that a replay depends on: a file may have any values."""

from typing import Any

import msgspec
from concordance_shared import RequestError
from msgspec import Struct

from concordance_inference.generation import SamplingParams
from concordance_inference.loop_detection import LoopDetection
from concordance_inference.traces.schema import Trace


class ReplayError(RequestError):
    """A trace does not hold what it takes to run its request again."""

    code = "trace_not_replayable"


class RecordedSettings(Struct, kw_only=True):
    """The settings of a server that its requests depend on."""

    loop_detection: LoopDetection | None = None
    truncation: str | None = None


class RecordedParameters(Struct, kw_only=True):
    """Parameters of a request besides those of sampling. `None`: the trace has none."""

    max_tokens: int | None = None
    min_tokens: int | None = None
    stop: tuple[str, ...] | None = None
    stop_token_ids: tuple[int, ...] | None = None
    ignore_eos: bool | None = None
    stream: bool | None = None
    loop_detection: LoopDetection | None = None


def settings_of(trace: Trace) -> dict[str, Any]:
    """Return the settings of the trace's server, as arguments of `ServerContext`.

    Raises:
        ReplayError: One has an invalid value.
    """
    return _given(recorded(trace, "settings", trace.settings, RecordedSettings))


def parameters_of(trace: Trace) -> dict[str, Any]:
    """Return the fields of a `GenerationRequest` that the trace has, besides sampling.

    Raises:
        ReplayError: One has an invalid value.
    """
    limit = trace.limits.get("max_tokens", trace.parameters.get("max_tokens"))
    values = {**trace.parameters, "max_tokens": limit}
    fields = _given(recorded(trace, "parameters", values, RecordedParameters))
    return {"stop": (), "stop_token_ids": (), "max_tokens": None, **fields}


def sampling_of(trace: Trace) -> SamplingParams:
    """Return the sampling parameters of the trace, with its seed.

    Raises:
        ReplayError: One has an invalid value.
    """
    given = trace.parameters
    sampling = {name: given[name] for name in SamplingParams.__struct_fields__ if name in given}
    sampling["seed"] = _signed(trace.seed or 0)
    return recorded(trace, "parameters", sampling, SamplingParams)


def recorded(trace: Trace, field: str, value: Any, kind: Any) -> Any:
    """Return a value of a trace as its type.

    Args:
        trace: The trace.
        field: The field that has the value, for messages.
        value: The value.
        kind: The type.

    Raises:
        ReplayError: It is another type's.
    """
    try:
        return msgspec.convert(value, kind, strict=False, str_keys=True)
    except msgspec.ValidationError as exc:
        raise ReplayError(
            f"trace {trace.id} cannot be replayed: its {field} are not as a server records them: "
            f"{exc}"
        ) from exc


def _given(fields: Struct) -> dict[str, Any]:
    return {
        name: value for name, value in msgspec.structs.asdict(fields).items() if value is not None
    }


def _signed(seed: int) -> int:
    """Return the seed with the same random numbers that a request may have."""
    return seed - 2**64 if seed >= 2**63 else seed

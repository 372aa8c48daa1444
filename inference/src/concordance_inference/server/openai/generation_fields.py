"""The fields that chat and plain completions share, and what they mean to the engine."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from concordance_shared import InvalidRequestError
from msgspec import UNSET, Meta, Struct, UnsetType

from concordance_inference.branching.branch import BranchPoint
from concordance_inference.chat.request import RequestOptions, check_logit_bias
from concordance_inference.generation import (
    Fraction,
    ModelInfo,
    Penalty,
    RepetitionPenalty,
    SamplingParams,
    Seed,
)
from concordance_inference.loop_detection import LoopChoice, chosen
from concordance_inference.mods.banned_strings import MAX_LENGTH, MAX_STRINGS, with_banned_strings
from concordance_inference.mods.catalog import NamedMod
from concordance_inference.server.context import ServerContext
from concordance_inference.server.openai.output_fields import OutputFields
from concordance_inference.server.served_models import ServedModel
from concordance_inference.server.transport.body import decode_body
from concordance_inference.traces.schema import Level

_TOKEN_ID = re.compile(r"0|[1-9][0-9]{0,9}")

#: Limit of mods in a request.
MAX_MODS = 16

Count = Annotated[int, Meta(ge=1, le=2**53)]
#: Limits of stop strings: their number, and characters of each.
MAX_STOPS, MAX_STOP_LENGTH = 16, 1024

StopString = Annotated[str, Meta(max_length=MAX_STOP_LENGTH)]
StopStrings = Annotated[list[StopString], Meta(max_length=MAX_STOPS)]
StopTokenIds = Annotated[list[Annotated[int, Meta(ge=0, le=2**53)]], Meta(max_length=256)]
BannedString = Annotated[str, Meta(min_length=1, max_length=MAX_LENGTH)]
BannedStrings = Annotated[list[BannedString], Meta(max_length=MAX_STRINGS)]
ModName = Annotated[str, Meta(max_length=160)]  # with `@sha256:` and 64 digits
Bias = Annotated[float, Meta(ge=-100, le=100)]


class StreamOptions(Struct, kw_only=True):
    """Options of a stream."""

    include_usage: bool | None = None
    include_retractions: bool | None = None  # send tokens immediately, and their retractions
    include_tokens: bool | None = None  # send every change of the completion, token by token
    include_progress: bool | None = None  # send how much of the prompt is prefilled


class ModChoice(Struct, kw_only=True, forbid_unknown_fields=True):
    """A mod of the request, and its parameters."""

    name: ModName
    params: dict[str, Any] | None = None
    required: bool | None = None  # False: it is dropped if it fails

    def named(self, where: str) -> NamedMod:
        """Return the mod, which a field of the request names."""
        required = self.required is not False
        return NamedMod(name=self.name, params=self.params or {}, required=required, where=where)


class GenerationFields(OutputFields, kw_only=True):
    """The fields of a request besides its prompt. `null` is the default of all but `model`."""

    id_prefix: ClassVar[str]  # what the ids of responses begin with

    model: Annotated[str, Meta(max_length=2048)]
    mods: Annotated[list[ModChoice | ModName], Meta(max_length=MAX_MODS)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Fraction | None = None
    top_k: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    min_p: Fraction | None = None
    xtc_probability: Fraction | None = None
    xtc_threshold: Annotated[float, Meta(ge=0, le=0.5)] | None = None
    repetition_penalty: RepetitionPenalty | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Annotated[dict[str, Bias], Meta(max_length=1024)] | None = None
    return_token_ids: bool | None = None
    seed: Seed | None = None
    stop: StopString | StopStrings | None = None
    stop_token_ids: StopTokenIds | None = None
    ignore_eos: bool | None = None
    min_tokens: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    loop_detection: LoopChoice | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    return_progress: bool | None = None  # llama.cpp's name of `stream_options.include_progress`
    banned_strings: BannedStrings | None = None
    cache_salt: Annotated[str, Meta(max_length=256)] | None = None
    resume_from: Annotated[str, Meta(min_length=1, max_length=544)] | None = None
    branch_from: BranchPoint | None = None
    truncate_thinking: Annotated[int, Meta(ge=0, le=2**53)] | None = None  # characters
    truncate_response: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    trace: bool | Level | None = None


Request = TypeVar("Request", bound=GenerationFields)
Entry = TypeVar("Entry")


def decode_request(raw: bytes, body_type: type[Request]) -> Request:
    """Validate the body of a request.

    Raises:
        InvalidRequestError: A field is wrong; `param` names it.
    """
    try:
        return decode_body(raw, body_type)
    except InvalidRequestError as exc:
        if not (exc.param or "").startswith("mods") or ".params" in (exc.param or ""):
            raise
        raise InvalidRequestError(
            f'{exc.message}; write mods as ["name"], or with parameters as '
            '[{"name": "name", "params": {"parameter": 1}}]',
            param=exc.param,
        ) from exc


def required_list(given: list[Entry] | UnsetType | None, name: str) -> list[Entry]:
    """Return a list that only a request with `resume_from` or `branch_from` can leave out.

    Raises:
        InvalidRequestError: It is missing, null or empty.
    """
    if given is UNSET:
        raise InvalidRequestError(f"{name}: object missing required field `{name}`", param=name)
    if given is None:
        raise InvalidRequestError(f"{name}: expected `array`, got `null`", param=name)
    if not given:
        raise InvalidRequestError(f"{name}: expected `array` of length >= 1", param=name)
    return given


def generation_options(
    body: GenerationFields, served: ServedModel, context: ServerContext
) -> RequestOptions:
    """Return what the shared fields mean to the engine.

    Raises:
        ConcordanceError: A field is wrong, or names a mod that is not there.
    """
    stream_options = body.stream_options
    return RequestOptions(
        sampling=_sampling(body, served.info),
        stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
        stop_token_ids=tuple(body.stop_token_ids or ()),
        ignore_eos=bool(body.ignore_eos),
        min_tokens=body.min_tokens or 0,
        loop_detection=chosen(
            body.loop_detection, context.loop_detection, ignores_eos=bool(body.ignore_eos)
        ),
        mods=with_banned_strings(
            context.mods.resolve(_named_mods(body, served)), body.banned_strings
        ),
        stream=bool(body.stream),
        include_retractions=bool(stream_options and stream_options.include_retractions),
        show_tokens=_shows_tokens(body),
        show_progress=_shows_progress(body),
        return_token_ids=_returns_token_ids(body),
        truncate_thinking=_truncation(body, "truncate_thinking"),
        truncate_response=_truncation(body, "truncate_response"),
        cache_salt=body.cache_salt or "",
        trace=_trace_level(body.trace),
    )


def refuse_retractions(body: GenerationFields, name: str) -> None:
    """Refuse a field that a stream of text with retractions cannot have.

    Raises:
        InvalidRequestError: The stream has retractions; `param` is the field.
    """
    if body.stream_options and body.stream_options.include_retractions:
        raise InvalidRequestError(
            f"{name} is not available in a stream with stream_options.include_retractions; "
            "leave one of them out",
            param=name,
        )


def _named_mods(body: GenerationFields, served: ServedModel) -> list[NamedMod]:
    """The mods in `model`, then those in `mods`."""
    chosen = [
        NamedMod(name=choice, where=f"mods[{i}]")
        if isinstance(choice, str)
        else choice.named(f"mods[{i}]")
        for i, choice in enumerate(body.mods or ())
    ]
    named = [*served.mods, *chosen]
    if len(named) > MAX_MODS:
        raise InvalidRequestError(
            f"model and mods name {len(named)} mods; the limit is {MAX_MODS}", param="mods"
        )
    return named


def _sampling(body: GenerationFields, model: ModelInfo) -> SamplingParams:
    """The request's sampling parameters; a field that is null has its default."""
    given = {name: getattr(body, name) for name in SamplingParams.__struct_fields__}
    if given["top_k"] == -1:  # as vLLM spells "all"
        given["top_k"] = 0
    given["logit_bias"] = _logit_bias(body.logit_bias or {}, model.vocab_size)
    return model.sampling.params(given)


def _logit_bias(given: Mapping[str, float], vocab_size: int) -> dict[int, float]:
    """The biases by token id; JSON has them by text."""
    check_logit_bias([int(key) if _TOKEN_ID.fullmatch(key) else key for key in given], vocab_size)
    return {int(key): bias for key, bias in given.items()}


def _trace_level(given: bool | Level | None) -> Level | None:  # noqa: FBT001
    """The level of a trace; `true` is `tokens`."""
    if isinstance(given, bool):
        return "tokens" if given else "off"
    return given


def _shows_tokens(body: GenerationFields) -> bool:
    return bool(body.stream and body.stream_options and body.stream_options.include_tokens)


def _shows_progress(body: GenerationFields) -> bool:
    options = body.stream_options
    is_requested = body.return_progress or (options and options.include_progress)
    return bool(body.stream and is_requested)


def _truncation(body: GenerationFields, name: str) -> int | None:
    if (value := getattr(body, name)) is not None:
        refuse_retractions(body, name)
    return value


def _returns_token_ids(body: GenerationFields) -> bool:
    if body.return_token_ids:
        refuse_retractions(body, "return_token_ids")
    return bool(body.return_token_ids)

"""The interface between the server and the engine: plain data, no arrays, no HTTP.

The server imports this module and not the engine, so that neither depends on the other.
"""

import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import msgspec
from concordance_sdk.channels import ChannelFormat
from concordance_sdk.host.action_log import ModAction
from concordance_sdk.host.call_in_progress import CallInProgress
from concordance_sdk.host.instance import RequestMod
from concordance_sdk.hosted_tool import HostedTool
from concordance_shared import (
    ConcordanceError,
    Conversation,
    FinishReason,
    ModReport,
    ToolCall,
)
from msgspec import UNSET, Meta, Struct, UnsetType, field

from concordance_inference.branching.branch import Branch, BranchPoint
from concordance_inference.caller import current_owner, current_prefix_space
from concordance_inference.harmony.turn import HarmonyTurn
from concordance_inference.loop_detection import FoundLoop, LoopDetection
from concordance_inference.mark import Mark
from concordance_inference.metrics_snapshot import MetricsSnapshot
from concordance_inference.reasoning import Reasoning
from concordance_inference.resume.beginning import Beginning
from concordance_inference.resume.ended import EndedCompletions
from concordance_inference.token_rules import TokenRules
from concordance_inference.tools.offer import ToolOffer
from concordance_inference.traces.recorder import TraceRecorder
from concordance_inference.traces.schema import Level

if TYPE_CHECKING:
    from concordance_sdk.host import ModDefinition

    from concordance_inference.branching.written import WrittenCompletion
    from concordance_inference.control import ControlClient, Scheduled
    from concordance_inference.sandbox.sandboxed_mod import SandboxedMod

Fraction = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
RepetitionPenalty = Annotated[float, Meta(ge=0.01, le=100)]
Temperature = Annotated[float, Meta(ge=0, le=100)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]

#: A temperature below this counts as 0: logits divided by less may overflow float32.
GREEDY_BELOW = 1e-5

#: Maximum alternatives at each position, as in OpenAI's API.
MAX_TOP_LOGPROBS = 20


class SamplingParams(Struct, frozen=True, kw_only=True):
    """How tokens are sampled from the model's logits.

    Bias and penalties change the logits before mods see them. The logits that mods leave are
    divided by the temperature and filtered by top-k, top-p, min-p and XTC, in this order.
    """

    temperature: Temperature = 1.0  # 0, or below `GREEDY_BELOW`: greedy
    top_p: Fraction = 1.0  # keep the most probable tokens that sum to this; 1 keeps all
    top_k: Annotated[int, Meta(ge=0)] = 0  # keep this many of the most probable; 0 keeps all
    min_p: Fraction = 0.0  # keep tokens with this fraction of the highest probability
    xtc_probability: Fraction = 0.0  # of dropping all but the least probable above the threshold
    xtc_threshold: Annotated[float, Meta(ge=0, le=0.5)] = 0.1  # a probability
    repetition_penalty: RepetitionPenalty = 1.0  # divides logits of generated tokens; 1 is neutral
    presence_penalty: Penalty = 0.0  # subtracted from the logits of generated tokens
    frequency_penalty: Penalty = 0.0  # subtracted once for each occurrence
    logit_bias: Mapping[int, float] = {}  # token id -> added to its logit
    seed: int | None = None  # equal seeds sample equal tokens; `None` draws a seed

    def __post_init__(self) -> None:
        """Set a temperature to 0 that is too small to divide by."""
        if 0 < self.temperature < GREEDY_BELOW:
            msgspec.structs.force_setattr(self, "temperature", 0.0)


class SamplingDefaults(Struct, frozen=True, kw_only=True):
    """How tokens are sampled where a request does not say.

    Attributes:
        source: Where the values come from: the model's file, what is recommended for the embedded
            model, or OpenAI's API.
    """

    source: Literal["generation_config.json", "recommended", "openai"] = "openai"
    temperature: Temperature = 1.0
    top_p: Fraction = 1.0
    top_k: Annotated[int, Meta(ge=0)] = 0
    min_p: Fraction = 0.0
    repetition_penalty: RepetitionPenalty = 1.0

    def params(self, given: Mapping[str, Any]) -> SamplingParams:
        """Return the given parameters, and these values for those that are left out or `None`."""
        values = {**msgspec.structs.asdict(self), **_without_none(given)}
        del values["source"]
        return SamplingParams(**values)


def _without_none(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


class ModCall(Struct, frozen=True, kw_only=True, eq=False):
    """A mod that a request selects, with validated parameters.

    The parameters of a mod that only workers load are as the client sent them; a worker validates
    them. `where` is the field of the request that names the mod, for messages. A mod that is not
    `required` is dropped if it fails.
    """

    definition: "ModDefinition | SandboxedMod"
    parameters: Mapping[str, Any]
    name: str
    version: str = ""  # the first digits of its content's hash, if it comes from a file
    where: str = "mods"
    required: bool = True
    owner: str = field(default_factory=current_owner)  # who names it


class GenerationRequest(Struct, frozen=True, kw_only=True, eq=False):
    """A request for one completion."""

    request_id: str
    prompt_ids: tuple[int, ...]
    max_tokens: int | None = None  # after what is given; `None`: all that fit into the context
    sampling: SamplingParams = SamplingParams()
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()  # end the completion as end-of-sequence tokens do
    ignore_eos: bool = False  # sampled end-of-sequence tokens do not end the completion
    min_tokens: int = 0  # of the completion, before a sampled token or a stop string may end it
    mods: tuple[ModCall, ...] = ()
    instances: tuple[RequestMod, ...] | None = None  # of the mods, if they exist already
    conversation: Conversation = Conversation()
    truncated_messages: int = 0  # the oldest ones, left out since they do not fit
    offer: ToolOffer | None = None  # the tools that the model may call
    stream: bool = False  # send text as it is generated, not only at the end
    include_retractions: bool = False  # hold no text back; report retracted characters
    show_tokens: bool = False  # also send every change of the completion, token by token
    show_progress: bool = False  # also send how much of the prompt is prefilled
    return_token_ids: bool = False  # report the ids of all tokens, and which mods forced them
    top_logprobs: int | None = None  # report logprobs, and this many alternatives a token
    sampled_logprobs: bool = False  # with them, those under the distribution that was sampled from
    prompt_logprobs: int | None = None  # report those of the prompt, and alternatives a token
    loop_detection: LoopDetection | None = None  # `None`: loops are not searched
    truncate_thinking: int | None = None  # characters of the reasoning that are shown; None: all
    truncate_response: int | None = None  # of the content
    cache_salt: str = ""  # cached prefixes are shared by requests with equal salts only
    prefix_space: str = field(default_factory=current_prefix_space)  # and within this space only
    kept_ids: tuple[int, ...] = ()  # special tokens whose names are part of the text
    token_rules: TokenRules[Any] | None = None  # which tokens may be next; a mod may force others
    reasoning: Reasoning | None = None  # how it is marked in the text, if the model may reason
    hosted: tuple[HostedTool, ...] = ()  # tools that the server runs for it
    harmony: HarmonyTurn | None = None  # of a model that writes messages in Harmony
    channels: ChannelFormat | None = None  # how tokens divide the completion into channels
    stops_in_content: bool = False  # stop strings count in the content only, if there are channels
    is_candidate: bool = False  # for `best_of`: the response may have other completions
    num_named_mods: int = 0  # leading mods that the client chose
    beginning: Beginning | None = None  # of the completion, if an earlier request generated it
    branch: Branch | None = None  # tokens of another completion, with which this one begins
    owner: str = field(default_factory=current_owner)  # who may continue what it generates
    trace: Level | None = None  # how much is traced; `None`: as the server is configured
    recorder: TraceRecorder | None = None  # of the trace
    scheduled: "tuple[Scheduled, ...]" = ()  # commands, in order, as a trace has them

    @property
    def prefix_salt(self) -> str:
        """The name of the cached prefixes that it shares, in a space that no client chooses."""
        space = self.prefix_space
        return f"{space}\0{self.cache_salt}" if space else self.cache_salt

    @property
    def num_given(self) -> int:
        """Tokens of the prompt, and of the beginning of the completion."""
        beginning = self.beginning.num_tokens if self.beginning else 0
        return len(self.prompt_ids) + beginning + (self.branch.position if self.branch else 0)

    @property
    def num_counted(self) -> int:
        """Tokens after which the limit of the completion counts: without one, all but a branch's.

        So a branch may become as long as its parent.
        """
        return len(self.prompt_ids) if self.branch and self.max_tokens is None else self.num_given

    @property
    def max_completion(self) -> int | None:
        """The most tokens of the completion with its beginning; `None`: all that fit."""
        if self.max_tokens is None:
            return None
        return self.max_tokens + self.num_given - len(self.prompt_ids)


class Started(Struct, frozen=True, kw_only=True):
    """The prompt is prefilled and the first token decided: a response can begin."""

    prompt_tokens: int
    cached_tokens: int = 0  # of the prompt, found in the prefix cache
    read_tokens: int = 0  # of a branch: processed before its first new token
    prompt_ids: tuple[int, ...] = ()  # as mods left it, if requested
    prompt_logprobs: "tuple[TokenLogprobs | None, ...]" = ()  # as in `Completed`


class PrefillProgress(Struct, frozen=True, kw_only=True):
    """How much of the prompt is prefilled, before `Started`. In tokens, as llama.cpp sends it."""

    total: int  # of the prompt
    cache: int  # found in the prefix cache
    processed: int  # so far, with those of the cache
    time_ms: int  # since the request got a row


class TokenLogprobs(Struct, frozen=True, kw_only=True):
    """The model's own log-probability of a token of prompt or completion, and of alternatives.

    Natural logarithms, before bias, penalties, mods and temperature.

    Attributes:
        token_id: The token.
        logprob: Its log-probability.
        top: The most probable tokens, (id, logprob) each, best first.
        sampled_logprob: Its log-probability under the distribution it was sampled from: after bias,
            penalties, mods, temperature and filters. 0 for a greedy choice. None unless requested,
            for a forced token, and for one in front of which mods removed tokens later.
        rank: Of a prompt's token, if requested: 1 for the most probable one.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...]
    sampled_logprob: float | None = None
    rank: int | None = None


class TextDelta(Struct, frozen=True, kw_only=True):
    """Added text, after `retracted` characters were removed from the end."""

    text: str
    retracted: int = 0
    logprobs: tuple[TokenLogprobs, ...] = ()  # of the added tokens, if requested
    token_ids: tuple[int, ...] = ()  # the added tokens, if requested
    forced_by: tuple[str | None, ...] = ()  # the mod that forced each of them; `None`: sampled
    marks: tuple[Mark, ...] = ()  # where the names of `kept_ids` are in the added text


class Token(Struct, frozen=True, kw_only=True):
    """A token of a completion and where it came from."""

    token_id: int
    text: str  # that it adds; empty for part of a character or a special token
    forced: bool
    mod: str | None = None  # the mod that forced it; `None` for a sampled token


class TokensDelta(Struct, frozen=True, kw_only=True):
    """The completion became its first `kept` tokens followed by `tokens`.

    `tokens` may repeat tokens whose text has changed, such as the halves of a character.
    """

    kept: int
    tokens: tuple[Token, ...]
    num_backtracked: int = 0  # tokens that a mod removed from the end, before any were added
    mod: str | None = None  # the mod that removed them


class LogprobsDelta(Struct, frozen=True, kw_only=True):
    """Logprobs of tokens that were sent as they happened, from token `first` on."""

    first: int
    entries: tuple[TokenLogprobs, ...]


class ReportsDelta(Struct, frozen=True, kw_only=True):
    """Mods reported data. Sent in streams, also while text is held back."""

    reports: tuple[ModReport, ...]


class ControlDelta(Struct, frozen=True, kw_only=True):
    """Commands were applied to the request, as `control.event_of_outcome` describes them."""

    commands: tuple[dict[str, Any], ...]


class ModFailure(Struct, frozen=True):
    """Why a mod was dropped that the request does not require."""

    code: str
    message: str


class ModUsage(Struct, frozen=True, kw_only=True):
    """What one mod did in a request."""

    mod: str
    calls: int = 0  # of its handlers
    forced_tokens: int = 0  # also those that were backtracked or erased later
    backtracked_tokens: int = 0
    adjusted_steps: int = 0  # positions of which it changed the distribution
    microseconds: int = 0  # in its code
    failed: ModFailure | UnsetType = UNSET  # of one that was dropped


class HostedUse(Struct, frozen=True, kw_only=True):
    """A call of a tool that the server ran.

    Attributes:
        tool: The tool, with its function, such as `browser.search`.
        seconds: How long it took.
        is_error: It failed, or took too long; the model read why.
        result_tokens: Of its result, which the model read.
    """

    tool: str
    seconds: float
    is_error: bool
    result_tokens: int


class Completed(Struct, frozen=True, kw_only=True):
    """The request ended without an error. The last update, unless `Failed` is."""

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    stopped_by: str | int | None = None  # the stop string, or the token of `stop_token_ids`
    marks: tuple[Mark, ...] = ()  # where the names of `kept_ids` are in the text
    tool_calls: tuple[ToolCall, ...] = ()
    reports: tuple[ModReport, ...] = ()  # all of them, also those that a stream has sent
    logprobs: tuple[TokenLogprobs, ...] = ()  # of each token of the text, if requested; of each
    # token with `return_token_ids`
    mean_logprob: float | None = None  # of all tokens, if logprobs are requested
    forced_by: tuple[str | None, ...] = ()  # per token: the mod that forced it; `None`: sampled
    mods: tuple[ModUsage, ...] = ()  # those that acted by hand included
    hosted: tuple[HostedUse, ...] = ()  # tools that the server ran, in order
    loops: tuple[FoundLoop, ...] = ()  # that loop detection found, in order
    actions: tuple[ModAction, ...] = ()  # of mods, the first ones, for traces
    num_actions: int = 0
    prompt_ids: tuple[int, ...] = ()  # as mods left it, if requested
    prompt_logprobs: tuple[TokenLogprobs | None, ...] = ()  # of `prompt_ids`, if requested; `None`
    # for the first token, which follows nothing
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0  # of the prompt, found in the prefix cache
    read_tokens: int = 0  # of a branch: processed before its first new token
    forced_tokens: int = 0
    backtracked_tokens: int = 0
    reasoning_tokens: int = 0  # of the completion, inside the tags of its reasoning


class Failed(Struct, frozen=True, kw_only=True, eq=False):
    """The request ended with an error, which has the reports of its mods. The last update."""

    error: ConcordanceError
    actions: tuple[ModAction, ...] = ()  # as those of `Completed`
    num_actions: int = 0


Update = (
    PrefillProgress
    | Started
    | TextDelta
    | TokensDelta
    | LogprobsDelta
    | ReportsDelta
    | ControlDelta
    | Completed
    | Failed
)


class ModelInfo(Struct, frozen=True, kw_only=True):
    """The served model, as clients see it."""

    id: str
    created: int  # Unix time in seconds
    context_length: int  # tokens of prompt and completion together
    vocab_size: int
    sampling: SamplingDefaults = SamplingDefaults()
    build: Mapping[str, str] = {}  # what computes it: `models.build`


class SlowStep(Struct, frozen=True, kw_only=True):
    """A step of the engine that has not returned for long."""

    seconds: float
    doing: str  # the function that its thread is in
    stack: str  # of its thread, formatted like a traceback


class EngineHealth(Struct, frozen=True, kw_only=True):
    """What an engine is doing.

    Attributes:
        status: `loading`: its model is loaded for the first time; `draining`: it takes no new
            requests, and ends when those that run have ended; `restarting`: it failed, and its
            model is loaded again; `stuck`: a call or a step does not return; `stopped`: it takes no
            requests any more.
        call: The call of a mod's code that keeps it from all requests.
        step: The step that does not return.
        retry_after_s: While it is restarted: when it may be ready, in seconds from now.
    """

    status: Literal["ok", "loading", "draining", "restarting", "stuck", "stopped"] = "ok"
    call: CallInProgress | None = None
    step: SlowStep | None = None
    retry_after_s: float = 0.0


class EmbeddingClient(Protocol):
    """An embedding model, as the server uses it."""

    @property
    def size(self) -> int:
        """The dimensions of an embedding."""
        ...

    def tokenize(self, text: str) -> list[int]:
        """Return the token ids of a text, with those that the model's tokenizer adds."""
        ...

    async def embed(self, token_ids: Sequence[int], dimensions: int | None = None) -> list[float]:
        """Return the embedding of a text, all of its dimensions or the first ones.

        Raises:
            EngineError: The engine has stopped, or the model failed.
        """
        ...


class EngineClient(Protocol):
    """The engine, as the server uses it from its event loop."""

    @property
    def model(self) -> ModelInfo:
        """The served model."""
        ...

    @property
    def is_running(self) -> bool:
        """True if the engine accepts requests."""
        ...

    @property
    def control(self) -> "ControlClient":
        """Its running requests."""
        ...

    @property
    def max_requests(self) -> int:
        """The most requests that may run and wait at the same time."""
        ...

    @property
    def stuck_call(self) -> CallInProgress | None:
        """The call of a mod's code that has kept the engine from all requests for a second."""
        ...

    @property
    def health(self) -> EngineHealth:
        """What the engine is doing. May be read from any thread."""
        ...

    def metrics(self) -> MetricsSnapshot:
        """Return a copy of the engine's metrics. May be called from any thread."""
        ...

    def resume(self, completion_id: str, changes: Mapping[str, Any]) -> GenerationRequest:
        """Return the request that continues a completion; see `resumed_request`.

        Raises:
            UnknownCompletionError: It is not kept, or not any more.
            InvalidRequestError: The model has ended it, or it is another model's.
            ContextLengthError: It fills the context.
        """
        ...

    def branch(self, point: BranchPoint, changes: Mapping[str, Any]) -> GenerationRequest:
        """Return the request for a completion that branches off another; see `branched_request`.

        Blocks until the engine's thread has read a completion that runs.

        Raises:
            UnknownCompletionError: It neither runs nor is kept.
            InvalidRequestError: It is another model's, or the branch is out of range.
            ContextLengthError: The branch fills the context.
        """
        ...

    @property
    def ended_completions(self) -> EndedCompletions:
        """The completions that ended a short time ago, also those of other models."""
        ...

    def written(self, completion_id: str) -> "WrittenCompletion | None":
        """Return what a completion says; `None` if it neither runs nor is kept.

        Blocks until the engine's thread has read a completion that runs.

        Raises:
            InvalidRequestError: It is another model's.
        """
        ...

    def prepare(self, request: GenerationRequest) -> GenerationRequest:
        """Create the instances of a request's mods, on the calling thread.

        Raises:
            ModError: A mod raised, or was not ready in time.
            RequestError: A mod rejects the request.
        """
        ...

    def generate(self, request: GenerationRequest) -> AsyncIterator[Update]:
        """Run a request; updates come as they happen, `Completed` or `Failed` last.

        The client keeps the tokens of a completion for prompts that contain its text. Closing the
        iterator cancels the request.

        Raises:
            EngineOverloadedError: The queue is full.
            EngineStoppedError: The engine has stopped.
        """
        ...


#: The ids of the generations of the HTTP request in whose context this is read, if any.
request_ids: ContextVar[Iterator[str] | None] = ContextVar("request_ids", default=None)


def new_request_id() -> str:
    """Return a new id for a request in events, messages and logs."""
    ids = request_ids.get()
    return next(ids) if ids else uuid.uuid4().hex
